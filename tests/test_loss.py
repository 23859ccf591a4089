"""FT/loss.py: the loss in pieces against that of transformers, with all logits at once."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.scripts import load_script
from tests.tiny import tiny_llama, tiny_models

loss = load_script("FT/loss.py")

VOCABULARY = 97


@pytest.fixture
def batch():
    """Two rows of 12 tokens, of which some count for nothing, as at the beginning of a document."""
    torch.manual_seed(1)
    tokens = torch.randint(VOCABULARY, (2, 12))
    labels = tokens.clone()
    labels[0, :5], labels[1, 7] = -100, -100
    return {"input_ids": tokens, "labels": labels}


def result(model, batch, **keys):
    """Loss, and the gradient of every weight."""
    model.zero_grad(set_to_none=True)
    value = model(**batch, **keys).loss
    value.backward()
    return value.detach(), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def same(ours, theirs, **tolerance):
    torch.testing.assert_close(ours[0], theirs[0], **tolerance)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        torch.testing.assert_close(ours[1][name], gradient, **tolerance)


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("keys", [{}, {"num_items_in_batch": torch.tensor(40)}, {"num_items_in_batch": 7}])
@pytest.mark.parametrize("tied", [True, False])
def test_loss_and_gradients_are_those_of_all_logits_at_once(batch, monkeypatch, rows, keys, tied):
    monkeypatch.setattr(loss, "PIECE", rows * VOCABULARY)
    model = tiny_llama(VOCABULARY, tie_word_embeddings=tied)
    theirs = result(model, batch, **keys)
    with loss.loss_in_pieces(model):
        ours = result(model, batch, **keys)
        assert model(**batch).logits.shape[-1] == model.config.hidden_size  # no logits were made
    same(ours, theirs)
    again = result(model, batch, **keys)
    assert torch.equal(again[0], theirs[0])
    assert model(**batch).logits.shape[-1] == VOCABULARY


def test_the_probe_runs_in_the_precision_of_training():
    """As flash attention wants it, which refuses float32."""
    seen = []
    model = tiny_llama(VOCABULARY)
    watched = model.model.layers[0].self_attn.q_proj
    watched.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    with loss.loss_in_pieces(model, lambda: torch.autocast("cpu", torch.bfloat16)):
        pass
    assert seen == [torch.bfloat16]


def test_labels_that_are_shifted_already(batch):
    model = tiny_llama(VOCABULARY)
    shifted = torch.full_like(batch["labels"], -100)
    shifted[:, :-1] = batch["labels"][:, 1:]
    with loss.loss_in_pieces(model):
        same(result(model, batch | {"shift_labels": shifted}), result(model, batch))


def test_an_adapter_gets_the_same_gradients_and_the_head_none(batch):
    torch.manual_seed(0)
    model = get_peft_model(tiny_llama(VOCABULARY), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, one in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(one)  # zeros would leave lora_A without a gradient
    theirs = result(model, batch)
    with loss.loss_in_pieces(model):
        same(result(model, batch), theirs)
    assert all("lora" in name for name in theirs[1])


def test_products_in_bfloat16_are_rounded_as_theirs(batch):
    model = tiny_llama(VOCABULARY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = result(model, batch)
        with loss.loss_in_pieces(model):
            ours = result(model, batch)
    assert ours[0] == pytest.approx(float(theirs[0]), rel=1e-3)
    for name, gradient in theirs[1].items():
        assert (ours[1][name] - gradient).norm() < 0.02 * gradient.norm(), name


def test_without_gradients(batch):
    model = tiny_llama(VOCABULARY).eval()
    with torch.no_grad():
        theirs = model(**batch).loss
        with loss.loss_in_pieces(model):
            torch.testing.assert_close(model(**batch).loss, theirs)


@pytest.mark.parametrize("name", sorted(tiny_models(VOCABULARY)))
def test_every_architecture_has_its_own_loss(name, batch):
    """Where logits are capped (Gemma 2) the model stays as it is."""
    model = tiny_models(VOCABULARY)[name].eval()
    theirs = result(model, batch)
    with loss.loss_in_pieces(model):
        same(result(model, batch), theirs, atol=1e-5, rtol=1e-4)
        whole = model(**batch).logits.shape[-1] == VOCABULARY
    assert whole == (name == "gemma2_softcap")


def test_the_head_keeps_a_forward_of_its_own(batch):
    model = tiny_llama(VOCABULARY)
    own = model.lm_head.forward = model.lm_head.forward
    with loss.loss_in_pieces(model):
        model(**batch)
    assert model.lm_head.forward is own
