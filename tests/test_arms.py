"""FT/tabulate_arms.py: arms of fine-tuning side by side, from records and logs alone."""

import numpy as np
import pandas as pd
import pytest

from common.reporting.stats import wilson_by_question
from tests.mmlu import write_run
from tests.scripts import call, load_script

script = load_script("FT/tabulate_arms.py")


@pytest.fixture
def arms(tmp_path):
    """Three arms: the same questions answered right outside English with 0.3, 0.35 and 0.7."""
    for name, seed, accuracy in (("none", 0, 0.3), ("en", 1, 0.35), ("words", 2, 0.7)):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, seed, accuracy)
        pd.DataFrame(
            {"step": [1, 2], "loss": [2.0, 1.0], "perplexity_en": [np.nan, 7.5], "perplexity_de": [np.nan, 20.0]}
        ).to_csv(tmp_path / name / "log.csv", index=False)
    named = ",".join(f"{name}={tmp_path / name}" for name in ("none", "en", "words"))
    return ["--arms", named, "--out", tmp_path / "arms"], tmp_path


def read(path) -> pd.Series:
    return pd.read_csv(path).query("subject == 'english_only_birth'")["correct"]


def test_arms_are_compared_question_by_question(arms, monkeypatch):
    arguments, folder = arms
    assert call(script, [*arguments, "--subjects", "english_only", "--held-out", "it"], monkeypatch) == 0
    table = pd.read_csv(folder / "arms.csv").set_index(["arm", "column"])
    right = {
        (name, code): pd.read_csv(folder / name / f"full_{code}.csv").query("subject == 'english_only_birth'")[
            "correct"
        ]
        for name in ("none", "words")
        for code in ("de", "fr", "es", "it")
    }
    pooled = [np.mean([right[name, code] for code in ("de", "fr", "es")]) for name in ("none", "words")]
    row = table.loc[("words", "full")]
    assert row["n"] == 120 and row["accuracy"] == pytest.approx(pooled[1], abs=1e-6)
    expected = wilson_by_question(np.stack([right["words", code] for code in ("de", "fr", "es")], axis=1))
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(expected, abs=1e-6)
    assert row["vs_base"] == pytest.approx(pooled[1] - pooled[0], abs=1e-6)
    assert row["vs_base_low"] < row["vs_base"] < row["vs_base_high"] and row["vs_base_low"] > 0
    assert row["gap_closed"] == pytest.approx((pooled[1] - pooled[0]) / (1 - pooled[0]), abs=1e-6)
    held_out = table.loc[("words", "full_held_out")]
    assert held_out["accuracy"] == pytest.approx(right["words", "it"].mean(), abs=1e-6)
    assert 0 <= table.loc[("words", "full_it"), "vs_base_p_mcnemar"] <= 1 and np.isnan(row["vs_base_p_mcnemar"])
    assert np.isnan(table.loc[("none", "full"), "vs_base"]) and (folder / "arms.png").exists()


def test_perplexities_stand_below(arms, monkeypatch):
    arguments, folder = arms
    assert call(script, [*arguments, "--logs", f"words={folder / 'words'}"], monkeypatch) == 0
    assert "| words | 7.50 | 20.00 |" in (folder / "arms.md").read_text()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--base", "nothing"], "no nothing=folder"),
        (["--subjects", "astronomy"], "no subject begins with 'astronomy'"),
        (["--logs", "words"], "write name=path"),
        (["--arms", "none=nowhere,en=nowhere"], "nowhere"),
        (["--arms", ""], "write name=path"),
        (["--arms", "none=none/log.csv,en=en"], "none/log.csv"),
        (["--seed", "-1"], "seed is -1"),
        (["--held_out", "xx"], "unknown language 'xx'"),
        (["--out", ""], "out is empty"),
        (["--out", "none/log.csv/arms"], "none/log.csv"),
        (["--out", "folder"], "folder.csv"),
        (["--logs", "a=empty"], "empty/log.csv: cannot be read"),
        (["--logs", "a=latin"], "latin/log.csv: cannot be read"),
        (["--logs", "a=text"], "text/log.csv: cannot be read"),
        (["--logs", "a=none/full_de.csv"], "none/full_de.csv/log.csv"),
    ],
)
def test_bad_input_is_one_sentence(arms, monkeypatch, capsys, keys, said):
    arguments, folder = arms
    for name, content in {"empty": b"", "latin": b"\xfc\n", "text": b"perplexity_en\nmany\n"}.items():
        (folder / name).mkdir()
        (folder / name / "log.csv").write_bytes(content)
    (folder / "folder.csv").mkdir()
    monkeypatch.chdir(folder)
    assert call(script, [*arguments, *keys], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not list(folder.glob("arms.*"))


def test_arms_with_other_questions_are_refused(arms, monkeypatch, capsys):
    arguments, folder = arms
    table = pd.read_csv(folder / "en" / "full_de.csv")
    table["id"] = "x" + table["id"]
    table.to_csv(folder / "en" / "full_de.csv", index=False)
    assert call(script, arguments, monkeypatch) == 2
    assert "full_de.csv" in capsys.readouterr().err


def test_without_the_model_before_fine_tuning_english_only_is_the_base(arms, monkeypatch):
    """As FT/scripts/released.sh calls it for `none`."""
    folder = arms[1]
    named = f"en={folder / 'en'},words={folder / 'words'}"
    keys = ["--arms", named, "--logs", "", "--out", folder / "arms", "--base", "en"]
    assert call(script, keys, monkeypatch) == 0
    table = pd.read_csv(folder / "arms.csv").set_index(["arm", "column"])
    assert table.loc[("words", "full"), "vs_base"] == table.loc[("words", "full"), "vs_control"] > 0
    assert table.loc["en"]["vs_base"].isna().all() and (folder / "arms.md").exists()
