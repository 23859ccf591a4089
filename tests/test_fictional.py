"""CLiKA's fictional places: what is taught and asked, what counts as right, the gate, conductivity, and resuming."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import yaml
from transformers import AutoTokenizer

from common.evaluation import resume
from common.lm.generation import Answer
from common.reporting.stats import wilson
from tests.scripts import ROOT, call, load_script
from tests.test_scripts import bash
from world import untrained

fictional = load_script("CLiKA/fictional.py")
ask = load_script("CLiKA/ask_fictional.py")
tabulate = load_script("CLiKA/tabulate_fictional.py")

CONTINENTS = {"Mythosia": "Mythosien", "Veridica": "Veridika", "Galactis": "Galaktis", "Imperium": "Imperium"}
PLACES = 4  # of each continent, half of them of type 1
ENGLISH, GERMAN = "Which continent is {} located in?", "Auf welchem Kontinent liegt {}, bitte?"


def places():
    """(English name, German name, continent in English, type) of every place."""
    return [
        (f"Place {c}{n}", f"Ort {c}{n}", continent, int(n >= PLACES // 2))
        for c, continent in enumerate(CONTINENTS)
        for n in range(PLACES)
    ]


def row(prompt, answer, given=""):
    return {"prompt": prompt, "input": given, "answer": answer}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path):
    """Four continents in CLiKA's layout, English and German."""
    folder, taught, names = tmp_path / "clika" / "fictional", [], dict(CONTINENTS)
    tests = {"EN": [], "DE": []}
    for english, german, continent, kind in places():
        names[english] = german
        taught.append(row(ENGLISH.format(english), f"{english} is located in the continent of {continent}."))
        tag = f"[[city:{german}]][[type:{kind}]]"
        own = CONTINENTS[continent]
        if not kind:
            taught.append(row(GERMAN.format(german), f"{german} liegt auf dem Kontinent {own}."))
        tests["EN"].append(row(ENGLISH.format(english), f"It is in {continent}.[[continent:{continent}]]{tag}"))
        tests["EN"][-1]["answer"] = tests["EN"][-1]["answer"].replace(german, english)
        tests["DE"].append(row(GERMAN.format(german), f"In {own}.[[continent:{own}]]{tag}"))
    taught += [row("Please translate into English.", english, german) for english, german in names.items()]
    write(folder / "train" / "DE.json", taught)
    for code, rows in tests.items():
        write(folder / "test" / "target" / f"test{code}.jsonl", rows)
    asked = [row("Please translate into German.", german, english) for english, german in names.items()]
    write(folder / "test" / "Translate" / "translateDE.jsonl", asked)
    return folder.parent


def right(one):
    """An answer that has the expected name in a sentence."""
    return f"Es ist {one.expected}, glaube ich."


@pytest.fixture
def answered(data, tmp_path, tiny_checkpoint, monkeypatch):
    """Ask, with `said(question)` as what the model writes; returns the folder of the answers."""

    def run(said, name="answers", *keys):
        asked = {one.prompt: one for one in fictional.read_test(str(data), "de", "plain")}

        def generate(model, tokenizer, prompts, max_new_tokens, **_):
            return [Answer(said(asked[prompt]), True, 3) for prompt in prompts]

        monkeypatch.setattr(ask, "generate", generate)
        words = ["--model", tiny_checkpoint, "--data", data, "--template", "plain", "--device", "cpu", *keys]
        assert call(ask, [*words, "--out", tmp_path / name], monkeypatch) == 0
        return tmp_path / name

    return run


def test_prompts_are_masked_and_answers_follow(data, tmp_path, monkeypatch):
    for template in ("alpaca", "plain"):
        out = tmp_path / f"{template}.jsonl"
        words = ["--data", data, "--language", "de", "--template", template, "--out", out]
        assert call(fictional, words, monkeypatch) == 0
        assert call(fictional, words, monkeypatch) == 0, "the same text again"
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        source = [json.loads(line) for line in (data / "fictional/train/DE.json").read_text().splitlines()]
        assert [one["text"].removeprefix(one["question"]).strip() for one in rows] == [one["answer"] for one in source]
        assert all(one["text"].startswith(one["question"]) for one in rows) and len(rows) == 16 + 8 + 20
    assert (
        rows[0]["text"]
        == "Which continent is Place 00 located in?\nAnswer: Place 00 is located in the continent of Mythosia."
    )
    assert rows[-1]["question"] == "Please translate into English.\nOrt 33\nAnswer:"
    first = json.loads((tmp_path / "alpaca.jsonl").read_text().splitlines()[0])
    assert first["question"] == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nWhich continent is Place 00 located in?\n\n### Response:\n"
    )


def test_what_is_asked(data):
    asked = fictional.read_test(str(data), "de", "plain")
    assert pd.Series([one.part for one in asked]).value_counts().to_dict() == {
        "translation": 20, "english_0": 8, "english_1": 8, "target_0": 8, "target_1": 8
    }  # fmt: skip
    known = {one.id: one for one in asked}
    assert len(known) == len(asked)
    one = known["target_1_0003"]
    assert asdict(one) == {
        "id": "target_1_0003", "part": "target_1", "fact": "0003", "continent": "Mythosia", "expected": "Mythosien",
        "prompt": "Auf welchem Kontinent liegt Ort 02, bitte?\nAnswer:",
    }  # fmt: skip
    assert known["english_1_0003"].expected == "Mythosia"
    names = [one for one in asked if one.part == "translation"]
    assert names[0].prompt == "Please translate into German.\nMythosia\nAnswer:" and names[0].expected == "Mythosien"
    assert {one.continent for one in names} == set(CONTINENTS)
    few = fictional.read_test(str(data), "de", "plain", 1)
    assert len(few) == 5 * 4 and {one.continent for one in few} == set(CONTINENTS)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("train/DE.json", None, "DE.json: no such file; data must be a folder in the layout of CLiKA's"),
        ("train/DE.json", lambda rows: [{"prompt": "a", "answer": "b"}], "DE.json, row 1: no input"),
        ("train/DE.json", lambda rows: [rows[0], row(3, "b")], "DE.json, row 2: prompt is 3; it must be a text"),
        ("train/DE.json", lambda rows: [row("a", " ")], "DE.json, row 1: answer is ' '"),
        ("test/target/testDE.jsonl", lambda rows: rows[:-1], "testDE.jsonl: 15 facts where English has 16"),
        ("test/target/testDE.jsonl", lambda rows: [*rows[:4], *rows[:12]][::-1], "row 1: type 1, and in English 0"),
        ("test/target/testEN.jsonl", lambda rows: [row("a", "b")], "testEN.jsonl, row 1: the answer must end in"),
    ],
)
def test_malformed_files_are_refused(data, tmp_path, monkeypatch, capsys, file, change, said):
    path = data / "fictional" / file
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink() if change is None else write(path, change(rows))
    keys = ["--data", data, "--out", tmp_path / "out.jsonl"]
    if file.startswith("test"):
        keys = ["--model", "none", "--data", data, "--out", tmp_path / "out"]
    assert call(fictional if file.startswith("train") else ask, keys, monkeypatch) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.glob("out*"))


def test_other_texts_languages_and_names_are_refused(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.jsonl").write_text("mine")
    for module, keys, said in (
        (fictional, ["--out", tmp_path / "mine.jsonl"], "mine.jsonl: is there with another text"),
        (fictional, ["--out", tmp_path / "mine.txt"], "the name must end in .jsonl"),
        (fictional, ["--out", tmp_path / "a.jsonl", "--language", "xx"], "xx"),
        (ask, ["--out", tmp_path / "a", "--model", "m", "--languages", "en"], "everything is taught in English"),
        (
            ask,
            ["--out", tmp_path / "a", "--model", "m", "--languages", "de,fr"],
            "languages de,fr: a model is taught one",
        ),
    ):
        assert call(module, ["--data", data, *keys], monkeypatch) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "mine.jsonl").read_text() == "mine" and not (tmp_path / "a").exists()


def test_an_answer_is_right_if_the_expected_name_is_in_it(answered):
    said = {
        "translation_0001": "mythosien",
        "target_1_0003": "Ort 02 liegt auf dem Kontinent\nMythosien.",
        "english_0_0001": "",
    }
    table = pd.read_csv(answered(lambda one: said.get(one.id, "nowhere")) / "de.csv", keep_default_na=False)
    assert table.loc[table["correct"] == 1, "id"].tolist() == ["target_1_0003"]
    assert "Ort 02 liegt auf dem Kontinent Mythosien." in table["said"].tolist() and len(table) == 52


def test_a_killed_run_goes_on_to_the_same_bytes(answered, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resume, "SHARD_SIZE", 10)
    whole = answered(right, "whole")
    count = []

    def dies(one):
        count.append(one.id)
        if len(count) > 25:
            raise KeyboardInterrupt
        return right(one)

    with pytest.raises(AssertionError):
        answered(dies, "cut")
    assert len(list((tmp_path / "cut").glob("units/*/*.csv"))) == 2 and not (tmp_path / "cut" / "de.csv").exists()
    assert call(tabulate, ["--runs", f"de={tmp_path / 'cut'}", "--out", tmp_path / "table"], monkeypatch) == 2
    assert "cut/run.json: not of CLiKA/ask_fictional.py, or not finished" in capsys.readouterr().err
    count.clear()
    cut = answered(lambda one: count.append(one.id) or right(one), "cut")
    assert len(count) == 52 - 20 and (cut / "de.csv").read_bytes() == (whole / "de.csv").read_bytes()


def tabulated(monkeypatch, tmp_path, folder, out="table"):
    assert call(tabulate, ["--runs", f"de={folder}", "--out", tmp_path / out], monkeypatch) == 0
    return pd.read_csv(tmp_path / out / "table.csv").set_index("part")


def test_conductivity_is_that_of_type_1_above_chance(answered, tmp_path, monkeypatch, capsys):
    """All is learnt but one fact; in German two continents are known whole, one by half, one not at all."""
    known = {"Mythosia": 2, "Veridica": 2, "Galactis": 1, "Imperium": 0}

    def said(one):
        if one.id == "english_1_0003":
            return "nowhere"
        if one.part == "target_1":
            number = (int(one.fact) - 1) % PLACES - PLACES // 2
            return right(one) if number < known[one.continent] else "nowhere"
        return right(one)

    folder = answered(said)
    table = tabulated(monkeypatch, tmp_path, folder)
    assert table["accuracy"].to_dict() == {
        "translation": 1, "english_0": 1, "english_1": 7 / 8, "target_0": 1, "target_1": 5 / 8
    }  # fmt: skip
    assert table["complete"].to_dict() == {
        "translation": 1, "english_0": 1, "english_1": 0, "target_0": 1, "target_1": 0
    }  # fmt: skip
    test = table.loc["target_1"]
    assert test["chance"] == 0.25 and test["conductivity"] == pytest.approx((5 / 8 - 1 / 4) / (7 / 8 - 1 / 4))
    rng, means = np.random.default_rng(0), np.array([1, 1, 0.5, 0])
    draws = means[rng.integers(0, 4, (20_000, 4))].mean(axis=1)  # continents, not places
    assert [test["ci_low"], test["ci_high"]] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)
    said = capsys.readouterr().out
    assert "training is not complete (type 1 in English 87.5; each must be above 90%), so that" in said
    assert "62.5% [" in said and "of 8 facts taught in English alone are right in German" in said
    assert "chance is 25.0%; conductivity 0.60 [" in said
    assert all((tmp_path / "table" / f"table{ending}").exists() for ending in (".md", ".png", ".pdf"))


def test_the_gate_is_above_nine_tenths_of_every_part(answered, tmp_path, monkeypatch, capsys):
    for wrong, complete in ((1, 1), (2, 0)):  # of 20 names: 95% and 90%
        lost = [f"translation_{number:04d}" for number in range(1, wrong + 1)]
        folder = answered(lambda one, lost=lost: "no" if one.id in lost else right(one), f"answers_{wrong}")
        table = tabulated(monkeypatch, tmp_path, folder, f"table_{wrong}")
        assert table.loc["translation", "complete"] == table.loc["target_1", "complete"] == complete
        said = capsys.readouterr().out
        assert ("German: training is complete, no part below 95.0%" in said) == bool(complete)
        assert ("(names into L 90.0; each must be above 90%)" in said) == (not complete)


def test_nothing_learnt_has_no_conductivity(answered, tmp_path, monkeypatch, capsys):
    table = tabulated(monkeypatch, tmp_path, answered(lambda one: "nowhere"))
    assert table["accuracy"].eq(0).all() and np.isnan(table.loc["target_1", "conductivity"])
    assert table.loc["target_1", "ci_high"] == pytest.approx(wilson(0, 8)[1], abs=1e-5)
    assert "conductivity missing, as they are not known in English" in capsys.readouterr().out


def test_changed_and_foreign_answers_are_refused(answered, tmp_path, monkeypatch, capsys):
    folder = answered(right)
    keys = ["--runs", f"de={folder},fr={folder}", "--out", tmp_path / "table"]
    assert call(tabulate, keys, monkeypatch) == 2 and "two of them are of one language" in capsys.readouterr().err
    (folder / "de.csv").write_text((folder / "de.csv").read_text().replace(",1\n", ",0\n", 1))
    assert call(tabulate, ["--runs", f"de={folder}", "--out", tmp_path / "table"], monkeypatch) == 2
    assert "de.csv: missing or changed" in capsys.readouterr().err and not (tmp_path / "table").exists()


def test_the_claim_is_tested_where_training_is_complete(answered, tmp_path, monkeypatch):
    check = load_script("report/check_claims.py")
    claims = yaml.safe_load((ROOT / "report/claims.yaml").read_text())
    own = [claim | {"minimum": 4} for claim in claims if claim["name"] == "clika_conductivity_fictional"]
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(own))

    def verdict(name, said):
        tabulated(monkeypatch, tmp_path, answered(said, f"answers_{name}"), f"results_{name}")
        keys = ["--claims", tmp_path / "claims.yaml", "--results", tmp_path / f"results_{name}"]
        assert call(check, [*keys, "--out", tmp_path / name], monkeypatch) == 0
        return pd.read_csv(tmp_path / f"{name}.csv").iloc[0]

    found = verdict("all", right)
    assert (found["n"], found["effect"], found["verdict"]) == (4, 1, "does not hold")
    none = verdict("none", lambda one: "nowhere" if one.part == "target_1" else right(one))
    assert none["effect"] == pytest.approx(-0.05 / 0.95) and none["verdict"] == "holds"
    short = verdict("short", lambda one: "nowhere" if one.part in ("target_1", "translation") else right(one))
    assert short["verdict"] == "not tested" and "complete 1" in short["note"]


def test_an_untrained_model_has_the_words_of_its_text(data, tmp_path, monkeypatch, capsys):
    text = tmp_path / "text.jsonl"
    assert call(fictional, ["--data", data, "--template", "plain", "--out", text], monkeypatch) == 0
    keys = ["--text", text, "--out", tmp_path / "model", "--layers", 2, "--hidden_size", 32]
    assert call(untrained, keys, monkeypatch) == 0
    weights = (tmp_path / "model/model.safetensors").read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.tokenize("Kontinent Mythosien.\nAnswer: continent") == [
        "ĠKontinent", "ĠMythosien", ".", "ĊĠAnswer:", "Ġcontinent"
    ]  # fmt: skip
    capsys.readouterr()
    assert call(untrained, keys, monkeypatch) == 0 and "up to date" in capsys.readouterr().out
    assert call(untrained, [*keys[:2], "--out", tmp_path / "again", *keys[4:]], monkeypatch) == 0
    assert (tmp_path / "again/model.safetensors").read_bytes() == weights
    assert call(untrained, [*keys, "--seed", 7], monkeypatch) == 2 and "of another text or" in capsys.readouterr().err
    assert call(untrained, ["--text", tmp_path / "no", "--out", tmp_path / "b"], monkeypatch) == 2


def test_the_script_trains_asks_and_tabulates(data, tmp_path):
    (tmp_path / "data.yaml").write_text(f"clika: {data}\n")
    variables = {"DATA_CONFIG": tmp_path / "data.yaml", "RESULTS": tmp_path / "results", "LANGUAGES": "en,de"}
    done = bash(ROOT, "CLiKA/scripts/fictional.sh", "", "--max_new_tokens", 8, **variables)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "results/table/table.csv")
    assert table["taught"].unique().tolist() == ["de"] and table["n"].tolist() == [20, 8, 8, 8, 8]
    run = json.loads((tmp_path / "results/de/answers/run.json").read_text())
    assert run["config"]["template"] == "plain" and run["config"]["model"].endswith("results/de/model")
    trained = json.loads((tmp_path / "results/de/model/run.json").read_text())["config"]
    assert trained["protocol"] == "paper" and trained["data"].endswith("de/taught.jsonl")
    refused = bash(ROOT, "CLiKA/scripts/fictional.sh", **variables | {"LANGUAGES": "en"})
    assert refused.returncode == 2 and "languages en: name one beside English" in refused.stderr


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_released_files(real_data, language):
    if not (real_data / "clika/fictional").is_dir():
        pytest.skip("no clika/fictional among the real data")
    data = str(real_data / "clika")
    taught = fictional.read_training(data, language, "plain")
    asked = fictional.read_test(data, language, "plain")
    counts = pd.Series([one.part for one in asked]).value_counts()
    assert len(taught) == 10_200 and counts["translation"] == 420
    assert counts.drop("translation").eq(200).all() and len({one.continent for one in asked}) == 20
    questions = {row["question"] for row in taught}
    known = {one.part: [] for one in asked}
    for one in asked:
        known[one.part].append(one.prompt in questions)
    assert all(known["english_0"]) and all(known["english_1"])  # word for word
    assert not any(known["translation"])  # taught is the other direction
    assert any(known["target_0"]) == (language == "fr")  # the German question has a wording of its own
    name = {"de": "German", "fr": "French"}[language]
    assert not any(f"to {name}" in question for question in questions)
    if language == "de":  # as CLiKA/README.md has it
        path = real_data / "clika/fictional/test/target/testDE.jsonl"
        places = [tags for _, tags in fictional._facts(path)]
        stated = {city for _, city, kind in places if kind == "0"}
        assert sum(city in stated for _, city, kind in places if kind == "1") == 2
        assert [city for continent, city, _ in places if continent in city] == ["Empyrean-Imperium"]
