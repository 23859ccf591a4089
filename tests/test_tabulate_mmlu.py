"""MMLU/tabulate_mmlu.py and MMLU/plot_mmlu.py: tables and figures from records alone."""

import sys

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.reporting.plots import language_style
from common.reporting.provenance import read_run
from common.reporting.stats import paired_bootstrap, wilson, wilson_by_question
from tests.mmlu import rewrite, write_run
from tests.scripts import load_script

tabulate, plot, categories = (
    load_script("MMLU/tabulate_mmlu.py"),
    load_script("MMLU/plot_mmlu.py"),
    load_script("MMLU/categories.py"),
)


@pytest.fixture
def runs(tmp_path):
    folders = []
    for seed, accuracy in ((0, 0.4), (1, 0.8)):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        folders.append(write_run(folder, seed, accuracy))
    return folders


def call(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
    script.main()


def test_table_numbers_come_from_the_records(monkeypatch, runs, tmp_path):
    call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "table")
    table = pd.read_csv(tmp_path / "table.csv").set_index("setting")
    records = pd.read_csv(runs[0] / "gt_question_fr.csv")
    row = table.loc["gt_question_fr"]
    assert (row["family"], row["language"], row["n"]) == ("gt_question", "fr", 80)
    assert row["accuracy"] == pytest.approx(records["correct"].mean(), abs=1e-5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(wilson(records["correct"].sum(), 80), abs=1e-5)
    assert row["delta_vs_en"] == pytest.approx(row["accuracy"] - 1, abs=1e-5)
    assert row["delta_low"] < row["delta_vs_en"] < row["delta_high"] < 0
    assert np.isnan(table.loc["en", "delta_low"])
    text = (tmp_path / "table.md").read_text()
    assert f"{100 * row['accuracy']:.2f} [{100 * row['ci_low']:.2f}" in text
    assert (
        "| setting | - | de | fr | es | it | mean | difference from English |" in text
        and "world, 0-shot, letter, n = 80" in text
    )


@pytest.mark.parametrize("seldom", [False, True])
def test_labels_with_little_of_the_probability_are_named(monkeypatch, runs, tmp_path, capsys, seldom):
    sums = [sum(np.exp(pd.read_csv(path)[f"logprob_{a}"]) for a in "ABCD") for path in runs[0].glob("*.csv")]
    share = f"The labels have {pd.concat(sums).mean():.1%} of the probability"
    monkeypatch.setattr(tabulate, "SELDOM", 2.0 if seldom else 0.5)
    call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "table")
    assert share in (tmp_path / "table.md").read_text()
    assert (f"{runs[0]}: {share[0].lower()}{share[1:]}" in capsys.readouterr().err) is seldom
    rewrite(runs[0], config=read_run(runs[0])["config"] | {"answer_format": "text"})
    call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "text")
    assert "probability" not in (tmp_path / "text.md").read_text() and not capsys.readouterr().err


def test_english_alone_has_no_figure(monkeypatch, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    run = write_run(tmp_path / "run", 0, 0.5)
    rewrite(run, records={"en": read_run(run)["records"]["en"]})
    for path in run.glob("*.csv"):
        path.unlink() if path.name != "en.csv" else None
    call(monkeypatch, plot, "--run", run, "--out", tmp_path / "figure")
    assert "English alone" in capsys.readouterr().err and not (tmp_path / "figure.png").exists()


def test_means_of_languages_are_over_questions(monkeypatch, runs, tmp_path):
    run = runs[0]
    call(monkeypatch, tabulate, "--runs", run, "--out", tmp_path / "table")
    table = pd.read_csv(tmp_path / "table.csv").set_index("setting")
    codes = ("de", "fr", "es", "it")
    full = pd.concat([pd.read_csv(run / f"full_{code}.csv").set_index("id")["correct"] for code in codes], axis=1)
    english = pd.read_csv(run / "en.csv").set_index("id")["correct"]
    row, means = table.loc["full"], full.mean(axis=1)
    assert (row["language"], row["n"]) == ("mean", len(full)) and row["accuracy"] == pytest.approx(means.mean())
    expected = paired_bootstrap(means, english.loc[means.index], seed=42)
    assert list(row[["delta_vs_en", "delta_low", "delta_high"]]) == pytest.approx(expected, abs=1e-5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(wilson_by_question(full), abs=1e-5)
    low, high = (f"{100 * row[name]:+.2f}" for name in ("delta_low", "delta_high"))
    assert f"{100 * row['delta_vs_en']:+.2f} [{low}, {high}] |" in (tmp_path / "table.md").read_text()


def test_holms_correction_is_that_worked_by_hand():
    """Sorted: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 is not below the one before it; English has no test."""
    found = tabulate.holm(pd.Series([np.nan, 0.01, 0.04, 0.03, 0.005]))
    assert list(found[1:]) == pytest.approx([0.03, 0.06, 0.06, 0.02]) and np.isnan(found[0])
    assert tabulate.holm(pd.Series([np.nan])).isna().all()


def test_the_settings_of_one_run_are_one_family(monkeypatch, runs, tmp_path):
    call(monkeypatch, tabulate, "--runs", ",".join(map(str, runs)), "--out", tmp_path / "table")
    for _, own in pd.read_csv(tmp_path / "table.csv").groupby("run"):
        tested = own.dropna(subset=["p_mcnemar"]).sort_values("p_mcnemar")
        steps = tested["p_mcnemar"] * np.arange(len(tested), 0, -1)
        assert list(tested["p_holm"]) == pytest.approx(list(steps.cummax().clip(upper=1)), rel=1e-4)
        untested = own.loc[own["p_holm"].isna(), "setting"]
        assert set(untested) == {"en", *own.loc[own["language"] == "mean", "setting"]}
    row = own.set_index("setting").loc["gt_question_fr"]
    text = (tmp_path / "table.md").read_text()
    assert f"in brackets Holm's correction for these {len(tested)} tests" in text
    assert f" {row['p_mcnemar']:.2g} ({row['p_holm']:.2g}) |" in text


def test_the_papers_figures_stand_beside_with_their_source(monkeypatch, runs, tmp_path):
    call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "table")
    text = (tmp_path / "table.md").read_text()
    for line in (
        "| GPT-4 | mixup | 68.61 |  | arXiv 2406.16135, as quoted",
        "| Llama2-13B | mixup |  | -10.14 | arXiv",
    ):
        assert line in text


def test_runs_side_by_side(monkeypatch, runs, tmp_path):
    call(monkeypatch, tabulate, "--runs", ",".join(map(str, runs)), "--out", tmp_path / "table")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table["run"].unique()) == [str(run) for run in runs]
    text = (tmp_path / "table.md").read_text()
    assert f"| setting | {runs[0]} | {runs[1]} |" in text and "| en | 100.00 | 100.00 |" in text


def test_one_category(monkeypatch, runs, tmp_path):
    call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "table", "--category", "english_only")
    assert set(pd.read_csv(tmp_path / "table.csv")["n"]) == {40}
    with pytest.raises(InputError, match="english_only, shared"):
        call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / "other", "--category", "STEM")
    assert not (tmp_path / "other.csv").exists()


def test_same_records_same_bytes(monkeypatch, runs, tmp_path):
    for name in ("a", "b"):
        call(monkeypatch, tabulate, "--runs", runs[0], "--out", tmp_path / name)
        call(monkeypatch, plot, "--run", runs[0], "--out", tmp_path / f"plot_{name}")
    for first, second in (
        ("a.csv", "b.csv"),
        ("a.md", "b.md"),
        ("plot_a.png", "plot_b.png"),
        ("plot_a.pdf", "plot_b.pdf"),
    ):
        assert (tmp_path / first).read_bytes() == (tmp_path / second).read_bytes()


def test_damaged_records_are_refused(monkeypatch, runs, tmp_path):
    path = runs[0] / "mixup.csv"
    path.write_text(path.read_text()[:-20])
    for script, key in ((tabulate, "--runs"), (plot, "--run")):
        with pytest.raises(InputError, match=r"mixup\.csv"):
            call(monkeypatch, script, key, runs[0], "--out", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_plot_with_and_without_reversed_settings(monkeypatch, runs, tmp_path):
    folder = tmp_path / "reversed"
    folder.mkdir()
    write_run(folder, 2, 0.3, reversed_too=True)
    call(monkeypatch, plot, "--run", folder, "--out", tmp_path / "two")
    call(monkeypatch, plot, "--run", runs[0], "--out", tmp_path / "one", "--category", "shared")
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "one.pdf").exists()


def test_sixteen_languages_look_different():
    codes = [str(number) for number in range(16)]
    assert len({tuple(language_style(code, codes).values()) for code in codes}) == 16


def test_57_subjects_in_four_categories():
    counts = pd.Series(categories.CATEGORIES).value_counts().to_dict()
    assert counts == {"STEM": 18, "humanities": 13, "social sciences": 12, "other": 14}
    assert categories.category("shared_birth") == "shared" and categories.category("belebele") == "belebele"


def test_categories_know_every_real_subject(real_data):
    names = {path.stem.removesuffix("_test") for path in (real_data / "mmlu" / "test").glob("*.csv")}
    assert names == set(categories.CATEGORIES)
