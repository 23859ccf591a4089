"""MMLU/calibrate.py, ensemble.py and the tables on records whose questions have 2, 4 and 5 options."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from common.evaluation.records import load_records, record_rows, write_setting
from common.questions import LETTERS, Question
from common.reporting import provenance
from common.reporting.stats import wilson_by_question
from tests.mmlu import LANGUAGES
from tests.scripts import call, load_script

calibrate, ensemble, tabulate, plot, mitigation = (
    load_script(f"MMLU/{name}.py")
    for name in ("calibrate", "ensemble", "tabulate_mmlu", "plot_mmlu", "tabulate_mitigation")
)
SIZES = (2, 4, 5)
BIAS = {"A": 0.0, "B": 0.6, "C": -0.3, "D": 0.2, "E": -0.5}
SPOKEN = {"en": 0.0, "de": 0.8, "fr": -0.4, "es": 0.2, "it": -0.6}


def questions_of(setting: str, count: int) -> list[Question]:
    """Questions of three sizes in turn; in `mixup` options are in random languages."""
    rng = np.random.default_rng(7)  # the same answers in every setting
    found = []
    for number in range(count):
        size = SIZES[number % len(SIZES)]
        answer, drawn = LETTERS[rng.integers(size)], rng.choice(LANGUAGES, size + 1)
        codes = drawn if setting == "mixup" else [setting.removeprefix("full_")] * (size + 1)
        subject = "nan" if number % 2 else "small"
        question, *options = map(str, codes)
        texts = tuple("vwxyz"[:size])
        found.append(Question(f"q{number:03d}", subject, "", "which?", texts, answer, "", question, tuple(options)))
    return found


def write_run(folder, count=60, noise=0.0, bias=None, seed=0):
    """Records in en, four full_L and mixup: log-probabilities are noise, 1 for the right option, and a bias."""
    folder.mkdir()
    rng, written = np.random.default_rng(seed), {}
    for setting in ("en", *(f"full_{code}" for code in LANGUAGES[1:]), "mixup"):
        items = questions_of(setting, count)
        logprobs = np.full((count, max(SIZES)), np.nan)
        for row, item in enumerate(items):
            for place, (letter, code) in enumerate(zip(item.letters, item.option_languages, strict=True)):
                logprobs[row, place] = (letter == item.answer) + noise * rng.normal() - 3
                if bias:
                    logprobs[row, place] += BIAS[letter] + SPOKEN[code]
        table = record_rows(items, setting, logprobs)
        numbers = table.filter(like="logprob_").map(lambda value: "" if np.isnan(value) else f"{value:.6f}")
        text = table.astype(str).assign(**numbers)
        written[setting] = write_setting(folder, text, list(text["id"]))
    config = {"model": "tiny", "num_fewshot": 0, "answer_format": "letter"}
    session = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:10+00:00", "computed_tokens": 1}
    run = {"config": config, "hash": "0" * 12, "model": {"name": "tiny"}, "records": written, "sessions": [session]}
    provenance.write_run(folder, run)
    return folder


def test_calibration_removes_a_known_bias(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", count=300, bias=True)
    assert call(calibrate, ["--run", run, "--out", tmp_path / "out"], monkeypatch) == 0
    before, after = load_records(run), load_records(tmp_path / "out")
    assert before["correct"].mean() < 0.9 and after["correct"].mean() == 1
    assert after.filter(like="logprob_").notna().equals(before.filter(like="logprob_").notna())
    assert set(after["subject"]) == {"nan", "small"}
    scores = after[after["setting"] == "mixup"].filter(like="logprob_").to_numpy()
    right = after.loc[after["setting"] == "mixup", "answer"].map(LETTERS.index).to_numpy()
    own = scores[np.arange(len(scores)), right]
    scores[np.arange(len(scores)), right] = np.nan
    # What the model knows is left, to within the error of a bias that is estimated on 150 questions.
    assert np.mean(own - np.nanmean(scores, axis=1)) == pytest.approx(1, abs=0.05)
    assert np.min(own - np.nanmax(scores, axis=1)) > 0.5


def test_bias_counts_the_options_that_are_there(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", noise=1.0)
    assert call(calibrate, ["--run", run, "--out", tmp_path / "out"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "out" / "bias.csv").set_index(["question", "non_english_options", "correct_option"])
    records, found = load_records(run), []
    for row in records.itertuples():
        codes = row.option_languages.split("|")
        foreign = [code != "en" for code in codes]
        found.append((row.question_language == "en", sum(foreign), foreign[LETTERS.index(row.prediction)], len(codes)))
    for (english, count), n in Counter((english, count) for english, count, _, _ in found).items():
        own = [(chosen, size) for first, foreign, chosen, size in found if (first, foreign) == (english, count)]
        row = table.loc[("en" if english else "other", count, "all")]
        assert row["n"] == n and row["chosen_non_english"] == pytest.approx(
            np.mean([chosen for chosen, _ in own]), abs=1e-5
        )
        assert row["chance"] == pytest.approx(np.mean([count / size for _, size in own]), abs=1e-5)
        asked = records[
            (records["question_language"].eq("en") == english)
            & (records["option_languages"].map(lambda codes: sum(c != "en" for c in codes.split("|"))) == count)
        ]
        chosen = [row.option_languages.split("|")[LETTERS.index(row.prediction)] != "en" for row in asked.itertuples()]
        answers = asked.assign(chosen=np.array(chosen, float)).pivot(index="id", columns="setting", values="chosen")
        assert row[["ci_low", "ci_high"]].tolist() == pytest.approx(wilson_by_question(answers), abs=1e-5)


def test_ensembles_equal_votes_counted_by_hand(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", noise=1.5)
    assert call(ensemble, ["--run", run, "--out", tmp_path / "ensemble"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "ensemble.csv").set_index(["pool", "method"])["accuracy"]
    records = load_records(run)
    right = {"majority": [], "summed": [], "oracle": []}
    for _, own in records[records["setting"] != "mixup"].groupby("id"):
        answer = own["answer"].iloc[0]
        sums = Counter()
        for row in own.itertuples():
            size = len(row.option_languages.split("|"))
            scores = np.array([getattr(row, f"logprob_{letter}") for letter in LETTERS[:size]])
            assert not np.isnan(scores).any()
            for letter, score in zip(LETTERS, scores - np.log(np.exp(scores).sum()), strict=False):
                sums[letter] += score
        votes = Counter(own["prediction"])
        best = [letter for letter in votes if votes[letter] == max(votes.values())]
        right["majority"].append(max(best, key=sums.get) == answer)
        right["summed"].append(max(sums, key=sums.get) == answer)
        right["oracle"].append(answer in votes)
    for method, values in right.items():
        assert table["all", method] == pytest.approx(np.mean(values), abs=1e-6)
    assert table["without_en", "oracle"] <= table["all", "oracle"]


def test_tables_and_plots_have_the_chance_of_these_questions(tmp_path, monkeypatch):
    run, other = (write_run(tmp_path / name, noise=1.5, seed=seed) for seed, name in enumerate(("run", "other")))
    expected, drawn = (1 / 2 + 1 / 4 + 1 / 5) / 3, []
    for script in (plot, mitigation):
        name = "plot_settings" if script is plot else "plot_arms"
        make = getattr(script, name)
        monkeypatch.setattr(script, name, lambda *given, make=make: drawn.append(make(*given)) or drawn[-1])
    assert call(tabulate, ["--runs", run, "--out", tmp_path / "table"], monkeypatch) == 0
    assert call(plot, ["--run", run, "--out", tmp_path / "accuracy"], monkeypatch) == 0
    keys = ["--plain", run, "--runs", f"other={other}", "--out", tmp_path / "mitigation"]
    assert call(mitigation, keys, monkeypatch) == 0
    for figure in drawn:
        (line,) = (line for line in figure.axes[0].get_lines() if line.get_gid() == "chance")
        assert list(line.get_xdata()) == pytest.approx([100 * expected] * 2)
    assert len(drawn) == 2
