"""INCLUDE in the layout of the hub: a folder a language, in English words, with questions of its own."""

import json

import pandas as pd
import pytest

from common.questions import read_questions
from tests.scripts import call, load_script

build = load_script("MMLU/build_variants.py")
evaluate = load_script("MMLU/evaluate_mmlu.py")
tabulate = load_script("MMLU/tabulate_mmlu.py")
plot = load_script("MMLU/plot_mmlu.py")
FEATURES = ("agnostic", "region explicit", "region implicit", "culture")


def rows_of(language, split, count):
    """Rows with the columns of the data set; those that are not read say so."""
    for n in range(count):
        row = {"language": language, "country": "not read", "domain": "not read", "level": "not read"}
        row |= {"subject": ("Law", "Driving License")[n % 2], "regional_feature": FEATURES[n % 4]}
        row |= {"question": f"{language} {split} what {n}?", "answer": n % 4}
        yield row | {f"option_{letter}": f"{language} {letter}{n}" for letter in "abcd"}


@pytest.fixture
def data(tmp_path):
    """Ten test questions and four examples in German, eight in French."""
    for language, counts in (("German", (10, 4)), ("French", (8, 4))):
        for split, count in zip(("test", "validation"), counts, strict=True):
            path = tmp_path / "data" / language / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows_of(language, split, count)).to_parquet(path)
    return tmp_path / "data"


def keys(data, code, out):
    return ["--source", "include", "--data", data, "--languages", code, "--out", out]


def test_a_language_is_built_alone(data, tmp_path, monkeypatch, capsys):
    assert call(build, keys(data, "de", tmp_path / "v"), monkeypatch) == 0
    assert capsys.readouterr().out == f"1 settings of 10 questions in {tmp_path}/v\n"
    assert sorted(path.name for path in (tmp_path / "v").glob("*")) == ["build.json", "dev", "full_de.csv"]
    items = read_questions(tmp_path / "v" / "full_de.csv")
    assert [item.subject for item in items] == ["Law"] * 5 + ["Driving License"] * 5
    for item in items:
        feature, split, number = item.id.split("/")
        n = int(number) - 1
        assert (feature, split, item.question) == (FEATURES[n % 4], "test", f"German test what {n}?")
        assert item.options == tuple(f"German {letter}{n}" for letter in "abcd") and item.answer == "ABCD"[n % 4]
        assert {item.question_language, *item.option_languages} == {"de"}
    examples = read_questions(tmp_path / "v" / "dev" / "full_de.csv")
    assert {item.question for item in examples} == {f"German validation what {n}?" for n in range(4)}


def test_each_language_is_asked_and_both_are_in_one_table(data, tiny_checkpoint, tmp_path, monkeypatch):
    runs = []
    for code, count in (("de", 10), ("fr", 8)):
        assert call(build, keys(data, code, tmp_path / code), monkeypatch) == 0
        runs.append(tmp_path / f"run_{code}")
        words = ["--model", tiny_checkpoint, "--data", tmp_path / code, "--out", runs[-1], "--device", "cpu"]
        assert call(evaluate, words, monkeypatch) == 0
        assert call(plot, ["--run", runs[-1], "--out", runs[-1] / "accuracy"], monkeypatch) == 0
        summary = pd.read_csv(runs[-1] / "summary.csv")
        assert summary["setting"].tolist() == [f"full_{code}"] and summary["n"].tolist() == [count]
        assert (runs[-1] / "accuracy.png").exists()
    assert call(tabulate, ["--runs", ",".join(map(str, runs)), "--out", tmp_path / "table"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["setting"].tolist() == ["full_de", "full_fr"] and table["n"].tolist() == [10, 8]
    assert ((table["ci_low"] <= table["accuracy"]) & (table["accuracy"] <= table["ci_high"])).all()
    assert table["delta_vs_en"].isna().all()


def test_what_is_missing_is_named(data, tmp_path, monkeypatch, capsys):
    for codes, said in (
        ("en,de", "--languages must be one language"), ("de,fr", "--languages must be one language"),
        ("it", "no data set with Italian, test"), ("xx", "unknown language 'xx'"),
    ):  # fmt: skip
        assert call(build, keys(data, codes, tmp_path / "v"), monkeypatch) == 2
        assert said in capsys.readouterr().err
    assert call(build, keys(data, "de", tmp_path / "v") + ["--num_fewshot", "1"], monkeypatch) == 2
    assert "has few-shot examples of its own" in capsys.readouterr().err
    path = data / "German" / "test-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    table.assign(answer=[7, *table["answer"][1:]]).to_parquet(path)
    assert call(build, keys(data, "de", tmp_path / "v"), monkeypatch) == 2
    assert f"{data} (German, test), row 1: the answer is '7'" in capsys.readouterr().err
    table.drop(columns="regional_feature").to_parquet(path)
    assert call(build, keys(data, "de", tmp_path / "v"), monkeypatch) == 2
    assert "row 1: a record with subject" in capsys.readouterr().err and not (tmp_path / "v").exists()


def test_the_record_of_a_build_has_its_numbers(data, tmp_path, monkeypatch):
    assert call(build, keys(data, "fr", tmp_path / "v"), monkeypatch) == 0
    record = json.loads((tmp_path / "v" / "build.json").read_text())
    assert (record["test"]["questions"], record["dev"]["questions"]) == (8, 4)
    assert record["test"]["settings"] == ["full_fr"]
