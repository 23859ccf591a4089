"""The bash scripts: where they write, and what they say where something is not set."""

import os
import subprocess
import sys

import pandas as pd
import pytest

ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("DATA", "RESULTS", "WORLD")}


def bash(root, script, *arguments, **variables):
    """Call a script with this Python; the finished process."""
    environment = ENVIRONMENT | {"PYTHON": sys.executable} | {key: str(value) for key, value in variables.items()}
    command = ["bash", str(root / script), *map(str, arguments)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("script", "arguments", "variables", "said"),
    [
        ("MMLU/scripts/zero_shot.sh", ["gpt2", "--out", "there"], {}, "set RESULTS=DIR instead of --out"),
        ("HP/scripts/quiz.sh", ["gpt2", "--out=there"], {}, "quiz.sh: set RESULTS=DIR"),
        ("MMLU/scripts/mitigation.sh", ["gpt2"], {"METHODS": "hint_variuos", "DATA": "d"}, "no method hint_variuos"),
        ("FT/scripts/remedy.sh", ["gpt2"], {"DATA": "d"}, "remedy.sh: set CORPUS too"),
        ("FT/scripts/arms.sh", ["gpt2"], {"CORPUS": "c"}, "arms.sh: set DATA too"),
        ("HP/scripts/corpora.sh", ["gpt2"], {"CORPUS": "c"}, "set DATA too"),
        ("TOFU/scripts/authors.sh", ["gpt2"], {"DATA": "d"}, "set TRANSLATIONS too"),
        ("TOFU/scripts/remedy.sh", ["gpt2"], {"DATA": "d", "TRANSLATIONS": "t"}, "set CORPUS too"),
        ("Translation/scripts/translation.sh", ["gpt2"], {"DICTIONARY": "d"}, "set SENTENCES too"),
        ("Translation/scripts/embeddings.sh", ["gpt2"], {"SENTENCES": "s"}, "set PASSAGES too"),
        ("Translation/scripts/lens.sh", ["gpt2"], {"SENTENCES": "s"}, "set DICTIONARY too"),
    ],
)
def test_what_is_not_set_is_named_before_anything_is_done(root, tmp_path, script, arguments, variables, said):
    done = bash(root, script, *arguments, RESULTS=tmp_path / "results", **variables)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "results").exists(), done.stderr


def test_records_tables_and_the_worlds_data_go_to_results(root, tmp_path):
    done = bash(root, "MMLU/scripts/zero_shot.sh", "", "--limit", 2, "--settings", "en,mixup", RESULTS=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["setting"]) == {"en", "mixup"} and (tmp_path / "accuracy.png").exists()
    assert len(pd.read_csv(tmp_path / "variants" / "mixup.csv")) > 500
    shown = bash(
        root,
        "MMLU/scripts/zero_shot.sh",
        "",
        "--show",
        1,
        "--settings",
        "en",
        RESULTS=tmp_path,
        DATA=tmp_path / "variants",
    )
    assert shown.returncode == 0 and "Answer:" in shown.stdout and "Wilson" not in shown.stdout


def test_another_model_is_told_that_it_is_asked_about_the_world(root, tmp_path):
    arguments = [tmp_path / "no_such_model", "--limit", 1]
    done = bash(root, "MMLU/scripts/zero_shot.sh", *arguments, RESULTS=tmp_path / "results")
    assert "no_such_model is asked about the controlled world; set DATA" in done.stderr and done.returncode == 2
