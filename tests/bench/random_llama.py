"""Random Llamas with a tokenizer trained on given text, for benchmarks."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny import byte_level_tokenizer

SHAPES = {
    "llama-58m": {
        "vocab_size": 32_000, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8,
        "intermediate_size": 1376, "max_position_embeddings": 4096,
    },
    "llama3-8b": {
        "vocab_size": 128_256, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14_336, "max_position_embeddings": 8192,
    },
}  # fmt: skip
VOCABULARY = 32_000  # of the tokenizer


def random_llama(shape: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LlamaForCausalLM:
    """A seeded random model, made on the device."""
    torch.manual_seed(0)
    config = LlamaConfig(eos_token_id=1, dtype=dtype, **SHAPES[shape])
    with torch.device(device):
        return LlamaForCausalLM._from_config(config, dtype=dtype).eval()


def save_random_llama(folder: Path, texts: Iterable[str]) -> None:
    """Write tokenizer and seeded random model of 58M weights into a folder."""
    byte_level_tokenizer(VOCABULARY, bos=False, texts=texts).save_pretrained(folder)
    random_llama("llama-58m").save_pretrained(folder)
