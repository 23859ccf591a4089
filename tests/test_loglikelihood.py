"""The scorer against the slow obvious version: one prompt with one continuation, one forward pass, float32."""

import logging
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import common.lm.loglikelihood as loglikelihood_module
from common.cli import InputError
from common.lm.loading import load
from common.lm.loglikelihood import ScoringStats, loglikelihood
from common.lm.prefix_tree import build_tree, tree_size
from common.lm.tree_attention import LONG_STEM, next_stop
from tests.tiny import (
    byte_level_tokenizer,
    characters_tokenizer,
    sentencepiece_tokenizer,
    tiny_llama,
    tiny_models,
    unusual_models,
)

LETTERS = [" A", " B", " C", " D"]
STEM = "The following are multiple choice questions (with answers) about  geography.\n\n"
PROMPTS = [
    f"{STEM}Which river flows through the capital?\nA. the Seine\nB. the Danube\nC. the Tagus\nD. the Po\nAnswer:",
    f"{STEM}Which river flows through the capital?\nA. the Seine\nB. die Donau\nC. the Tagus\nD. the Po\nAnswer:",
    f"{STEM}Quel fleuve traverse la capitale ?\nA. the Seine\nB. the Danube\nC. the Tagus\nD. the Po\nAnswer:",
    f"{STEM}¿Qué río atraviesa la capital?\nA. el Sena\nB. el Danubio\nC. el Tajo\nD. el Po\nAnswer:",
    "Quale fiume?\nAnswer:",
    f"{STEM}Which river flows through the capital?\nA. the Seine\nB. the Danube\nC. the Tagus\nD. the Po\nAnswer:",
]


def slow(model, tokenizer, prompts, continuations) -> np.ndarray:
    """log P by definition; a continuation begins where the tokens of prompt + continuation leave the prompt's."""
    result = np.zeros((len(prompts), len(continuations)))
    for p, prompt in enumerate(prompts):
        for c, continuation in enumerate(continuations):
            alone, together = tokenizer(prompt)["input_ids"], tokenizer(prompt + continuation)["input_ids"]
            start = next((i for i, (a, b) in enumerate(zip(alone, together, strict=False)) if a != b), len(alone))
            with torch.no_grad():
                logprobs = model(torch.tensor([together])).logits[0].log_softmax(-1)
            result[p, c] = sum(logprobs[i - 1, together[i]].item() for i in range(start, len(together)))
    return result


TOKENIZER = byte_level_tokenizer()
MODELS = tiny_models(len(TOKENIZER))


@pytest.mark.parametrize("name", MODELS)
def test_equals_slow_version_for_any_token_budget(name):
    model, continuations = MODELS[name], [*LETTERS, " the Seine", " die Donau"]
    expected = slow(model, TOKENIZER, PROMPTS, continuations)
    assert expected.std() > 0.1, "a model that gives every continuation the same score tests nothing"
    for budget in (1, 7, 64, 150, 100_000):
        got = loglikelihood(model, TOKENIZER, PROMPTS, continuations, token_budget=budget)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_bfloat16_is_as_exact_as_plain_attention():
    """Products of queries and keys that are large, as in real models, say little in bfloat16."""
    letters, apart, off = [TOKENIZER(letter).input_ids for letter in LETTERS], [], []
    for seed in range(4):
        torch.manual_seed(seed)
        model = tiny_llama(len(TOKENIZER))
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.data *= 4
            layer.self_attn.k_proj.weight.data *= 4
        model = model.to(torch.bfloat16)
        ours, plain = (loglikelihood(model, TOKENIZER, PROMPTS, letters, alone=alone) for alone in (False, True))
        exact = loglikelihood(model.float(), TOKENIZER, PROMPTS, letters)
        apart.append(np.abs(ours - plain).mean())
        off.append(np.abs(plain - exact).mean())
    assert np.mean(off) > 0.1, "a model that bfloat16 changes little tests nothing"
    assert np.mean(apart) < 0.04


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_products_in_half_precision_have_few_numbers_of_rows(dtype):
    """Ranges and predictions are filled up to a multiple; a GPU and float32 need no such thing."""
    model, rows, stats = tiny_llama(len(TOKENIZER)).to(dtype), {}, ScoringStats()
    for layer in (model.model.layers[0].mlp.up_proj, model.lm_head):
        layer.register_forward_hook(lambda layer, inputs, _: rows.setdefault(layer, []).append(inputs[0].shape[1]))
    loglikelihood(model, TOKENIZER, PROMPTS, LETTERS, token_budget=10, stats=stats)
    (reads, heads), few = rows.values(), 32 if dtype == torch.bfloat16 else 1
    assert len(reads) == len(heads) > 1 and not any(n % few for n in (*reads, *heads))
    assert sum(reads) == stats.computed_tokens and sum(reads) - few * len(reads) < stats.tree_tokens <= sum(reads)


@pytest.mark.parametrize("budget", [1, 10, 70, 100_000])
def test_what_fills_a_pass_changes_no_score(budget, monkeypatch):
    """In float32, where it can be told from rounding."""
    monkeypatch.setattr("common.lm.precision.compute_dtype", lambda model: torch.bfloat16)
    for name in ("llama", "mistral_sliding_window"):
        stats = ScoringStats()
        got = loglikelihood(MODELS[name], TOKENIZER, PROMPTS, LETTERS, token_budget=budget, stats=stats)
        np.testing.assert_allclose(got, slow(MODELS[name], TOKENIZER, PROMPTS, LETTERS), atol=1e-4)
        assert stats.computed_tokens % 32 == 0 and stats.computed_tokens > stats.tree_tokens


@pytest.mark.parametrize("name", ["deepseek_v3_latent", "diffllama_called_twice", "afmoe_views"])
def test_attention_that_takes_liberties_is_scored_right(name):
    torch.manual_seed(6)
    model = unusual_models(len(TOKENIZER))[name]
    expected = slow(model, TOKENIZER, PROMPTS, LETTERS)
    for budget in (64, 150, 100_000):
        got = loglikelihood(model, TOKENIZER, PROMPTS, LETTERS, token_budget=budget)
        np.testing.assert_allclose(got, expected, atol=1e-3)


def test_batches_have_one_length_where_padding_is_seen(monkeypatch):
    model, lengths = MODELS["llama"], []
    expected = loglikelihood(model, TOKENIZER, PROMPTS, LETTERS)
    forward = type(model).forward
    monkeypatch.setattr(loglikelihood_module, "plain_path_reason", lambda _: "it is told to")
    monkeypatch.setattr(loglikelihood_module, "layer_types", lambda _: {"compressed_sparse_attention"})

    def watched(self, input_ids, attention_mask, **keys):
        lengths.append(attention_mask.all().item())
        return forward(self, input_ids, attention_mask=attention_mask, **keys)

    monkeypatch.setattr(type(model), "forward", watched)
    got = loglikelihood(model, TOKENIZER, PROMPTS, LETTERS, token_budget=100_000)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert all(lengths) and 1 < len(lengths) <= len(PROMPTS)


def test_only_architectures_that_cannot_follow_a_tree_take_the_plain_path(caplog):
    logging.Logger.warning_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for name, model in MODELS.items():
            stats = ScoringStats()
            for _ in range(2):
                loglikelihood(model, TOKENIZER, PROMPTS, LETTERS, stats=stats)
            assert (stats.computed_tokens == stats.tree_tokens) == (name != "mamba_recurrent")
    assert [record.message.split(" is computed")[0] for record in caplog.records] == ["MambaForCausalLM"]


@pytest.mark.parametrize("make", [byte_level_tokenizer, lambda: byte_level_tokenizer(bos=False), characters_tokenizer])
def test_byte_level_tokenizers_with_and_without_bos_and_with_two_token_letters(make):
    tokenizer = make()
    model = tiny_llama(len(tokenizer))
    expected = slow(model, tokenizer, PROMPTS, LETTERS)
    got = loglikelihood(model, tokenizer, PROMPTS, LETTERS)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_sentencepiece_with_a_dummy_prefix_scores_the_letter_that_follows(tmp_path):
    tokenizer = sentencepiece_tokenizer(tmp_path)
    assert tokenizer.tokenize("A") == ["▁A"] == tokenizer.tokenize("Answer: A")[-1:]
    assert tokenizer.tokenize("Answer: (A")[-1:] == ["A"], "inside a word, the letter is another token"
    model = tiny_llama(len(tokenizer))
    bare = [letter.strip() for letter in LETTERS]
    inside, after_blank = ([prompt + end for prompt in PROMPTS] for end in (" (", " "))
    for prompts, letters in ((PROMPTS, LETTERS), (inside, bare), (after_blank, bare)):
        got = loglikelihood(model, tokenizer, prompts, letters)
        np.testing.assert_allclose(got, slow(model, tokenizer, prompts, letters), atol=1e-4)


def test_continuation_that_merges_with_the_end_of_the_prompt():
    tokenizer = byte_level_tokenizer()
    prompt, continuation = "Passage: A river is a natural stre", "am"
    alone, together = (tokenizer(text)["input_ids"] for text in (prompt, prompt + continuation))
    assert together[: len(alone)] != alone, "the tokenizer has to merge across the border for this test"
    model = tiny_llama(len(tokenizer))
    got = loglikelihood(model, tokenizer, [prompt], [continuation])
    np.testing.assert_allclose(got, slow(model, tokenizer, [prompt], [continuation]), atol=1e-4)


def test_a_text_that_brings_its_own_bos_gets_no_second_one():
    stats = [ScoringStats(), ScoringStats()]
    model = MODELS["llama"]
    one = loglikelihood(model, TOKENIZER, ["<s>Answer:"], LETTERS, stats=stats[0])
    other = loglikelihood(model, TOKENIZER, ["Answer:"], LETTERS, stats=stats[1])
    np.testing.assert_array_equal(one, other)
    assert stats[0] == stats[1]


def test_one_list_of_continuations_per_prompt_and_token_ids():
    model = MODELS["llama"]
    lists = [[" A", " B"], [" the Seine", " C", " D"]]
    got = loglikelihood(model, TOKENIZER, PROMPTS[:2], lists)
    assert got.shape == (2, 3) and np.isnan(got[0, 2]) and not np.isnan(got[1]).any()
    for row, prompt, continuations in zip(got, PROMPTS, lists, strict=False):
        expected = slow(model, TOKENIZER, [prompt], continuations)[0]
        np.testing.assert_allclose(row[: len(continuations)], expected, atol=1e-4)
    ids = [tuple(TOKENIZER(letter, add_special_tokens=False)["input_ids"]) for letter in LETTERS]
    by_ids = loglikelihood(model, TOKENIZER, PROMPTS, ids)
    np.testing.assert_allclose(by_ids, slow(model, TOKENIZER, PROMPTS, LETTERS), atol=1e-4)


def test_letters_of_the_same_token_are_refused():
    tokenizer = byte_level_tokenizer(size=258)
    model = tiny_llama(len(tokenizer))
    with pytest.raises(InputError, match="prompt 0 are the same tokens"):
        loglikelihood(model, tokenizer, ["Answer:"], [(5,), [5, 6], (5, 6)])


@pytest.mark.parametrize(
    ("prompts", "continuations", "message"),
    [
        (["Answer:"], [""], "adds no token"),
        (["Answer:"], [[" A"], [" B"]], "1 prompts but 2 lists"),
        (["Answer: Answer: " * 900], [" A"], "the model takes 2048"),
    ],
)
def test_bad_input_is_refused(prompts, continuations, message):
    with pytest.raises(InputError, match=message):
        loglikelihood(MODELS["llama"], TOKENIZER, prompts, continuations)


def test_memory_shortage_halves_the_budget_and_changes_nothing(monkeypatch, caplog):
    model, sizes = MODELS["llama"], []
    run_batch = loglikelihood_module._run_batch

    def limited(model, batch, nodes, targets):
        sizes.append(batch.size)
        if batch.size > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_batch(model, batch, nodes, targets)

    expected = slow(model, TOKENIZER, PROMPTS, LETTERS)
    monkeypatch.setattr(loglikelihood_module, "_run_batch", limited)
    got = loglikelihood(model, TOKENIZER, PROMPTS, LETTERS, token_budget=256)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert max(sizes) > 100 and "retrying with 128" in caplog.text


def test_an_error_that_is_not_about_memory_is_raised(monkeypatch):
    def broken(*_):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(loglikelihood_module, "_run_batch", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        loglikelihood(MODELS["llama"], TOKENIZER, PROMPTS, LETTERS)


def test_attention_implementation_is_restored_after_scoring():
    model = MODELS["llama"]
    before = model.config._attn_implementation
    loglikelihood(model, TOKENIZER, PROMPTS, LETTERS)
    assert model.config._attn_implementation == before != "prefix_tree"


def test_every_distinct_token_is_computed_once():
    stats = ScoringStats()
    loglikelihood(MODELS["llama"], TOKENIZER, PROMPTS, LETTERS, token_budget=50, stats=stats)
    ids = [tuple(TOKENIZER(prompt)["input_ids"]) for prompt in PROMPTS]
    assert stats.prompt_tokens == sum(map(len, ids))
    assert stats.tree_tokens == stats.computed_tokens == len({row[:n] for row in ids for n in range(1, len(row) + 1)})


@pytest.mark.parametrize("most", [1, 3])
def test_a_pass_has_no_more_logits_than_fit(monkeypatch, most):
    model, continuations, seen = MODELS["llama"], [*LETTERS, " the Seine", " die Donau"], []
    monkeypatch.setitem(loglikelihood_module.LOGITS, "cpu", most * len(TOKENIZER))
    find = loglikelihood_module._target_logprobs
    monkeypatch.setattr(
        loglikelihood_module, "_target_logprobs", lambda *args: seen.append(len(args[0])) or find(*args)
    )
    got = loglikelihood(model, TOKENIZER, PROMPTS, continuations)
    np.testing.assert_allclose(got, slow(model, TOKENIZER, PROMPTS, continuations), atol=1e-4)
    assert max(seen) == most and len(seen) > 1


def test_a_saved_checkpoint_and_its_adapter_load_and_score(tiny_checkpoint, tmp_path):
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    before = loglikelihood(model, tokenizer, PROMPTS, LETTERS)
    np.testing.assert_allclose(before, slow(model, tokenizer, PROMPTS, LETTERS), atol=1e-4)
    adapter = get_peft_model(model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapter.save_pretrained(tmp_path / "adapter")
    adapted, tokenizer = load(str(tmp_path / "adapter"), device="cpu")
    after = loglikelihood(adapted, tokenizer, PROMPTS, LETTERS)
    np.testing.assert_allclose(after, slow(adapted, tokenizer, PROMPTS, LETTERS), atol=1e-4)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "no/such-folder"}, "no/such-folder"),
        ({"dtype": "int3"}, "dtype 'int3' is not one of"),
        ({"device": "abacus"}, "device 'abacus' is not known"),
        ({"device": "cuda:99"}, "cannot be loaded"),
        ({"attention": "flash_attention_2", "device": "cpu"}, "cannot be loaded"),
    ],
)
def test_models_that_cannot_be_loaded_are_named(tiny_checkpoint, keys, message):
    keys = {"name": str(tiny_checkpoint)} | keys
    with pytest.raises(InputError, match=message):
        load(keys.pop("name"), **keys)


def test_weights_that_are_cut_are_named(tiny_checkpoint, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cut' cannot be loaded"):
        load(str(tmp_path / "cut"), device="cpu")


def test_weights_in_another_format_are_no_damage(tiny_checkpoint, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "old" / "pytorch_model.bin")
    with pytest.raises(InputError, match="old' cannot be loaded, no safetensors"):
        load(str(tmp_path / "old"), device="cpu")


sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=20)


@given(sequences)
@settings(deadline=None, max_examples=200)
def test_tree_holds_every_prefix_once_in_depth_first_order(rows):
    tree = build_tree([np.array(row) for row in rows])
    prefixes = {tuple(row[: n + 1]) for row in rows for n in range(len(row))}
    spelled = [tuple(tree.tokens[tree.path(node)]) for node in range(len(tree))]
    assert len(tree) == len(prefixes) and set(spelled) == prefixes
    for row, node in zip(rows, tree.last, strict=True):
        assert spelled[node] == tuple(row)
    for node, prefix in enumerate(spelled):
        assert tree.depth[node] == len(prefix) - 1
        below = [n for n, other in enumerate(spelled) if other[: len(prefix)] == prefix]
        assert below == list(range(node, tree.end[node]))


@given(sequences, st.integers(1, 40))
@settings(deadline=None, max_examples=100)
def test_ranges_cover_the_tree_within_the_budget(rows, budget):
    tree = build_tree([np.array(row) for row in rows])
    start = 0
    while start < len(tree):
        stop = next_stop(tree, start, budget)
        assert start < stop <= min(start + budget, len(tree))
        start = stop


def test_a_long_stem_is_a_range_of_its_own():
    stem = np.arange(LONG_STEM + 5)
    tree = build_tree([np.concatenate([stem, [1000 + i] * 9]) for i in range(20)])
    assert next_stop(tree, 0, 1024) == len(stem)


def test_tree_size_counts_distinct_bytes():
    assert tree_size(["abc", "abd", "x", "abc"]) == 5
    assert tree_size(["é"]) == 2 and tree_size([]) == 0


def test_tokenisation_of_last_lines_equals_that_of_whole_texts():
    from common.lm.tokenization import tokenize_pairs

    prompts = [*PROMPTS, "no line end", "ends with a line\n", "two\n\n\nAnswer:", " \n Answer:", "a\n  \tb"]
    for pair in tokenize_pairs(TOKENIZER, prompts, [[" A", "B", " the Seine"]] * len(prompts)):
        text = prompts[pair.prompt] + [" A", "B", " the Seine"][pair.continuation]
        assert pair.tokens.tolist() == TOKENIZER(text)["input_ids"]
