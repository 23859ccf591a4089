"""Weights that stay as stored while products are computed in float32 give what a model loaded in float32 gives."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from common.lm.generation import generate
from common.lm.loading import load, set_dtype
from common.lm.loglikelihood import loglikelihood
from common.lm.precision import compute_dtype, dtype_name
from tests.tiny import TEXT, byte_level_tokenizer, tiny_models

TOKENIZER = byte_level_tokenizer()


def saved(model, folder, dtype):
    model.to(dtype).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", tiny_models(10))
def test_scores_and_answers_are_those_of_float32(name, tmp_path, monkeypatch):
    torch.manual_seed(0)
    folder = saved(tiny_models(len(TOKENIZER))[name], tmp_path, torch.bfloat16)
    monkeypatch.setattr("common.lm.precision.CHUNK", 100)  # several parts a matrix
    narrow, _ = load(folder, dtype="float32", device="cpu", attention="eager")
    wide = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    assert dtype_name(narrow) == dtype_name(wide) == "float32"
    kept = [module.weight.dtype for module in narrow.modules() if type(module) is torch.nn.Linear]
    plain = name in ("llama", "mistral", "mistral_sliding_window", "qwen2", "qwen3")
    assert set(kept) <= {torch.bfloat16 if plain else torch.float32}
    for pair in ((TEXT[1:4], [" A", " B"]), (["Answer:"], ["  geography", " C"])):
        scores = [loglikelihood(model, TOKENIZER, *pair) for model in (narrow, wide)]
        np.testing.assert_allclose(*scores, atol=1e-5)
    if name == "mamba_recurrent":  # which does not write
        return
    said = [generate(model, TOKENIZER, TEXT[:3], 8) for model in (narrow, wide)]
    assert said[0] == said[1]


def test_stored_float32_is_not_rounded_to_the_precision_of_the_configuration(tmp_path):
    model = tiny_models(len(TOKENIZER))["llama"]
    expected = model.lm_head.weight.detach().clone()
    folder = saved(model, tmp_path, torch.float32)
    set_dtype(folder, torch.bfloat16)
    loaded, _ = load(folder, dtype="float32", device="cpu")
    assert torch.equal(loaded.lm_head.weight, expected)


@pytest.mark.parametrize("has_instructions", [True, False])
def test_auto_is_float32_on_a_cpu_without_instructions(tmp_path, monkeypatch, has_instructions):
    folder = saved(tiny_models(len(TOKENIZER))["llama"], tmp_path, torch.bfloat16)
    monkeypatch.setattr("common.lm.loading.cpu_multiplies", lambda dtype: has_instructions)
    model, _ = load(folder, device="cpu")
    assert compute_dtype(model) == (torch.bfloat16 if has_instructions else torch.float32)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert load(folder, dtype="bfloat16", device="cpu")[0](torch.tensor([[3]])).logits.dtype == torch.bfloat16
