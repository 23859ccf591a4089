"""Greedy answers equal the plain loop's, for every architecture, batch size and prompt length."""

import importlib
import os
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache, Lfm2Config, Lfm2ForCausalLM

from common.cli import InputError
from common.lm import generation, memory
from common.lm import prefix_attention as prefix_attention_module
from common.lm.generation import common_prefix, generate
from common.lm.prefix_attention import SharedPrefix
from tests.tiny import byte_level_tokenizer, tiny_models, unusual_models

PROMPTS = [
    "English: The river flows through the capital.\nGerman:",
    "English: A mountain.\nGerman:",
    "English: Which river is it? A natural stream of water, says the passage.\nGerman:",
    "English: A\nGerman:",
]
NEW = 12


def slow(model, tokenizer, prompt: str) -> str:
    """One prompt, no cache, one forward a token."""
    ids = tokenizer(prompt).input_ids
    start = len(ids)
    for _ in range(NEW):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] in tokenizer.all_special_ids or "\n" in tokenizer.decode([ids[-1]]):
            break
    return tokenizer.decode(ids[start:], skip_special_tokens=True).split("\n")[0].strip()


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "gemma2_softcap", "mistral_sliding_window"])
@pytest.mark.parametrize("budget", [10_000, 1])
def test_answers_are_those_of_the_plain_loop(name, budget):
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(3)
    model = tiny_models(len(tokenizer))[name]
    answers = generate(model, tokenizer, PROMPTS, NEW, token_budget=budget)
    assert [answer.text for answer in answers] == [slow(model, tokenizer, prompt) for prompt in PROMPTS]
    assert all(answer.tokens == NEW or answer.finished for answer in answers)


EXAMPLES = "English: The hill.\nGerman: Der Berg.\n\nEnglish: A river flows.\nGerman: Ein Fluss.\n\n"


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "mistral_sliding_window"])
def test_a_shared_beginning_is_read_once(name, monkeypatch):
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(4)
    model = tiny_models(len(tokenizer))[name]
    if name == "mistral_sliding_window":
        model.config.sliding_window = 200  # which no prompt with its answer reaches
    read, forward = [], type(model).forward

    def counted(self, input_ids, **keys):
        read.append(input_ids.shape)
        return forward(self, input_ids, **keys)

    prompts = [EXAMPLES + prompt for prompt in PROMPTS]
    expected = [slow(model, tokenizer, prompt) for prompt in prompts]
    monkeypatch.setattr(type(model), "forward", counted)
    before = model.config._attn_implementation
    answers = generate(model, tokenizer, prompts, NEW)
    assert [answer.text for answer in answers] == expected and model.config._attn_implementation == before
    lengths = [len(tokenizer(prompt).input_ids) for prompt in prompts]
    (one, prefix), (rows, own) = read[:2]
    assert (one, rows, prefix + own) == (1, len(prompts), max(lengths)) and prefix > len(EXAMPLES) // 8
    assert all(shape[1] == 1 for shape in read[2:])


@pytest.mark.parametrize("name", ["deepseek_v3_latent", "diffllama_called_twice"])
def test_attention_that_takes_liberties_is_read_whole(name):
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(6)
    model = unusual_models(len(tokenizer))[name]
    prompts = [EXAMPLES + prompt for prompt in PROMPTS]
    answers = generate(model, tokenizer, prompts, NEW)
    assert [answer.text for answer in answers] == [slow(model, tokenizer, prompt) for prompt in prompts]


def test_memory_that_does_not_suffice_makes_batches_smaller(monkeypatch, caplog):
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(3)
    model = tiny_models(len(tokenizer))["llama"]
    expected = generate(model, tokenizer, PROMPTS, NEW)
    rows, forward, most = [], type(model).forward, 2

    def with_little_room(self, input_ids, **keys):
        rows.append(len(input_ids))
        if len(input_ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids, **keys)

    monkeypatch.setattr(type(model), "forward", with_little_room)
    assert generate(model, tokenizer, PROMPTS, NEW) == expected
    assert rows[:3] == [1, 4, 2] and max(rows[2:]) == 2 and "out of memory with 4 prompts" in caplog.text
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        generate(model, tokenizer, PROMPTS, NEW)


def test_batches_grow_with_what_a_row_needs():
    """Keys and values of 40 own and 24 new tokens in float32, and one layer's scores over all 140 tokens read."""
    model = tiny_models(300)["llama"]
    row = 4 * (2 * 2 * 2 * 8 * (40 + 24) + 4 * 40 * 140)
    assert generation._rows_that_fit(model, 140, 40, 24) == generation.BATCH_BYTES["cpu"] // row


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("queries", [3, 1])
def test_attention_after_a_prefix_is_that_over_all_keys(softcap, queries):
    """Against the formula, row by row and head by head: two key heads for four query heads, padding on the left."""
    torch.manual_seed(0)
    rows, heads, kv_heads, width, common, own = 2, 4, 2, 8, 5, 3
    cache = DynamicCache()
    past = torch.randn(2, 1, kv_heads, common, width)
    cache.update(past[0], past[1], 0)
    query, key = torch.randn(rows, heads, queries, width), torch.randn(rows, kv_heads, own, width)
    value, mask = torch.randn(rows, kv_heads, own, width), torch.tensor([[1, 1, 1], [0, 1, 1]])
    prefix = SharedPrefix(cache)
    prefix.begin(mask)
    module = SimpleNamespace(layer_idx=0, is_causal=True, config=SimpleNamespace(layer_types=None, sliding_window=None))
    token = prefix_attention_module.current.set(prefix)
    try:
        found, _ = prefix_attention_module.prefix_attention(module, query, key, value, None, softcap=softcap)
    finally:
        prefix_attention_module.current.reset(token)
    for row in range(rows):
        for head in range(heads):
            keys, values = (
                torch.cat([old[0, head // 2], new[row, head // 2]]) for old, new in ((past[0], key), (past[1], value))
            )
            for place in range(queries):
                last = own - queries + place
                if not mask[row, last]:
                    continue  # a query of padding
                scores = keys @ query[row, head, place] / width**0.5
                scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
                hidden = [False] * common + [i > last or not mask[row, i] for i in range(own)]
                weights = scores.masked_fill(torch.tensor(hidden), -torch.inf).softmax(0)
                assert torch.allclose(found[row, place, head], weights @ values, atol=1e-6)


def talker(name: str) -> tuple:
    """A model that ends its line soon for some prompts only: the newline's logit is lifted a little."""
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(5)
    model = tiny_models(len(tokenizer))[name]
    newline = tokenizer("\n", add_special_tokens=False).input_ids[-1]
    width = model.get_output_embeddings().in_features
    model.set_output_embeddings(torch.nn.Linear(width, len(tokenizer)))
    with torch.no_grad():
        bias = model.get_output_embeddings().bias.zero_()
        bias[newline] = {"gpt2": 0.7}.get(name, 1.2)
    return model.eval(), tokenizer


@pytest.mark.parametrize("start", ["", EXAMPLES])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2_softcap", "mistral_sliding_window"])
def test_a_prompt_takes_the_place_of_a_finished_row(name, start, monkeypatch):
    model, tokenizer = talker(name)
    texts = [f"{start}English: {a}{b}\nGerman:" for a in "KQXZ" for b in "qvwxyz"]
    width = len(tokenizer(texts[0]).input_ids)
    prompts = [text for text in texts if len(tokenizer(text).input_ids) == width]
    expected = [slow(model, tokenizer, prompt) for prompt in prompts]
    rows, forward = [], type(model).forward

    def counted(self, input_ids, **keys):
        rows.append(input_ids.shape)
        return forward(self, input_ids, **keys)

    monkeypatch.setattr(type(model), "forward", counted)
    answers = generate(model, tokenizer, prompts, NEW, token_budget=5 * (width + NEW))
    assert [answer.text for answer in answers] == expected
    lengths = [answer.tokens for answer in answers]
    passes = [count for count, _ in rows]  # one of them may read the common beginning
    assert max(passes) == 5 and sum(passes) - sum(lengths) in (0, 1)
    in_turn = sum(max(lengths[first : first + 5]) for first in range(0, len(lengths), 5))
    assert min(lengths) < max(lengths) and sum(own == 1 for _, own in rows) < in_turn * 0.8


def test_every_end_of_a_text_and_other_stops_count():
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(3)
    model = tiny_models(len(tokenizer))["llama"]
    answers = generate(model, tokenizer, PROMPTS, NEW, stop=None)
    assert all(answer.tokens == NEW or answer.finished for answer in answers)
    ids = torch.tensor([tokenizer(PROMPTS[0]).input_ids])
    with torch.inference_mode():
        first = int(model(ids).logits[0, -1].argmax())
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, first]  # as where a chat's turn ends
    ended = generate(model, tokenizer, PROMPTS[:1], NEW, stop=None)[0]
    assert answers[0].tokens > 1 and ended.finished and ended.tokens == 1


def test_common_prefix_leaves_a_token_to_each():
    assert common_prefix([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert common_prefix([[1, 2], [1, 2, 4]]) == 1
    assert common_prefix([[1, 2]]) == 1 and common_prefix([]) == 0 and common_prefix([[3], [4]]) == 0


def test_a_prompt_without_room_is_refused():
    tokenizer = byte_level_tokenizer()
    model = tiny_models(len(tokenizer))["gpt2"]
    with pytest.raises(InputError, match="row 1"):
        generate(model, tokenizer, ["A", "A river " * 600], NEW)


def test_nan_is_no_answer():
    tokenizer = byte_level_tokenizer()
    model = tiny_models(len(tokenizer))["gpt2"]
    torch.nn.init.constant_(model.get_output_embeddings().weight, float("nan"))
    with pytest.raises(InputError, match="the model gives NaN; try --dtype float32"):
        generate(model, tokenizer, ["A river"], NEW)


def test_a_model_without_a_cache_is_told_so():
    tokenizer = byte_level_tokenizer()
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "layer_types": ["conv", "full_attention"],
    }
    config = Lfm2Config(vocab_size=len(tokenizer), num_attention_heads=4, num_key_value_heads=2, **size)
    for model in (tiny_models(len(tokenizer))["mamba_recurrent"], Lfm2ForCausalLM(config)):
        with pytest.raises(InputError, match=f"{type(model).__name__} has a recurrent state"):
            generate(model, tokenizer, PROMPTS, NEW)


def test_few_kernels_are_kept_unless_the_caller_says_how_many(monkeypatch):
    for own, kept in (("7", "7"), (None, "128")):
        monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", own or "")
        if own is None:
            monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
        importlib.reload(memory)
        assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == kept
