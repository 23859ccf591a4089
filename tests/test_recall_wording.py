"""Recall/wording.py: agreement against a double loop, facts and wordings that are parallel, malformed data."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.lm.loading import load
from tests.scripts import call, load_script
from tests.test_recall_cloze import slow_scores
from world import build
from world.config import WorldConfig
from world.facts import make_universe

wording = load_script("Recall/wording.py")
mpararel = load_script("Recall/mpararel.py")
PATTERNS = {
    "en": ["[Y] has the river [X]", "[X] flows in [Y]", "the river [X] is in [Y]"],
    "de": ["[X] fließt in [Y]", "[Y] hat den Fluss [X]"],
}
LABELS = {
    "Po": ("Italy", "Italien"),
    "Seine": ("France", "Frankreich"),
    "Tagus": ("Spain", "Spanien"),
    "Loire": ("France", "Frankreich"),
}


def write(folder, patterns=PATTERNS, **more):
    """One relation in mParaRel's layout; `more` has further tuples of a language."""
    for place, (code, own) in enumerate(patterns.items()):
        rows = [(river, names[0], river, names[place]) for river, names in LABELS.items()] + more.get(code, [])
        keys = ("sub_uri", "obj_uri", "sub_label", "obj_label")
        lines = {
            "patterns": [{"pattern": text} for text in own],
            "tuples": [dict(zip(keys, row, strict=True)) for row in rows],
        }
        for kind, texts in lines.items():
            path = folder / kind / code / "river.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    return folder


def random_tables(rng, languages="abc", facts=7, wordings=3, candidates=3):
    """Predictions of facts in several wordings and languages, in one order for all."""
    rows = [("r", f"f{fact}", number) for number in range(wordings) for fact in range(facts)]
    tables = {}
    for code in languages:
        table = pd.DataFrame(rows, columns=["relation", "fact", "wording"])
        tables[code] = table.assign(prediction=rng.choice(list("xyz")[:candidates], len(rows)), correct=0)
    return tables


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_that_of_a_double_loop(seed):
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, wordings=int(rng.integers(2, 5)))
    facts = wording.by_fact(tables).set_index(["fact", "language_a", "language_b"])
    said = {code: {f: list(own["prediction"]) for f, own in t.groupby("fact")} for code, t in tables.items()}

    def slow_within(own):
        pairs = list(combinations(own, 2))
        return sum(a == b for a, b in pairs) / len(pairs)

    for a, b in combinations(tables, 2):
        for fact in said[a]:
            one, other = said[a][fact], said[b][fact]
            found = facts.loc[fact, a, b]
            assert found["within"] == pytest.approx((slow_within(one) + slow_within(other)) / 2)
            same = sum(x == y for x in one for y in other)
            assert found["across"] == pytest.approx(same / (len(one) * len(other)))
    table = wording.agreement(facts.reset_index(), tables, seed).set_index(["measure", "language_a"])
    for kind in ("within", "across"):
        assert table.loc[(kind, "all"), "value"].item() == pytest.approx(facts[kind].mean())
    ratio = facts["across"].mean() / facts["within"].mean()
    assert table.loc[("ratio", "all"), "value"].item() == pytest.approx(ratio)


def test_what_wording_alone_decides_reaches_the_ceiling_and_what_language_decides_does_not():
    rng = np.random.default_rng(0)
    tables = random_tables(rng, languages="ab", facts=3000, wordings=2)
    table = wording.agreement(wording.by_fact(tables), tables, 0)
    low, high = table.loc[(table["measure"] == "ratio") & (table["language_a"] == "all"), ["ci_low", "ci_high"]].iloc[0]
    assert low < 1 < high
    for code in "ab":
        tables[code]["prediction"] = code
    found = wording.agreement(wording.by_fact(tables), tables, 0).set_index(["measure", "language_a"])["value"]
    assert found["within", "all"] == 1 and found["across", "all"] == found["ratio", "all"] == 0
    assert "agree in 100.0% [100.0, 100.0]" in wording.finding(wording.agreement(wording.by_fact(tables), tables, 0))


def test_intervals_are_those_of_facts():
    """Wordings of a fact that always agree are no further evidence."""
    rng = np.random.default_rng(1)
    tables = random_tables(rng, languages="ab", facts=400, wordings=4, candidates=2)
    for code, shown in (("a", "x"), ("b", None)):
        said = rng.choice(["x", "y"], 400) if shown is None else np.full(400, shown)
        tables[code]["prediction"] = np.tile(said, 4)
    table = wording.agreement(wording.by_fact(tables), tables, 0).set_index(["measure", "language_a"])
    row = table.loc["across", "all"]
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 400), rel=0.1)
    again = wording.agreement(wording.by_fact(tables), tables, 0)
    pd.testing.assert_frame_equal(again.set_index(["measure", "language_a"]), table)


def test_facts_and_candidates_are_those_of_every_language(tmp_path):
    more = {
        "en": [
            ("Rhine", "Germany", "Rhine", "Germany"),
            ("Po", "Swiss", "Po", "Switzerland"),
            ("Ems", "x", "Ems", "Ems"),
        ],
        "de": [("Ems", "x", "Ems", "Italien"), ("Elbe", "y", "Elbe", "Tschechien")],
    }
    relation = mpararel.read_mpararel(write(tmp_path, **more), ["en", "de"])["river"]
    # Rhine and Elbe stand in one language alone, the Po has two countries in English; x is called Italy in German.
    assert relation.answers == {"Seine": "France", "Tagus": "Spain", "Loire": "France", "Ems": "Italy"}
    assert relation.candidates["en"] == {"Italy": "Italy", "France": "France", "Spain": "Spain", "Ems": "Italy"}
    assert relation.candidates["de"] == {"Italien": "Italy", "Frankreich": "France", "Spanien": "Spain"}
    sentences = mpararel.write_sentences({"river": relation}, 2, 4, 1)
    assert len(sentences["en"]) == len(sentences["de"]) == 4, "two facts in as many wordings as German has"
    for english, german in zip(sentences["en"], sentences["de"], strict=True):
        assert (english.id, english.answer) == (german.id, german.answer)
    assert [row.behind for row in sentences["en"]] == [""] * 4, "two English wordings end with the object"
    assert [bool(row.behind) for row in sentences["de"]] == [False, False, True, True]
    assert sentences == mpararel.write_sentences({"river": relation}, 2, 4, 1)
    every = mpararel.write_sentences({"river": relation}, None, 4, 1)["en"]
    assert {row.fact for row in every} == {f"river-{subject}" for subject in relation.answers}


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        (
            "patterns",
            '{"pattern": "no gap [X]"}',
            "patterns/de/river.jsonl, line 1: 'no gap [X]' must have one [X] and",
        ),
        ("patterns", "[]", "patterns/de/river.jsonl, line 1: no JSON object with pattern"),
        ("patterns", "", "patterns/de/river.jsonl: no line with pattern"),
        (
            "tuples",
            '{"sub_uri": "a", "obj_uri": "b", "sub_label": ""}',
            "tuples/de/river.jsonl, line 1: no JSON object",
        ),
        ("tuples", "\xfc", "tuples/de/river.jsonl"),
    ],
)
def test_malformed_files_are_refused(name, line, said, tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "data")
    (data / name / "de" / "river.jsonl").write_text(line, encoding="latin-1")
    keys = ["--model", "none", "--data", data, "--out", tmp_path / "out"]
    assert call(wording, keys, monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--languages", "en"], "no two folders of languages"),
        (["--languages", "en,xx"], "unknown language 'xx'"),
        (["--languages", "en,fr"], "no relation with patterns"),
        (["--templates", "1"], "templates is 1"),
        (["--limit", "0"], "limit is 0"),
    ],
)
def test_keys_are_refused_by_name(keys, said, tmp_path, monkeypatch, capsys):
    words = ["--model", "none", "--data", write(tmp_path / "data"), "--out", tmp_path / "out", *keys]
    assert call(wording, words, monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_order_in_which_languages_are_named_changes_nothing(tmp_path):
    data = write(tmp_path)
    orders = [wording.Wording(out="o", data=data, languages=named).codes for named in ("de,en", ["en", "de"], None)]
    assert orders == [["en", "de"]] * 3


def test_a_model_without_numbers_predicts_nothing(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    def no_numbers(model, tokenizer, prompts, continuations, **_):
        return np.full((len(prompts), max(map(len, continuations))), np.nan)

    monkeypatch.setitem(wording.gap_scores.__globals__, "loglikelihood", no_numbers)
    keys = [
        "--model",
        tiny_checkpoint,
        "--data",
        write(tmp_path / "data"),
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    ]
    assert call(wording, keys, monkeypatch) == 2
    assert "the model gives NaN; try --dtype float32" in capsys.readouterr().err
    assert not (tmp_path / "out" / "agreement.csv").exists()


def test_a_single_wording_agrees_with_none(tmp_path):
    relations = mpararel.read_mpararel(write(tmp_path, PATTERNS | {"de": ["[X] fließt in [Y]"]}), ["en", "de"])
    with pytest.raises(InputError, match="no relation has two wordings"):
        mpararel.write_sentences(relations, None, 4, 0)


def test_predictions_are_the_best_of_one_forward_pass_each(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    keys = ["--model", tiny_checkpoint, "--data", write(tmp_path / "data"), "--out", out, "--device", "cpu"]
    assert call(wording, keys, monkeypatch) == 0 and "of that ceiling" in capsys.readouterr().out
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    relations = mpararel.read_mpararel(tmp_path / "data", ["en", "de"])
    for code, rows in mpararel.write_sentences(relations, 200, 4, 42).items():
        table = pd.read_csv(out / f"{code}.csv", dtype=str)
        assert len(table) == len(rows) == 8
        names = relations["river"].candidates[code]
        for row, said in zip(rows, table.itertuples(), strict=True):
            scores = slow_scores(model, tokenizer, f"{row.before}<mask>{row.behind}", list(names))
            assert said.prediction == list(names.values())[int(np.argmax(scores))]
            assert int(said.correct) == (said.prediction == row.answer) and said.id == row.id
    before = (out / "en.csv").read_bytes(), (out / "agreement.csv").read_bytes()
    assert call(wording, keys, monkeypatch) == 0
    assert before == ((out / "en.csv").read_bytes(), (out / "agreement.csv").read_bytes())


def test_the_worlds_wordings_agree_more_than_its_languages(root, tmp_path, monkeypatch):
    build.write_mpararel(tmp_path / "data", make_universe(WorldConfig()))
    keys = ["--model", root / "assets/world", "--data", tmp_path / "data", "--out", tmp_path / "out", "--limit", "2"]
    assert call(wording, [*keys, "--languages", "en,de", "--device", "cpu"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "out" / "agreement.csv").set_index(["measure", "language_a"])
    assert table.loc[("accuracy", "en"), "n"].item() == 32 and table.loc[("accuracy", "en"), "value"].item() > 0.9
    assert table.loc[("across", "all"), "ci_high"].item() < table.loc[("within", "all"), "ci_low"].item()


def test_real_mpararel(real_data):
    if not (real_data / "mpararel").exists():
        pytest.skip("no mpararel/")
    languages = ["en", "de", "fr", "es", "it"]
    relations = mpararel.read_mpararel(real_data / "mpararel", languages)
    sentences = mpararel.write_sentences(relations, 200, 4, 42)
    assert len(relations) == 10 and {len(own) for own in sentences.values()} == {7400}
    assert all(len({row.fact for row in sentences["en"] if row.relation == name}) == 200 for name in relations)
    for relation in relations.values():
        assert all(set(relation.answers.values()) <= set(own.values()) for own in relation.candidates.values())
