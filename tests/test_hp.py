"""HP/: the sample quiz is sound; a corpus is split by whole terms, and compared with a released index."""

import csv
import json
from collections import Counter

import pandas as pd
import pytest

from common.choices import LETTERS
from common.languages import PAPER
from tests.scripts import ROOT, call, load_script

script = load_script("HP/select_corpus.py")


def sample_rows():
    with open(ROOT / "HP" / "data" / "sample.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sample_has_sixty_questions_half_characters_half_spells():
    rows = sample_rows()
    assert len(rows) >= 60 and len({row["id"] for row in rows}) == len(rows)
    kinds = Counter(row["category"] for row in rows)
    assert kinds["characters"] == kinds["spells"] == len(rows) / 2


def test_sample_answers_are_balanced():
    counts = Counter((row["category"], row["GT"]) for row in sample_rows())
    assert {letter for _, letter in counts} == set(LETTERS) and max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("row", sample_rows(), ids=lambda row: row["id"])
def test_sample_row_is_complete_in_five_languages(row):
    for language in PAPER:
        options = [row[f"{letter}_{language}"] for letter in LETTERS]
        assert row[f"question_{language}"].rstrip().endswith("?") and all(option.strip() for option in options)
        assert len(set(options)) == 4
        for other in PAPER:  # a name may be the same in two languages, but then it is the same option
            for place, letter in enumerate(LETTERS):
                theirs = row[f"{letter}_{other}"]
                assert theirs not in options or options.index(theirs) == place
    assert len({row[f"question_{language}"] for language in PAPER}) == len(PAPER)


TEXTS = [
    " = Alpha = \n\n Rowling wrote about a stone .\n",
    " = Beta = \n\n Hogwarts and Harry \n Potter in Hogwarts .\n",
    " = Gamma = \n\n HogwartsX is not the school , nor is Draco .\n",
    " = Delta = \n\n The Goblet of Fire .\n",
]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "wiki.txt").write_text("\n" + "\n".join(TEXTS), encoding="utf-8")
    return ["--input", tmp_path / "wiki.txt", "--out", tmp_path / "out"], tmp_path


def test_documents_are_split_by_whole_terms(corpus, monkeypatch):
    keys, folder = corpus
    assert call(script, keys, monkeypatch) == 0
    out = folder / "out"
    assert json.loads((out / "index.json").read_text()) == {"HP-related-index": [1, 3]}
    split = {name: pd.read_json(out / f"{name}.jsonl", lines=True) for name in ("related", "unrelated")}
    assert split["related"]["doc_id"].tolist() == [1, 3] and split["unrelated"]["doc_id"].tolist() == [0, 2]
    assert "Goblet" in split["related"]["text"][1]
    terms = pd.read_csv(out / "terms.csv").set_index("term")
    assert terms.loc["Hogwarts"].tolist() == [1, 2] and terms.loc["Harry Potter"].tolist() == [1, 1]
    assert call(script, [*keys, "--min_count", "3"], monkeypatch) == 0
    assert json.loads((out / "index.json").read_text()) == {"HP-related-index": [1]}


@pytest.mark.parametrize("released", [{"HP-related-index": [1, 2]}, [1, 2]])
def test_agreement_with_a_released_index(corpus, monkeypatch, released):
    keys, folder = corpus
    (folder / "index.json").write_text(json.dumps(released))
    assert call(script, [*keys, "--index", folder / "index.json"], monkeypatch) == 0
    row = pd.read_csv(folder / "out" / "summary.csv").iloc[0]
    assert row[["documents", "related", "released", "in_both"]].tolist() == [4, 2, 2, 1]
    assert row["precision"] == row["recall"] == 0.5


@pytest.mark.parametrize(
    ("index", "said"), [("[9]", "document 9, the corpus has 4"), ("{}", "not a JSON list"), ("x", "not a JSON list")]
)
def test_a_wrong_index_is_refused_and_nothing_is_written(corpus, monkeypatch, capsys, index, said):
    keys, folder = corpus
    (folder / "index.json").write_text(index)
    assert call(script, [*keys, "--index", folder / "index.json"], monkeypatch) == 2
    assert said in capsys.readouterr().err and not list((folder / "out").glob("*"))


def test_bad_terms_and_counts(corpus, monkeypatch, capsys):
    keys, folder = corpus
    (folder / "terms.txt").write_text("# nothing\n")
    for more, said in ((["--terms", folder / "terms.txt"], "no terms"), (["--min_count", "0"], "1 or more")):
        assert call(script, [*keys, *more], monkeypatch) == 2 and said in capsys.readouterr().err


def test_real_wikitext_is_split(real_data, tmp_path, monkeypatch):
    source = real_data / "wikitext2" / "test.txt"
    if not source.exists():
        pytest.skip("no wikitext2/test.txt")
    assert call(script, ["--input", source, "--out", tmp_path], monkeypatch) == 0
    row = pd.read_csv(tmp_path / "summary.csv").iloc[0]
    assert row["documents"] > 50 and row["related"] + row["unrelated"] == row["documents"]
