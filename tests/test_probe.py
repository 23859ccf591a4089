"""The probe: its numbers against slow references, what a shift and a projection undo, no question seen twice."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold

from common.cli import InputError
from common.lm.loading import load
from common.prompts import mmlu_prompt
from common.questions import read_questions
from common.reporting.provenance import read_run
from tests.mmlu import rewrite, write_variants
from tests.scripts import call, load_script

script = load_script("Translation/probe.py")
probing = load_script("Translation/probing.py")
evaluate = load_script("MMLU/evaluate_mmlu.py")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def balanced(right, said):
    return (np.mean(said[right]) + np.mean(~said[~right])) / 2


def slow_auroc(scores, right):
    pairs = [(a, b) for a in scores[right] for b in scores[~right]]
    return np.mean([(a > b) + (a == b) / 2 for a, b in pairs])


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_numbers_of_questions_have_the_estimate_as_their_mean_and_delongs_error(share, rng):
    right = rng.random(300) < share
    scores = np.round(right + rng.normal(size=300), 1)  # with ties
    value, low, high, numbers = probing.auroc(scores, right)
    assert value == pytest.approx(slow_auroc(scores, right)) == numbers.mean()
    positive = [np.mean((s > scores[~right]) + (s == scores[~right]) / 2) for s in scores[right]]
    negative = [np.mean((s < scores[right]) + (s == scores[right]) / 2) for s in scores[~right]]
    error = np.sqrt(np.var(positive, ddof=1) / len(positive) + np.var(negative, ddof=1) / len(negative))
    assert (high - low) / 2 == pytest.approx(1.959964 * error, rel=0.02) and (high + low) / 2 == pytest.approx(value)
    value, low, high, numbers = probing.balanced_accuracy(scores - 0.5, right)
    assert value == pytest.approx(balanced(right, scores > 0.5)) == numbers.mean()
    shares = np.mean(scores[right] > 0.5), np.mean(scores[~right] <= 0.5)
    error = np.sqrt(sum(s * (1 - s) / n for s, n in zip(shares, (right.sum(), (~right).sum()), strict=True))) / 2
    assert (high - low) / 2 == pytest.approx(1.959964 * error, rel=0.05)


def test_an_auroc_of_one_and_of_nothing():
    right = np.arange(20) % 2 == 0
    assert probing.auroc(right.astype(float), right)[:3] == (1, 1, 1)
    assert probing.auroc(np.zeros(20), right)[0] == 0.5 == probing.balanced_accuracy(np.zeros(20), right)[0]


def made(rng, n=200, size=30, noise=1.0):
    """States in one language, and whether the answer was right, which one direction tells."""
    right = rng.random(n) < 0.6
    states = rng.normal(size=(n, size)) * rng.uniform(0.5, 3, size) + 5
    states[:, 0] = rng.normal(size=n) + 4 * noise * right
    return states, right


def slow_scores(states, right, train, test):
    """A logistic regression from its definition: sum of weighted losses plus half the squared weights."""
    mean, spread = states[train].mean(axis=0), states[train].std(axis=0)
    x, signs = (states[train] - mean) / spread, np.where(right[train], 1, -1)
    weights = len(train) / 2 / np.where(right[train], right[train].sum(), (~right[train]).sum())

    def loss(w):
        return weights @ np.logaddexp(0, -signs * (x @ w[1:] + w[0])) + w[1:] @ w[1:] / 2

    best = minimize(loss, np.zeros(x.shape[1] + 1), method="BFGS").x
    return (states[test] - mean) / spread @ best[1:] + best[0]


def test_scores_are_those_of_a_logistic_regression_on_other_questions(rng):
    states, right = made(rng, 60, 4, noise=0.3)
    found = probing.cross_scores({"en": states}, {"en": right}, 7)
    assert list(found) == [("en", "en", "as_is")]
    for train, test in StratifiedKFold(5, shuffle=True, random_state=7).split(right, right):
        scores = slow_scores(states, right, train, test)
        assert found["en", "en", "as_is"][test, 0] == pytest.approx(scores, abs=0.01)
        assert found["en", "en", "as_is"][test, 1].mean() == pytest.approx(0, abs=1e-9)


def test_a_constant_offset_is_undone_exactly_by_the_shift(rng):
    states, right = made(rng)
    offset = rng.normal(size=states.shape[1]) * 20
    found = probing.cross_scores({"en": states, "de": states + offset}, {"en": right, "de": right}, 1)
    own, shifted, plain = (found["en", code, how] for code, how in (("en", "as_is"), ("de", "shift"), ("de", "as_is")))
    assert np.allclose(own, shifted, atol=1e-9)
    assert np.abs(plain[:, 0] - own[:, 0]).min() > 1
    accuracy = {name: probing.balanced_accuracy(x[:, 0], right)[0] for name, x in (("own", own), ("plain", plain))}
    assert accuracy["own"] > 0.9 and accuracy["plain"] < 0.6
    assert probing.auroc(plain[:, 1], right)[0] == pytest.approx(probing.auroc(own[:, 1], right)[0])
    assert np.allclose(found["de", "en", "shift"], found["de", "de", "as_is"], atol=1e-9)


def test_states_are_moved_to_the_language_of_training(rng):
    target, source, states = (
        rng.normal(size=shape) + place for shape, place in (((50, 6), 3), ((50, 6), -4), ((9, 6), 3))
    )
    assert probing.moved(states, target, source, "as_is") is states
    shifted = probing.moved(target, target, source, "shift")
    assert np.allclose(shifted.mean(axis=0), source.mean(axis=0)) and np.allclose(
        shifted - target, shifted[0] - target[0]
    )
    centred = target - target.mean(axis=0)
    weights = np.linalg.lstsq(centred, source - source.mean(axis=0), rcond=None)[0]
    expected = (states - target.mean(axis=0)) @ weights + source.mean(axis=0)
    assert np.allclose(probing.moved(states, target, source, "projection"), expected)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
def test_the_pseudoinverse_is_that_by_singular_values(rng, shape):
    states = rng.normal(size=shape) * np.geomspace(1, 1e-3, shape[1])
    states -= states.mean(axis=0)  # so that one direction of the questions is empty
    slow = np.linalg.pinv(states, rcond=1e-9)
    np.testing.assert_allclose(probing.pseudoinverse(states), slow, atol=1e-6 * np.abs(slow).max())


def test_a_rotation_and_offset_are_undone_by_the_projection_alone(rng):
    states, right = made(rng)
    rotation = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    found = probing.cross_scores({"en": states, "de": states @ rotation + 3}, {"en": right, "de": right}, 1)
    own = found["en", "en", "as_is"]
    assert np.allclose(own, found["en", "de", "projection"], atol=1e-6)
    assert probing.auroc(found["en", "de", "shift"][:, 1], right)[0] < 0.75 < probing.auroc(own[:, 1], right)[0]


def test_no_question_is_tested_that_was_trained_on_in_any_language(rng):
    """Random labels, the same in both languages, more dimensions than questions: who has seen them knows them all."""
    states, right = rng.normal(size=(100, 400)), rng.random(100) < 0.5
    found = probing.cross_scores({"en": states, "de": states + 0.01}, {"en": right, "de": right}, 1)
    for key, scores in found.items():
        assert 0.3 < probing.balanced_accuracy(scores[:, 0], right)[0] < 0.7, key


def test_means_over_pairs_and_the_layer_that_is_chosen():
    answers = []
    for layer, train, test, method, area in [
        (0, "en", "en", "as_is", 0.9), (1, "en", "en", "as_is", 0.6), (0, "de", "de", "as_is", 0.5),
        (1, "de", "de", "as_is", 0.7), *((k, *pair, how, 0.4) for k in (0, 1) for pair in (("en", "de"), ("de", "en"))
        for how in probing.METHODS),
    ]:  # fmt: skip
        name = {"layer": layer, "train": train, "test": test, "method": method}
        better = 0.1 * (method == "shift") + 0.05 * layer
        for number in range(150):
            answers.append(
                name | {"id": str(number), "auroc": area, "balanced_accuracy": 0.6 + better + number % 2 / 10}
            )
    kept = probing.at_chosen_layers(pd.DataFrame(answers))
    assert kept.groupby("train")["layer"].unique().map(list).to_dict() == {"en": [0], "de": [1]}
    assert len(kept) == 150 * (2 + 2 * 3) and not kept.duplicated(["id", "train", "test", "method"]).any()
    pairs = probing.by_pair(kept).set_index(["train", "test", "method"])
    assert pairs.loc[("de", "de", "as_is"), ["n", "auroc", "balanced_accuracy"]].tolist() == pytest.approx(
        [150, 0.7, 0.7]
    )
    table = probing.pooled(kept, 42).set_index(["test", "method", "measure"])
    assert table.loc[("others", "as_is", "balanced_accuracy"), "value"] == pytest.approx(0.65 + 0.025)
    shift = table.loc[("others", "shift", "balanced_accuracy")]
    assert (shift["vs_as_is"], shift["vs_as_is_low"], shift["n"]) == pytest.approx((0.1, 0.1, 150))
    said = script.sentence(table.reset_index())
    assert "and in 67.5 [" in said and "by +10.0 [+10.0, +10.0] points, a least-squares projection by +0.0 [" in said


def test_the_choice_of_a_layer_makes_its_figures_no_better(rng):
    """Fifty layers of noise: the best of them looks good, the chosen ones do not on what did not choose them."""
    best, chosen = [], []
    for _ in range(20):
        right, layers = rng.random(100) < 0.4, []
        for layer in range(50):
            value, *_, numbers = probing.auroc(rng.normal(size=100), right)
            name = {"layer": layer, "train": "en", "test": "en", "method": "as_is"}
            layers.append(pd.DataFrame(name | {"id": range(100), "auroc": numbers}))
        table = pd.concat(layers)
        best.append(table.groupby("layer")["auroc"].mean().max())
        chosen.append(probing.at_chosen_layers(table)["auroc"].mean())
    assert np.mean(best) > 0.6 and abs(np.mean(chosen) - 0.5) < 0.03


@pytest.fixture(scope="module")
def asked(tmp_path_factory, tiny_checkpoint):
    """Questions, and the run of a tiny model on them."""
    folder = tmp_path_factory.mktemp("asked")
    data = write_variants(folder / "variants", ["law", "anatomy"], 30)
    with pytest.MonkeyPatch.context() as patch:
        keys = ["--model", tiny_checkpoint, "--data", data, "--out", folder / "run", "--settings", "en,full"]
        assert call(evaluate, [*keys, "--device", "cpu"], patch) == 0
    return folder


def keys(asked, out, model, *more):
    places = ["--model", model, "--run", asked / "run", "--data", asked / "variants", "--out", out, "--device", "cpu"]
    return [*places, "--languages", "en,de", *more]


def test_from_records_to_a_sentence(asked, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    first = keys(asked, tmp_path / "out", tiny_checkpoint)
    monkeypatch.setitem(os.environ, "PLAN", "1")
    assert call(script, first, monkeypatch) == 0
    assert json.loads(capsys.readouterr().out.removeprefix("plan: "))["items"] == 2 * 60
    monkeypatch.delitem(os.environ, "PLAN")
    assert call(script, first, monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.startswith("A probe of hidden states tells right from wrong answers in ")
    layers = pd.read_csv(tmp_path / "out" / "layers.csv")
    assert len(layers) == 3 * (2 + 2 * 3) and set(layers["n"]) == {60}
    records = pd.read_csv(asked / "run" / "full_de.csv")
    german = layers[layers["test"] == "de"]
    assert german["right"].to_numpy() == pytest.approx(records["correct"].mean(), abs=1e-5)
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    (path,) = (tmp_path / "out" / "states").glob("de.*.npy")
    states = np.load(path)
    for row, question in enumerate(read_questions(asked / "variants" / "full_de.csv")[:5]):
        with torch.no_grad():
            output = model(tokenizer(mmlu_prompt(question), return_tensors="pt").input_ids, output_hidden_states=True)
        assert states[row] == pytest.approx(np.stack([own[0, -1].numpy() for own in output.hidden_states]), abs=1e-4)
    answers = pd.read_csv(tmp_path / "out" / "answers.csv")
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv").set_index(["train", "test", "method"])
    means = answers.groupby(["train", "test", "method"])[["auroc", "balanced_accuracy"]].mean()
    for key, row in means.iterrows():
        assert row.to_numpy() == pytest.approx(pairs.loc[key, ["auroc", "balanced_accuracy"]].to_numpy(float), abs=1e-4)
    assert (answers["other"] == (answers["train"] != answers["test"])).all()
    assert (tmp_path / "out" / "probe.png").exists() and "scikit_learn" in read_run(tmp_path / "out")

    assert call(script, first, monkeypatch) == 0 and "done already" in capsys.readouterr().out
    monkeypatch.setattr(script, "pooled_states", lambda *_, **__: 1 / 0)  # the states are kept
    before = (tmp_path / "out" / "layers.csv").read_bytes()
    (tmp_path / "out" / "summary.provenance.json").unlink()
    assert call(script, first, monkeypatch) == 0 and capsys.readouterr().out == said
    assert (tmp_path / "out" / "layers.csv").read_bytes() == before
    path.write_bytes(states.tobytes()[:100])
    (tmp_path / "out" / "summary.provenance.json").unlink()
    assert call(script, first, monkeypatch) == 2 and f"{path}: cut short or changed" in capsys.readouterr().err


def test_languages_without_both_kinds_of_answers_are_left_out(capsys):
    right = {"en": np.arange(20) < 18, "de": np.arange(20) < 10, "fr": np.arange(20) < 5}
    assert list(script.enough(right)) == ["de", "fr"]
    assert "en is left out: 18 of 20 right, and 5 of each kind are needed" in capsys.readouterr().out
    with pytest.raises(InputError, match="two languages with right and wrong answers are needed"):
        script.enough({"en": right["en"], "de": right["de"]})


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({"config": {"num_fewshot": 5}}, [], "asked with num_fewshot 5; the probe needs the plain 0-shot prompts"),
        ({"config": {"hint": "Mind it."}}, [], "asked with hint Mind it."),
        ({"config": {"answer_format": "text"}}, [], "asked with answer_format text"),
        ({"config": {"write": "xlt"}}, [], "asked with write xlt"),
        ({"config": {"translator": "dictionary"}}, [], "asked with translator dictionary"),
        ({"model": {"name": "other", "content_hash": "0"}}, [], "answered by other, whose weights are not those of"),
        ({}, ["--languages", "en,nl"], "no questions in nl"),
        ({}, ["--languages", "en"], "two languages with right and wrong answers are needed"),
        ({}, ["--limit", "2"], "two languages with right and wrong answers are needed"),
        ({}, ["--data", "OTHER"], "none of the questions of"),
        ({}, ["--data", "ANSWERS"], "has another answer than in"),
        ({}, ["--run", "NONE"], "run.json: no such file"),
    ],
)
def test_bad_input_is_one_sentence(asked, tiny_checkpoint, tmp_path, monkeypatch, capsys, change, more, said):
    before = read_run(asked / "run")
    write_variants(tmp_path / "OTHER", ["physics"], 3)
    write_variants(tmp_path / "ANSWERS", ["anatomy"], 30)  # whose answers are drawn anew
    more = [tmp_path / word if word.isupper() else word for word in more]
    try:
        rewrite(asked / "run", **{key: before[key] | value for key, value in change.items()})
        assert call(script, keys(asked, tmp_path / "out", tiny_checkpoint, *more), monkeypatch) == 2
    finally:
        rewrite(asked / "run", **before)
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()
