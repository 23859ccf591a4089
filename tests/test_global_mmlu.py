"""Global-MMLU in the layout of the hub: a folder a language, a Parquet file a split, rows by sample_id."""

import pandas as pd
import pytest

from common.questions import read_questions
from tests.scripts import call, load_script

build = load_script("MMLU/build_variants.py")
KEYS = ("option_a", "option_b", "option_c", "option_d")


def rows_of(code, split, count):
    """Rows with the columns of the data set; those that are not read say so."""
    for n in range(count):
        subject = ("anatomy", "law")[n % 2]
        row = {"sample_id": f"{subject}/{split}/{n}", "subject": subject, "subject_category": "not read"}
        row |= {"question": f"{code} {split} what {n}?"} | {key: f"{code} {key[-1]}{n}" for key in KEYS}
        yield row | {"answer": "ABCD"[n % 4], "cultural_sensitivity_label": "CA", "is_annotated": True}


@pytest.fixture
def data(tmp_path):
    """Ten test questions and four examples in two languages; German ones in another order."""
    for code in ("en", "de"):
        for split, count in (("test", 10), ("dev", 4)):
            path = tmp_path / "data" / code / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(rows_of(code, split, count))
            table.iloc[:: -1 if code == "de" else 1].to_parquet(path)
    return tmp_path / "data"


def test_rows_are_matched_by_sample_id(data, tmp_path, monkeypatch):
    keys = ["--source", "global_mmlu", "--data", data, "--languages", "en,de", "--out", tmp_path / "v"]
    assert call(build, keys, monkeypatch) == 0
    english, german = (read_questions(tmp_path / "v" / f"{name}.csv") for name in ("en", "full_de"))
    assert [item.id for item in english] == [item.id for item in german] and len(german) == 10
    for item in german:
        subject, split, number = item.id.split("/")
        assert (item.subject, split) == (subject, "test") and item.question == f"de test what {number}?"
        assert item.options == tuple(f"de {letter}{number}" for letter in "abcd")
        assert item.answer == "ABCD"[int(number) % 4]
    examples = read_questions(tmp_path / "v" / "dev" / "full_de.csv")
    assert {item.question for item in examples} == {f"de dev what {n}?" for n in range(4)}


def test_what_is_missing_is_named(data, tmp_path, monkeypatch, capsys):
    keys = ["--source", "global_mmlu", "--data", data, "--out", tmp_path / "v"]
    assert call(build, [*keys, "--languages", "en,fr"], monkeypatch) == 2
    assert "no data set with fr, test" in capsys.readouterr().err
    path = data / "de" / "test-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    table.drop(columns="answer").to_parquet(path)
    assert call(build, [*keys, "--languages", "en,de"], monkeypatch) == 2
    assert f"{data} (de, test), row 1: a record with sample_id" in capsys.readouterr().err
    table.head(9).to_parquet(path)
    assert call(build, [*keys, "--languages", "en,de"], monkeypatch) == 2
    assert "(de, test)" in capsys.readouterr().err and not (tmp_path / "v").exists()
