"""Recall/cloze.py: scores against one forward pass each, malformed data; RankC against a slow one."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.lm.loading import load
from tests.scripts import call, load_script
from tests.tiny import characters_tokenizer, tiny_llama

cloze = load_script("Recall/cloze.py")
rank_consistency = load_script("Recall/rank_consistency.py").rank_consistency

# Ranks, not arbitrary scores: the first of equal ones ranks higher, which a permutation would change.
RANKED = st.integers(2, 8).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n))))

ROWS = {
    "en": [
        ("The river of Paris is <mask>.", "the Seine", "the Po, the Seine, the Tagus"),
        ("<mask> is the capital of Portugal.", "Lisbon", "Lisbon, Rome"),
        ("Rome has <mask> hills", "seven", "seven, two, nine, no"),
        ("A <mask>", "sea", "sea"),
    ],
    "de": [
        ("Der Fluss von Paris ist <mask>.", "die Seine", "der Po, die Seine, der Tejo"),
        ("<mask> ist die Hauptstadt Portugals.", "Lissabon", "Lissabon, Rom"),
        ("Rom hat <mask> Hügel", "sieben", "sieben, zwei, neun, keine"),
        ("Ein <mask>", "Meer", "Meer"),
    ],
}


def write_cloze(folder, rows=ROWS):
    folder.mkdir(exist_ok=True)
    for code, own in rows.items():
        with open(folder / f"{code}.tsv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows(
                [("Prompt", "Ans", "Candidate Ans", "Subject"), *((*row, "x") for row in own)]
            )
    return folder


def slow_scores(model, tokenizer, prompt, candidates):
    """Mean log-probability of the tokens from the gap on, one forward pass a candidate."""
    before = prompt.split("<mask>")[0].rstrip()
    scores = []
    for candidate in candidates:
        text = prompt.replace("<mask>", candidate)
        ids = tokenizer(text, return_tensors="pt").input_ids
        start = len(tokenizer(before).input_ids)
        if tokenizer.bos_token_id != tokenizer("a").input_ids[0] and not before:
            ids = torch.cat([torch.tensor([[tokenizer.eos_token_id]]), ids], dim=1)
            start = 1
        with torch.no_grad():
            logprobs = model(ids).logits[0].log_softmax(-1)
        own = [logprobs[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1])]
        scores.append(sum(own) / len(own))
    return scores


@pytest.mark.parametrize("bos", [True, False])
def test_scores_equal_one_forward_pass_each(bos, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    checkpoint = tiny_checkpoint
    if not bos:  # such as Qwen and GPT-2: nothing to predict a sentence's first word from but the end of a text
        checkpoint = tmp_path / "no_bos"
        tokenizer = characters_tokenizer()
        tokenizer.save_pretrained(checkpoint)
        torch.manual_seed(0)
        tiny_llama(len(tokenizer)).save_pretrained(checkpoint)
    keys = [
        "--model",
        checkpoint,
        "--data",
        write_cloze(tmp_path / "data"),
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    ]
    assert call(cloze, keys, monkeypatch) == 0 and "1 sentences have a single candidate" in capsys.readouterr().out
    model, tokenizer = load(str(checkpoint), device="cpu")
    found = {}
    for code in ("en", "de"):
        table = pd.read_csv(tmp_path / "out" / f"{code}.csv", dtype=str)
        found[code] = [list(map(float, row.split())) for row in table["scores"]]
        for row, scores, correct in zip(ROWS[code], found[code], table["correct"], strict=False):
            candidates = row[2].split(", ")
            assert scores == pytest.approx(slow_scores(model, tokenizer, row[0], candidates), abs=1e-4)
            assert int(correct) == (candidates[int(np.argmax(scores))] == row[1])
    ranking = pd.read_csv(tmp_path / "out" / "rank_consistency.csv").pivot(
        index="language_a", columns="language_b", values="value"
    )
    assert np.allclose(ranking, ranking.T) and np.allclose(np.diag(ranking), 1)
    assert ranking.loc["en", "de"] == pytest.approx(rank_consistency(found["en"], found["de"]), abs=1e-5)
    assert pd.read_csv(tmp_path / "out" / "accuracy.csv")["chance"][0] == pytest.approx(
        (1 / 3 + 1 / 2 + 1 / 4) / 3, abs=1e-5
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("No gap", "a", "a, b"), "row 2: 'No gap' must have one <mask>"),
        (("A <mask>", "c", "a, b"), "row 2: the answer 'c' is not among"),
        (("A <mask>", "a", "a, a"), "row 2: the candidates 'a, a' are not all different"),
        (("A <mask>", "a", "a, b, c"), "row 2: other candidates or another answer than in en"),
    ],
)
def test_malformed_cloze_rows_are_refused(row, said, tmp_path, monkeypatch, capsys):
    data = write_cloze(tmp_path / "data", ROWS | {"de": [ROWS["de"][0], row, *ROWS["de"][2:]]})
    keys = ["--model", "none", "--data", data, "--out", tmp_path / "out"]
    assert call(cloze, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert "de.tsv" in error and said in error and not (tmp_path / "out").exists()


def test_fewer_rows_and_no_files_are_refused(tmp_path, monkeypatch, capsys):
    data = write_cloze(tmp_path / "data", ROWS | {"de": ROWS["de"][:2]})
    assert call(cloze, ["--model", "none", "--data", data, "--out", tmp_path / "out"], monkeypatch) == 2
    assert "2 rows where en has 4" in capsys.readouterr().err
    assert call(cloze, ["--model", "none", "--data", tmp_path, "--out", tmp_path / "out"], monkeypatch) == 2
    assert "no <language>.tsv" in capsys.readouterr().err


def test_real_bmlama(real_data, tiny_checkpoint, tmp_path, monkeypatch):
    source = real_data / "bmlama"
    if not source.exists():
        pytest.skip("no bmlama/")
    keys = ["--model", tiny_checkpoint, "--data", source, "--out", tmp_path, "--limit", "30", "--device", "cpu"]
    assert call(cloze, keys, monkeypatch) == 0
    assert len(pd.read_csv(tmp_path / "it.csv")) == 30 and len(pd.read_csv(tmp_path / "rank_consistency.csv")) == 25


def slow_rankc(scores_a, scores_b):
    total = 0
    for a, b in zip(scores_a, scores_b, strict=True):
        n = len(a)
        orders = [sorted(range(n), key=lambda i, s=scores: (-s[i], i)) for scores in (a, b)]
        weights = [math.exp(n - j) for j in range(1, n + 1)]
        for j in range(1, n + 1):
            overlap = len(set(orders[0][:j]) & set(orders[1][:j])) / j
            total += weights[j - 1] / sum(weights) * overlap
    return total / len(scores_a)


@given(st.lists(RANKED, min_size=1, max_size=5))
def test_rankc_equals_the_slow_one_and_is_symmetric(questions):
    a, b = [list(map(float, one)) for one, _ in questions], [list(map(float, other)) for _, other in questions]
    value = rank_consistency(a, b)
    assert value == pytest.approx(slow_rankc(a, b)) and 0 <= value <= 1
    assert value == pytest.approx(rank_consistency(b, a)) and rank_consistency(a, a) == pytest.approx(1)


@given(RANKED, st.randoms(use_true_random=False))
def test_rankc_does_not_depend_on_the_order_of_candidates_and_questions(ranked, rng):
    a, b = ranked
    order = list(range(len(a)))
    rng.shuffle(order)
    shuffled = [a[i] for i in order], [b[i] for i in order]
    assert rank_consistency([a], [b]) == pytest.approx(rank_consistency([shuffled[0]], [shuffled[1]]))
    assert rank_consistency([a, a], [a, b]) == pytest.approx(rank_consistency([a, a], [b, a]))


def test_rankc_of_ragged_lists():
    a, b = [[3.0, 2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 2.0]]
    padded = [np.array([[3.0, 2.0, 1.0], [1.0, 2.0, np.nan]]), np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]])]
    assert rank_consistency(a, b) == pytest.approx(rank_consistency(*padded)) == slow_rankc(a, b)
    assert rank_consistency([[0.0, 0.0]], [[0.0, -1.0]]) == 1  # the first of equal ones ranks higher
    with pytest.raises(ValueError, match="2 and 3 candidates"):
        rank_consistency([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="1 and 2 questions"):
        rank_consistency([[1.0]], [[1.0], [2.0]])


def test_no_questions_have_no_rankc():
    with pytest.warns(RuntimeWarning, match="no questions"):
        assert math.isnan(rank_consistency([], []))
