"""FT/finding.py: the sentence of one table, the mean over seeds, what it refuses."""

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from tests.scripts import call, load_script

script = load_script("FT/finding.py")


def write(folder, seed, mixed, control):
    """A table with a difference from none for two arms, 2 points of interval on each side."""
    rows = [{"arm": "none", "column": "full", "n": 1600, "accuracy": 0.43}]
    for arm, base in (("en", control), ("word", mixed)):
        row = {"arm": arm, "column": "full", "n": 1600, "accuracy": 0.43 + base}
        changes = {"vs_base": base} | ({"vs_control": mixed - control} if arm == "word" else {})
        for change, value in changes.items():
            row |= {change: value, f"{change}_low": value - 0.02, f"{change}_high": value + 0.02}
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / f"{seed}.csv", index=False)
    return f"{seed}={folder / f'{seed}.csv'}"


@pytest.mark.parametrize(
    ("mixed", "control", "said"),
    [
        (0.05, -0.01, "narrows the barrier."),
        (0.0, -0.05, "avoids what English-only text loses, but does not narrow"),
        (-0.04, -0.05, "no remedy can be shown."),
        (0.03, 0.06, "no remedy can be shown."),  # English text does more
        (0.015, -0.01, "no remedy can be shown."),  # English text is not shown to lose anything
    ],
)
def test_one_table_is_said_with_its_own_intervals(tmp_path, monkeypatch, capsys, mixed, control, said):
    table = write(tmp_path, 42, mixed, control)
    assert call(script, ["--tables", table, "--out", tmp_path / "out.csv"], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert said in printed and f"{100 * (mixed - control):+.1f} points" in printed
    assert len(pd.read_csv(tmp_path / "out.csv")) == 3
    assert "On questions of column `full`, fine-tuning" in printed
    assert call(script, ["--tables", table, "--out", tmp_path / "world.csv", "--subjects", "x"], monkeypatch) == 0
    assert "On facts asked in another language than they are known in, fine-tuning" in capsys.readouterr().out


def test_several_seeds_are_pooled_with_students_t(tmp_path, monkeypatch, capsys):
    gains = [0.03, 0.05, 0.04, 0.06, 0.02]
    tables = ",".join(write(tmp_path, seed, 0.0, -gain) for seed, gain in enumerate(gains))
    assert call(script, ["--tables", tables, "--out", tmp_path / "out.csv"], monkeypatch) == 0
    said = capsys.readouterr().out
    assert "avoids what English-only text loses" in said and "(intervals over seeds, of these questions)." in said
    table = pd.read_csv(tmp_path / "out.csv")
    mean = table[(table["seed"] == "mean") & (table["arm"] == "word")].iloc[0]
    interval = ttest_1samp(gains, 0).confidence_interval(0.95)
    assert mean["vs_control"] == pytest.approx(0.04) and mean["n"] == 8000
    assert (mean["vs_control_low"], mean["vs_control_high"]) == pytest.approx((interval.low, interval.high), abs=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--arm", "sentence"], "no arm sentence"),
        (["--tables", "42=nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--tables", "nowhere.csv"], "write name=path"),
        (["--tables", ""], "write name=path"),
        (["--tables", "42=empty.csv"], "empty.csv: cannot be read"),
        (["--tables", "42=latin.csv"], "latin.csv: cannot be read"),
        (["--tables", "42=words.csv"], "words.csv: cannot be read"),
        (["--tables", "42=other.csv"], "no arm word"),
        (["--tables", "42=."], ".: cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, more, said):
    keys = ["--tables", write(tmp_path, 42, 0.0, -0.1), "--out", tmp_path / "out.csv"]
    for name, content in {
        "empty": b"",
        "latin": b"\xfc\n",
        "words": b"arm,column,n\nen,full,many\n",
        "other": b"a\n1\n",
    }.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert call(script, [*keys, *more], monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out.csv").exists()


def test_a_name_with_a_dot_stays_whole(tmp_path, monkeypatch):
    assert call(script, ["--tables", write(tmp_path, 42, 0.0, -0.1), "--out", tmp_path / "gpt-3.5"], monkeypatch) == 0
    assert (tmp_path / "gpt-3.5.csv").exists() and not (tmp_path / "gpt-3.csv").exists()
