"""A random Llama of 51M weights with a tokenizer trained on given text, on disk, for benchmarks."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny import byte_level_tokenizer

SHAPE = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1376}
VOCABULARY = 32_000


def save_random_llama(folder: Path, texts: Iterable[str]) -> None:
    """Write tokenizer and seeded random model into a folder."""
    byte_level_tokenizer(VOCABULARY, bos=False, texts=texts).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=4096, eos_token_id=1, **SHAPE)
    LlamaForCausalLM(config).save_pretrained(folder)
