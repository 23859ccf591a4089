"""Votes against all draws one by one; bias and variance that are known are found; orders of options turned back."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.evaluation.records import record_rows, write_setting
from common.questions import FOUR, monolingual, read_questions, write_questions
from tests.mmlu import rewrite, write_run, write_variants
from tests.scripts import call, load_script
from tests.tiny import always

variance = load_script("MMLU/variance.py")
rotate = load_script("MMLU/rotate_options.py")
mitigate = load_script("MMLU/mitigate.py")
claims = load_script("report/check_claims.py")


def worth(drawn, answer) -> float:
    """What a vote of these answers is worth: 1, shared by equals."""
    counts = [drawn.count(option) for option in range(max(*drawn, answer) + 1)]
    best = [option for option, count in enumerate(counts) if count == max(counts)]
    return (answer in best) / len(best)


def test_votes_are_the_mean_over_all_draws():
    chances = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    answers = np.array([0, 0, 2])
    for votes in range(1, 6):
        slow = [
            sum(np.prod(own[list(drawn)]) * worth(drawn, answer) for drawn in product(range(3), repeat=votes))
            for own, answer in zip(chances, answers, strict=True)
        ]
        assert variance.vote(chances, answers, votes) == pytest.approx(slow, abs=1e-12)
    assert variance.vote(chances, answers, 1) == pytest.approx(chances[range(3), answers])
    assert variance.likeliest(chances, answers) == pytest.approx([1, 0, 1 / 3])
    assert variance.vote(chances[:1, :], answers[:1], 200)[0] == pytest.approx(1, abs=0.02)


def test_written_votes_are_the_mean_over_all_subsets(monkeypatch):
    written, answers = np.array([[2, 3, 1], [6, 0, 0]]), np.array([0, 1])
    monkeypatch.setattr(variance, "CELLS", 1)  # a question at a time
    for votes in range(1, 7):
        for counts, answer, found in zip(written, answers, variance.vote_of(written, answers, votes), strict=True):
            texts = [option for option, count in enumerate(counts) for _ in range(count)]
            subsets = list(combinations(texts, votes))
            assert found == pytest.approx(np.mean([worth(drawn, answer) for drawn in subsets]), abs=1e-12)


RIGHT, MOVED = 0.8, 0.25  # English knows this share; so much of what another language says has moved elsewhere


def simulated(seed, sharp=0.7, flat=0.4, moved=MOVED, n=300):
    """Questions whose likeliest option in German is that in English but for `moved`, with less probability."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(4, size=n)
    english = np.where(rng.random(n) < RIGHT, answers, (answers + rng.integers(1, 4, n)) % 4)
    german = np.where(rng.random(n) < moved, (english + rng.integers(1, 4, n)) % 4, english)
    chances = np.stack(
        [
            np.where(np.arange(4) == best[:, None], top, (1 - top) / 3)
            for best, top in ((english, sharp), (german, flat))
        ],
        axis=1,
    )
    ids = np.array([f"q{number:03d}" for number in range(n)])
    return variance.Chances(ids, np.full(n, "s"), ["en", "de"], answers, chances)


def known(sharp=0.7, flat=0.4, moved=MOVED):
    """(gap of one answer, bias) of `simulated` over all questions there could be."""
    german = RIGHT * (1 - moved) + (1 - RIGHT) * moved / 3
    english_one, german_one = (
        right * top + (1 - right) * (1 - top) / 3 for right, top in ((RIGHT, sharp), (german, flat))
    )
    return english_one - german_one, RIGHT - german


def decomposed(found, votes=3):
    return variance.tables_of(variance.units_of(found, "none", votes), seed=1)[0].iloc[0]


def test_known_bias_and_variance_are_found(monkeypatch):
    gap, bias = known()
    assert bias == pytest.approx(0.8 - 0.6 - 0.05 / 3) and gap == pytest.approx(0.58 - 0.97 / 3)
    truth = {"gap": gap, "bias": bias, "variance": gap - bias}
    rows = [decomposed(simulated(seed)) for seed in range(40)]
    for name, value in truth.items():
        inside = sum(row[f"{name}_low"] <= value <= row[f"{name}_high"] for row in rows)
        assert inside >= 34, f"{name}: {inside} of 40 intervals hold {value}"
        assert np.mean([row[name] for row in rows]) == pytest.approx(value, abs=0.02)
        assert np.mean([row[f"{name}_high"] - row[f"{name}_low"] for row in rows]) < 0.2


def test_noise_alone_has_no_bias_and_noise_hides_bias():
    noise = decomposed(simulated(1, moved=0))
    assert noise["bias"] == 0 and noise["variance"] == pytest.approx(noise["gap"]) and noise["variance_low"] > 0
    assert noise["own_variance"] - noise["english_variance"] == pytest.approx(noise["variance"])
    alike = decomposed(simulated(1, flat=0.7, n=1000))
    assert alike["bias_low"] > 0 and alike["variance_high"] < 0
    sure = decomposed(simulated(1, sharp=1, flat=1))
    assert sure["variance"] == pytest.approx(0, abs=1e-9) and sure["bias_low"] > 0


def test_written_answers_have_the_votes_of_their_probabilities():
    true = simulated(5, n=600)
    rng = np.random.default_rng(0)
    counts = np.stack([[rng.multinomial(10, own) for own in pair] for pair in true.chances])
    found = variance.Chances(true.ids, true.subjects, true.languages, true.answers, counts, written=True)
    table, curves = variance.tables_of(variance.units_of(found, "none", 10), seed=1)
    for votes in (1, 5, 10):
        row = curves[curves["votes"] == votes].iloc[0]
        scores = [variance.vote(true.chances[:, place], true.answers, votes).mean() for place in (0, 1)]
        assert row["gap_low"] - 0.02 <= scores[0] - scores[1] <= row["gap_high"] + 0.02
        assert row["english"] == pytest.approx(scores[0], abs=0.04)
    assert table.iloc[0]["bias"] == curves[curves["votes"] == 10].iloc[0]["gap"]


ORDER_BIAS = np.array([1.0, 0.2, 0.0, 0.1])


def write_order(folder, step, count=24):
    """Records of questions rotated by `step`; the model's score of an option is its number's and its place's."""
    written, rng = {}, np.random.default_rng(3)
    knows = rng.normal(size=(3, count, 4))
    for place, (setting, code) in enumerate({"en": "en", "full_de": "de", "full_fr": "fr"}.items()):
        items = [
            monolingual(f"q{n:02d}", "s", "", "x", [f"o{k}" for k in range(4)], FOUR[n % 4], code) for n in range(count)
        ]
        turned = [rotate.rotated(item, step) if step else item for item in items]
        own = [[knows[place, n, int(option[1])] for option in item.options] for n, item in enumerate(turned)]
        table = record_rows(turned, setting, np.array(own) + ORDER_BIAS).astype(str)
        written[setting] = write_setting(folder, table, list(table["id"]))
    config = {"model": "m", "num_fewshot": 0, "answer_format": "letter"}
    rewrite(folder, config=config, hash=f"order {step}", model={"name": "m"}, records=written)
    return knows


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


def test_orders_are_turned_back(tmp_path):
    folders = {str(step): str(tmp_path / f"order_{step}") for step in range(4)}
    for step in folders:
        knows = write_order(tmp_path / f"order_{step}", int(step))
    base = variance.read_chances(folders.pop("0"), None)
    found = variance.reordered(base, folders, None)
    slow = np.zeros((24, 3, 4))
    for step in range(4):
        for option in range(4):  # the option stands at this place once
            slow[:, :, option] += softmax(knows + np.roll(ORDER_BIAS, step))[:, :, option].T / 4
    assert found.chances == pytest.approx(slow, abs=1e-5) and not np.allclose(base.chances, slow, atol=0.01)
    with pytest.raises(InputError, match="not the questions of the run with their options rotated by 2"):
        variance.reordered(base, {"2": folders["1"]}, None)
    with pytest.raises(InputError, match="'one' is no --step"):
        variance.reordered(base, {"one": folders["1"]}, None)


def test_rotate_options(tmp_path, monkeypatch, capsys):
    items = [
        monolingual("a", "s", "", "x", ["p", "q", "r"], "A", "de"),
        monolingual("b", "s", "", "x", ["p", "q"], "B", "de"),
    ]
    for name in ("en", "full_de", "gt_de"):
        write_questions(tmp_path / "data" / f"{name}.csv", items)
    keys = ["--data", tmp_path / "data", "--out", tmp_path / "out"]
    assert call(rotate, [*keys, "--step", "1"], monkeypatch) == 0
    first, second = read_questions(tmp_path / "out" / "full_de.csv")
    assert (first.options, first.answer) == (("q", "r", "p"), "C") and (second.options, second.answer) == (
        ("q", "p"),
        "A",
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("*.csv")) == ["en.csv", "full_de.csv"]
    assert call(rotate, [*keys, "--step", "0"], monkeypatch) == 2 and "step is 0" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert call(rotate, ["--data", tmp_path / "empty", "--out", tmp_path / "o"], monkeypatch) == 2
    assert "no en.csv or full_<language>.csv" in capsys.readouterr().err


def test_tables_plot_and_claim(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run", 1, 0.5)
    out = tmp_path / "results" / "variance"
    assert call(variance, ["--run", run, "--out", out], monkeypatch) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(f"{out}.csv")
    mean = table[(table["ensemble"] == "none") & (table["language"] == "mean")].iloc[0]
    assert f"One sampled answer is {100 * mean['gap']:.1f} points" in said and "averaged over languages" in said
    records = {code: pd.read_csv(run / f"{code}.csv").set_index("id") for code in ("en", "full_de")}
    shares = {code: softmax(own.filter(like="logprob_").to_numpy())[:, 0] for code, own in records.items()}  # answer A
    german = table[(table["ensemble"] == "none") & (table["language"] == "de")].iloc[0]
    assert german["gap"] == pytest.approx((shares["en"] - shares["full_de"]).mean(), abs=1e-5)
    assert german["bias"] == pytest.approx((records["en"]["correct"] - records["full_de"]["correct"]).mean(), abs=1e-5)
    assert (tmp_path / "results" / "variance.png").exists()
    assert call(claims, ["--results", tmp_path / "results", "--out", tmp_path / "claims"], monkeypatch) == 0
    found = pd.read_csv(tmp_path / "claims.csv").set_index("name").loc["variance"]
    assert found["verdict"] == "not enough data" and "40 units where 100" in found["note"]


def test_sampled_answers_begin_with_the_label(tmp_path, monkeypatch):
    data = write_variants(tmp_path / "variants", ["law"], 4)
    model = always(" B", tmp_path / "model")
    keys = ["--model", model, "--data", data, "--settings", "en,full_de", "--device", "cpu", "--out", tmp_path / "run"]
    more = ["--write", "answer", "--protocol", "paper", "--max_new_tokens", "2", "--seed", "3"]
    assert call(mitigate, [*keys, *more], monkeypatch) == 0
    records = pd.read_csv(tmp_path / "run" / "full_de.csv")
    assert set(records["prediction"]) == {"B"} and set(records["extracted"]) == {1}


def test_samples_are_other_runs_of_the_same_questions(tmp_path, monkeypatch, capsys):
    runs = [write_run(tmp_path / f"sample{n}", n, 0.5) for n in range(3)]
    keys = ["--run", runs[0], "--out", tmp_path / "out", "--samples", ",".join(map(str, runs))]
    assert call(variance, keys, monkeypatch) == 0
    assert "when all 3 vote" in capsys.readouterr().out
    assert call(variance, [*keys, "--votes", "2", "--out", tmp_path / "two"], monkeypatch) == 0
    assert "when all 3 vote" in capsys.readouterr().out, "the limit is the vote of all, however many are shown"
    right = [pd.read_csv(run / "full_de.csv")["correct"].mean() for run in runs]
    curves = pd.read_csv(tmp_path / "out.votes.csv")
    row = curves[(curves["language"] == "de") & (curves["votes"] == "1")].iloc[0]
    assert row["accuracy"] == pytest.approx(np.mean(right), abs=1e-5) and row["english"] == 1
    assert call(variance, [*keys, "--orders", f"1={runs[1]}"], monkeypatch) == 2
    assert "leave one out" in capsys.readouterr().err
    write_order(tmp_path / "other", 0)
    assert (
        call(variance, ["--run", runs[0], "--out", tmp_path / "o", "--samples", tmp_path / "other"], monkeypatch) == 2
    )
    assert "other questions or languages than the run" in capsys.readouterr().err
