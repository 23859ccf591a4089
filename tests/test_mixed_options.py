"""A CSV data set whose questions have 2, 4, 5 and 26 options, from CSV to records, against slow scoring."""

import csv
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from common.evaluation.records import load_records
from common.lm.loading import load
from common.prompts import mmlu_prompt, text_prompt
from common.questions import LETTERS, read_questions
from tests.loopback import answering, serving
from tests.scripts import call, load_script

build = load_script("MMLU/build_variants.py")
has_logprobs = load_script("MMLU/calibrate.py").has_logprobs
evaluate = load_script("MMLU/evaluate_mmlu.py")
LANGUAGES = ["en", "de", "fr", "es", "it"]
SIZES = [2, 4, 5, 26]
COUNT = 12
NAMED = 20  # letters whose log-probability the server gives


def rows(code):
    """Rows of a CSV source: the sizes in turn; the answer is the last option of every other question."""
    cells = [["id", "subject", "context", "question", *LETTERS, "answer"]]
    for number in range(COUNT):
        size = SIZES[number % 4]
        options = [f"{code} {'river ' * (place % 3)}{place}" for place in range(size)] + [""] * (26 - size)
        answer = LETTERS[size - 1] if number % 2 else "A"
        cells.append(
            [f"q{number}", ("small", "large")[number % 3 == 0], "", f"{code}: which {number}?", *options, answer]
        )
    return cells


def write(folder, code, cells):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{code}.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(cells)


@pytest.fixture
def data(tmp_path, monkeypatch):
    for code in LANGUAGES:
        write(tmp_path / "data", code, rows(code))
    keys = ["--source", "csv", "--data", tmp_path / "data", "--out", tmp_path / "variants", "--num_fewshot", "2"]
    assert call(build, keys, monkeypatch) == 0
    return tmp_path / "variants"


@pytest.fixture
def ask(monkeypatch, data, tmp_path, tiny_checkpoint):
    def run(*keys, model=tiny_checkpoint, out="run"):
        base = ["--model", model, "--data", data, "--out", tmp_path / out, "--device", "cpu"]
        return call(evaluate, [*base, "--settings", "en,threewrong_de,mixup", *keys], monkeypatch), tmp_path / out

    return run


@pytest.fixture(scope="module")
def slow(tiny_checkpoint):
    """Log-probabilities of each continuation, one forward pass each."""
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")

    @cache
    def logprob(prompt, continuation):
        start = len(tokenizer(prompt).input_ids)
        ids = tokenizer(prompt + continuation, return_tensors="pt").input_ids
        with torch.no_grad():
            logprobs = model(ids).logits[0].log_softmax(-1)
        return sum(logprobs[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1]))

    return lambda prompt, continuations: np.array([logprob(prompt, one) for one in continuations])


def logprobs_of_row(row, options):
    """The log-probabilities of a record; there must be none beyond the options of the question."""
    values = row[[name for name in row.index if name.startswith("logprob_")]].to_numpy(float)
    assert len(values) == 26 and np.isnan(values[options:]).all()
    return values[:options]


def test_settings_are_built_for_all_sizes(data):
    english, wrong, mixup, examples = (
        read_questions(data / name) for name in ("en.csv", "threewrong_de.csv", "mixup.csv", "dev/en.csv")
    )
    assert len(english) == COUNT - 4 and len(examples) == 4
    assert {len(item.options) for item in [*english, *examples]} == set(SIZES)
    for item, other in zip(wrong, mixup, strict=True):
        assert item.option_languages.count("de") == len(item.options) - 1
        assert item.option_languages[item.letters.index(item.answer)] == "en"
        assert len({other.question_language, *other.option_languages}) == min(5, 1 + len(other.options))


@pytest.mark.parametrize("num_fewshot", [0, 2])
@pytest.mark.parametrize("answer_format", ["letter", "text"])
def test_records_equal_slow_scoring(ask, data, slow, answer_format, num_fewshot):
    code, out = ask("--answer_format", answer_format, "--num_fewshot", num_fewshot)
    assert code == 0 and has_logprobs(load_records(out))
    for setting in ("en", "threewrong_de", "mixup"):
        items, records = read_questions(data / f"{setting}.csv"), pd.read_csv(out / f"{setting}.csv")
        shots = read_questions(data / "dev" / f"{setting}.csv") if num_fewshot else []
        for item, (_, row) in zip(items, records.iterrows(), strict=True):
            own = [shot for shot in shots if shot.subject == item.subject]
            if answer_format == "letter":
                scores = slow(mmlu_prompt(item, own), [f" {letter}" for letter in item.letters])
                best = scores.argmax()
            else:
                scores = slow(text_prompt(item, own), [f" {option}" for option in item.options])
                best = (scores / [len(option.encode()) for option in item.options]).argmax()
            assert np.abs(logprobs_of_row(row, len(item.options)) - scores).max() < 1e-4
            assert row["prediction"] == LETTERS[best] and row["correct"] == (item.answer == LETTERS[best])


@pytest.fixture
def server(slow, monkeypatch):
    """A server that names the twenty likeliest of all 26 letters, whatever the question's own are."""
    pytest.importorskip("openai", reason="bash install.sh --dev installs it")

    def answer(route, body):
        scores = dict(zip(LETTERS, slow(body["prompt"], [f" {letter}" for letter in LETTERS]), strict=True))
        top = sorted(scores, key=scores.get, reverse=True)[:NAMED]
        first = {f" {letter}": scores[letter] for letter in top}
        token = {"tokens": [f" {top[0]}"], "token_logprobs": [scores[top[0]]], "text_offset": [0]}
        choice = {"index": 0, "text": f" {top[0]}", "finish_reason": "length"}
        choice["logprobs"] = token | {"top_logprobs": [first]}
        usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
        return {"id": "1", "created": 0, "model": "m", "object": "text_completion", "choices": [choice], "usage": usage}

    with serving(answering(answer), monkeypatch):
        yield


def test_a_server_is_asked_for_the_labels_that_a_question_has(server, ask, data, slow):
    code, out = ask(model="endpoint:m")
    assert code == 0
    unnamed = 0
    for setting in ("en", "threewrong_de", "mixup"):
        items, records = (
            read_questions(data / f"{setting}.csv"),
            pd.read_csv(out / f"{setting}.csv", keep_default_na=False),
        )
        for item, (_, row) in zip(items, records.replace("", np.nan).iterrows(), strict=True):
            every = slow(mmlu_prompt(item), [f" {letter}" for letter in LETTERS])
            expected = np.where(every >= np.sort(every)[-NAMED], every, np.nan)[: len(item.options)]
            assert np.allclose(logprobs_of_row(row, len(item.options)), expected, atol=1e-5, equal_nan=True)
            named = not np.isnan(expected).all()
            unnamed += np.isnan(expected).sum()
            assert row["extracted"] == named
            assert row["prediction"] == LETTERS[np.nanargmax(expected)] if named else pd.isna(row["prediction"])
    assert unnamed > 0


def test_another_number_of_options_than_in_english_is_refused(tmp_path, monkeypatch, capsys):
    cells = rows("de")
    write(tmp_path / "data", "en", rows("en"))
    cells[2][4 + 3] = ""  # the last of four options
    cells[2][-1] = "C"
    write(tmp_path / "data", "de", cells)
    keys = ["--source", "csv", "--data", tmp_path / "data", "--languages", "en,de", "--out", tmp_path / "out"]
    assert call(build, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert "de.csv, row 2: 3 options where English has 4" in error and "en.csv, row 2" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cells: cells[0].__setitem__(5, "X"), "the first line must be id,subject,context,question,A,B,answer"),
        (lambda cells: [row.insert(30, "") for row in cells], "the first line must be"),
        (lambda cells: cells[3].pop(), "row 3: 30 cells where the header has 31"),
        (lambda cells: cells[1].__setitem__(5, ""), "row 1: 1 options where 2 to 26 are needed"),
        (lambda cells: cells[3].__setitem__(6, " "), "row 3: option C is empty"),
        (lambda cells: cells[1].__setitem__(-1, "C"), "row 1: the answer is 'C'; it must be A or B"),
    ],
)
def test_malformed_options_are_refused(tmp_path, monkeypatch, capsys, change, said):
    cells = rows("en")
    change(cells)
    write(tmp_path / "data", "en", cells)
    keys = ["--source", "csv", "--data", tmp_path / "data", "--languages", "en", "--out", tmp_path / "out"]
    assert call(build, keys, monkeypatch) == 2
    assert f"en.csv{':' if said.startswith('the first') else ','} {said}" in capsys.readouterr().err
