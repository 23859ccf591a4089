"""GGUF files: a tiny Qwen2 is written as llama.cpp writes one; loading the file gives its weights and numbers."""

import json

import gguf
import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from common.cli import InputError
from common.cli import model_name as name_of
from common.lm.gguf import unpacked
from common.lm.loading import load, load_tokenizer
from common.lm.loglikelihood import loglikelihood
from common.reporting.provenance import model_content_hash
from tests.tiny import SHAPE, byte_level_tokenizer

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
}


def write_gguf(path, model, tokenizer):
    """The model as a GGUF file: matrices of the feed-forward network in 8 bits where they divide, the rest in 32."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    written = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(written["vocab"], key=written["vocab"].get))
    writer.add_token_merges([" ".join(pair) for pair in written["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        values = weight.float().numpy()
        if "ffn_gate" in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "gguf"


def tiny_qwen(tied):
    tokenizer = byte_level_tokenizer(bos=False)
    config = Qwen2Config(vocab_size=len(tokenizer), initializer_range=0.3, tie_word_embeddings=tied, **SHAPE)
    return Qwen2ForCausalLM(config).eval(), tokenizer


@pytest.mark.parametrize("tied", [True, False])
def test_dequantized_model_is_the_one_that_was_written(home, tmp_path, tied):
    model, tokenizer = tiny_qwen(tied)
    file = tmp_path / "tiny.gguf"
    write_gguf(file, model, tokenizer)
    found, own = load(str(file), dtype="float32")
    for name, parameter in found.named_parameters():
        expected = model.get_parameter(name).detach()
        if "gate_proj" in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            expected = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(expected.numpy(), kind), kind))
        assert torch.equal(parameter.detach().to(torch.bfloat16), expected.to(torch.bfloat16)), name
    assert own("Answer: A").input_ids == tokenizer("Answer: A").input_ids
    head, embedding = found.get_output_embeddings().weight, found.get_input_embeddings().weight
    assert (head.data_ptr() == embedding.data_ptr()) == tied
    model.load_state_dict(found.state_dict())  # as rounded to bfloat16
    pairs = [["Which river?"], [" A", " B", " C"]]
    scores = [loglikelihood(each, tokenizer, *pairs) for each in (model, found)]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_a_file_is_unpacked_once(home, tmp_path, monkeypatch):
    file = tmp_path / "tiny.gguf"
    write_gguf(file, *tiny_qwen(True))
    folder = unpacked(str(file))
    assert [path.name for path in home.iterdir()] == [folder.rpartition("/")[2]]
    monkeypatch.setattr("common.lm.gguf._unpack", None)
    assert unpacked(str(file)) == folder
    assert len(load_tokenizer(str(file))) == len(load_tokenizer(folder))
    assert name_of(str(file)) == "tiny"
    assert model_content_hash(str(file)).startswith("file:")


def test_damaged_and_missing_files_are_named(home, tmp_path):
    file = tmp_path / "bad.gguf"
    with pytest.raises(InputError, match="bad.gguf: cannot be read"):
        load(str(file))
    file.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(InputError, match="bad.gguf: cannot be read as a GGUF file of a causal LM"):
        load(str(file))
    assert not home.exists() or not any(home.iterdir())
