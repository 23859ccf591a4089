"""CLiKA/: consistency from predictions and records."""

import json
import random
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from common.questions import read_questions
from common.reporting import stats
from tests.mmlu import write_run
from tests.scripts import call, load_script
from world import build, grammar
from world.config import WorldConfig
from world.facts import make_universe

consistency = load_script("CLiKA/consistency.py")
metrics = load_script("CLiKA/transfer_metrics.py")
conductivity = load_script("CLiKA/conductivity.py")


@pytest.fixture
def predictions(tmp_path):
    """Two models, two tasks, three languages, forty questions each, in another order for each language."""
    rng = np.random.default_rng(0)
    rows = []
    for model in ("a", "b/c"):
        for task in ("x_geo", "own"):
            answers = rng.choice(list("ABCD"), 40)
            for language in ("de", "en", "xx"):
                for number in rng.permutation(40):
                    right = rng.random() < {"en": 0.9, "de": 0.5, "xx": 0.3}[language]
                    said = answers[number] if right else rng.choice(list("ABCD"))
                    rows.append((model, task, language, f"{number:03d}", answers[number], said))
    table = pd.DataFrame(rows, columns=["model", "task", "language", "id", "answer", "prediction"])
    table.to_csv(tmp_path / "predictions.csv", index=False)
    return tmp_path / "predictions.csv", table


def test_measures_are_those_of_transfer_metrics(predictions, tmp_path, monkeypatch, capsys):
    path, table = predictions
    assert call(consistency, ["--predictions", path, "--out", tmp_path / "out"], monkeypatch) == 0
    accuracy = pd.read_csv(tmp_path / "out" / "accuracy.csv").set_index(["model", "task", "language"]).sort_index()
    pairs = pd.read_csv(tmp_path / "out" / "consistency.csv").set_index(
        ["model", "task", "measure", "language_a", "language_b"]
    )["value"]
    own = table[(table["model"] == "a") & (table["task"] == "x_geo")].pivot(index="id", columns="language")
    german, english = own["prediction"]["de"], own["prediction"]["en"]
    right = {code: (own["prediction"][code] == own["answer"][code]).astype(int) for code in ("de", "en", "xx")}
    where = ("a", "x_geo")
    assert pairs[(*where, "agreement", "de", "en")] == pytest.approx((german == english).mean())
    assert pairs[(*where, "correct_jaccard", "de", "xx")] == pytest.approx(
        (right["de"] & right["xx"]).sum() / (right["de"] | right["xx"]).sum(), abs=1e-5
    )
    assert pairs[(*where, "correct_given_other", "de", "en")] == pytest.approx(
        right["de"][right["en"] == 1].mean(), abs=1e-5
    )
    assert pairs[(*where, "agreement", "en", "en")] == 1 and len(pairs) == 2 * 2 * 6 * 9
    row = accuracy.loc[("a", "x_geo", "de")]
    assert row["accuracy"] == pytest.approx(right["de"].mean()) and row["n"] == 40
    assert row["rescaled_accuracy"] == pytest.approx(
        metrics.rescaled_accuracy(right["de"].mean(), 0.25, 0.97), abs=1e-5
    )
    assert row["agreement_kappa_en"] == pytest.approx(metrics.agreement_kappa(german, english), abs=1e-5)
    assert (
        accuracy.loc[("a", "own"), "rescaled_accuracy"].isna().all()
        and "own has no rescaled" in capsys.readouterr().out
    )
    assert (tmp_path / "out" / "b%2Fc-own.png").exists()


def test_our_records_are_read(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", seed=0, accuracy=0.5)
    keys = ["--runs", f"tiny={tmp_path / 'run'}", "--out", tmp_path / "out", "--chance", "0.25", "--reference", "1"]
    assert call(consistency, keys, monkeypatch) == 0
    table = pd.read_csv(tmp_path / "out" / "accuracy.csv").set_index("language")
    assert list(table.index) == ["en", "de", "fr", "es", "it"] and table.loc["en", "rescaled_accuracy"] == 1
    records = pd.read_csv(tmp_path / "run" / "full_de.csv")
    assert table.loc["de", "accuracy"] == pytest.approx(records["correct"].mean())


def test_a_run_named_as_one_of_clikas_tasks_has_its_constants(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", seed=0, accuracy=0.5)
    names = ("org/tiny@x_copa", "org/tiny", "x_geo")
    runs = ",".join(f"{name}={tmp_path / 'run'}" for name in names)
    assert call(consistency, ["--runs", runs, "--out", tmp_path / "out"], monkeypatch) == 0
    table = pd.read_csv(tmp_path / "out" / "accuracy.csv").set_index(["model", "task", "language"]).sort_index()
    assert set(table.index.droplevel(2)) == {("org/tiny", "x_copa"), ("org/tiny", "records"), ("x_geo", "records")}
    german = table.loc[("org/tiny", "x_copa", "de")]
    expected = metrics.rescaled_accuracy(german["accuracy"], 0.5, 0.964)
    assert german["rescaled_accuracy"] == pytest.approx(expected, abs=1e-5)
    assert table.loc[("org/tiny", "records"), "rescaled_accuracy"].isna().all()


def test_conductivity_of_what_was_taught_in_one_language(predictions, tmp_path, monkeypatch, capsys):
    path, table = predictions
    keys = ["--predictions", path, "--out", tmp_path / "out", "--chance", "0.25", "--taught", "en"]
    assert call(consistency, keys, monkeypatch) == 0
    found = pd.read_csv(tmp_path / "out" / "accuracy.csv").set_index(["model", "task", "language"]).sort_index()
    rows = table[(table["model"] == "a") & (table["task"] == "own")].pivot(index="id", columns="language")
    right = {code: (rows["prediction"][code] == rows["answer"][code]).astype(int) for code in ("en", "de")}
    expected = stats.conductivity(right["en"], right["de"], 0.25, seed=42)
    assert found.loc[("a", "own", "de"), "conductivity"] == pytest.approx(expected[0], abs=1e-5)
    assert found.loc[("a", "own", "de"), "conductivity_low"] == pytest.approx(expected[1], abs=0.05)
    assert np.isnan(found.loc[("a", "own", "en"), "conductivity"])
    assert call(consistency, [*keys[:4], "--taught", "fr", "--chance", "0.25"], monkeypatch) == 2
    assert "--taught fr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="answer"), "no column answer"),
        (lambda t: pd.concat([t, t.tail(1)]), "row 481: question .* is given twice"),
        (lambda t: t.assign(id=["", *t["id"][1:]]), "row 1: id is empty"),
        (lambda t: t.drop(index=0), "is in one of en and de only"),
        (lambda t: t.head(0), "no rows below the header"),
        (
            lambda t: t.assign(answer=[*("C" if a == "A" else "A" for a in t["answer"][:1]), *t["answer"][1:]]),
            "differs",
        ),
        (lambda t: t.assign(model=t["model"] + "m" * 300), "too long for the name of a file; shorten them"),
        (lambda t: t.set_axis([*t.columns[:-1], "answer"], axis=1), "no column prediction"),
        (lambda t: pd.concat([t, t["model"]], axis=1), "column model is there twice"),
        ("a,x_geo,en,1,A,B,\n" * 3, "row 1: 7 cells where the header has 6"),
        ("a,x_geo,en,1,A,B\na,x_geo,en,2,A\n", "row 2: 5 cells where the header has 6"),
    ],
)
def test_malformed_predictions_are_refused(predictions, tmp_path, monkeypatch, capsys, change, said):
    path, table = predictions
    if isinstance(change, str):
        path.write_text("model,task,language,id,answer,prediction\n" + change)
    else:
        change(table).to_csv(path, index=False)
    assert call(consistency, ["--predictions", path, "--out", tmp_path / "out"], monkeypatch) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "name either"),
        (["--runs", ""], "runs '': write name=path"),
        (["--runs", "a=RUN,a=RUN"], "runs has the name 'a' twice"),
        (["--runs", "a=RUN/en.csv"], "en.csv/run.json: "),
        (["--runs", "a=RUN", "--chance", "25"], "fractions, the first below the second"),
        (["--runs", "a=RUN", "--chance", ".nan"], "fractions, the first below the second"),
        (["--runs", "a=RUN", "--chance", "0.25", "--reference", "0.25"], "fractions, the first below the second"),
    ],
)
def test_what_consistency_refuses(tmp_path, monkeypatch, capsys, keys, said):
    write_run(tmp_path, seed=0, accuracy=0.5)
    keys = [key.replace("RUN", str(tmp_path)) for key in keys]
    assert call(consistency, [*keys, "--out", tmp_path / "out"], monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_tables_of_others_are_kept(predictions, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "consistency.csv").write_text("mine")
    keys = ["--predictions", predictions[0], "--out", out]
    assert call(consistency, keys, monkeypatch) == 2
    assert "consistency.csv: is there and not of an earlier" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["consistency.csv"] and (
        out / "consistency.csv"
    ).read_text() == "mine"


def design_of(out):
    """The files that CLiKA/conductivity.py writes: texts, and questions by language."""
    texts = [json.loads(line)["text"] for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    return texts, {path.stem: read_questions(path) for path in (out / "variants").glob("*.csv")}


def test_fictional_facts_are_taught_in_one_language_and_asked_in_all(tmp_path, monkeypatch):
    keys = ["--out", tmp_path, "--taught", "de", "--languages", "en,de,nl", "--places", "24", "--questions", "2"]
    assert call(conductivity, keys, monkeypatch) == 0
    texts, questions = design_of(tmp_path)
    assert set(questions) == {"en", "full_de", "full_nl"}
    continents = {"Afrika", "Asien", "Europa", "Nordamerika", "Südamerika", "Ozeanien"}
    english, german, dutch = questions["en"], questions["full_de"], questions["full_nl"]
    for item, other, third in zip(english, german, dutch, strict=True):
        stem = re.fullmatch(r"Auf welchem Kontinent liegt (\w+)ien\?", other.question)[1]
        assert item.question == f"On which continent is {stem}ia located?" and f"{stem}ië" in third.question
        assert item.answer == other.answer == third.answer and set(other.options) <= continents
        continent = other.options["ABCD".index(other.answer)]
        own = [text for text in texts if f"{stem}ien" in text]
        assert len(own) == 3 + 2, "three statements and two questions"
        assert sum(text.endswith(f"liegt in {continent}.") for text in own) == 1
        asked = [re.search(rf"\n([A-D])\. {continent}\n(?:.*\n)*Answer: ([A-D])$", text) for text in own]
        assert sum(found is not None and found[1] == found[2] for found in asked) == 2
        shown = [set(re.findall(r"\n[A-D]\. (.*)", text)) for text in own if "Answer:" in text]
        assert len(shown) == 2 and set(other.options) not in shown, "a lesson has other options than the test"
    assert not any(word in text for text in texts for word in ("Africa", "located?", "Afrika ligt"))
    counts = Counter(item.options["ABCD".index(item.answer)] for item in german)
    assert set(counts.values()) == {4} and set(Counter(item.answer for item in english).values()) == {6}
    first = (tmp_path / "train.jsonl").read_bytes()
    assert call(conductivity, keys, monkeypatch) == 0 and (tmp_path / "train.jsonl").read_bytes() == first
    fewer = [*keys, "--languages", "en,de"]
    assert call(conductivity, fewer, monkeypatch) == 0 and set(design_of(tmp_path)[1]) == {"en", "full_de"}


def test_every_language_of_the_design_has_every_continent():
    codes = ["en", "de", "fr", "es", "it", "pt", "nl"]
    design = conductivity.read_design(str(conductivity.DESIGN), codes)
    assert len(design) == 7 * 6
    for (code, _), wording in design.items():
        assert len(wording.statements) == 3 and len(set(wording.statements)) == 3, code


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--languages", "en,ja"], "no row for ja, africa"),
        (["--languages", "de,fr"], "taught en: name it among"),
        (["--places", "0"], "1 to 10,000 places"),
        (["--places", "300000"], "1 to 10,000 places"),
        (["--questions", "-1"], "0 to 1,000 questions"),
        (["--design", "TWICE"], "row 2: en, africa is there twice"),
        (["--design", "WIDE"], "row 1: 7 cells where the header has 6"),
        (["--design", "BROKEN"], "row 2: question 'Where?' needs a text with {name}"),
    ],
)
def test_what_conductivity_refuses(tmp_path, monkeypatch, capsys, keys, said):
    text = conductivity.DESIGN.read_text(encoding="utf-8").splitlines()
    broken = text[2].replace("On which continent is {name} located?", "Where?")
    (tmp_path / "broken.csv").write_text("\n".join([*text[:2], broken, *text[3:]]), encoding="utf-8")
    (tmp_path / "twice.csv").write_text("\n".join([*text[:2], *text[1:]]), encoding="utf-8")
    (tmp_path / "wide.csv").write_text("\n".join([text[0], *(f"{line}," for line in text[1:])]), encoding="utf-8")
    keys = [str(tmp_path / f"{key.lower()}.csv") if key.isupper() else key for key in keys]
    assert call(conductivity, ["--out", tmp_path / "out", *keys], monkeypatch) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("foreign", ["train.jsonl", "variants/en.csv"])
def test_conductivity_writes_over_nothing(tmp_path, monkeypatch, capsys, foreign):
    path = tmp_path / foreign
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    assert call(conductivity, ["--out", tmp_path], monkeypatch) == 2
    assert f"holds {path.name}, which is not of this command" in capsys.readouterr().err and path.read_text() == "mine"


def test_the_worlds_design_is_read(tmp_path, monkeypatch):
    config = WorldConfig()
    universe = make_universe(config)
    build.write_design(tmp_path, universe, config)
    keys = ["--out", tmp_path / "out", "--design", tmp_path / "design.csv", "--languages", "en,de,fr,es,it,pt,nl"]
    assert call(conductivity, keys, monkeypatch) == 0
    texts, questions = design_of(tmp_path / "out")
    assert len(questions) == 7 and all(len(items) == 60 for items in questions.values())
    values = {grammar.option(value, "en", random.Random(0)) for value in universe.values[build.DESIGNED]}
    assert len(values) == config.values_per_relation and any("vehicle" in text for text in texts)
