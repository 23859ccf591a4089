"""ECLeKTic and MultiLoKo in their own layouts, ten questions each: prompts, scores recounted, what was simulated."""

import json
import os
import subprocess

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.reporting.stats import paired_bootstrap, wilson
from tests.scripts import PYTHON, call, load_script

script = load_script("Recall/closed_book.py")
local = load_script("Recall/local_questions.py")
scores = load_script("Recall/closed_book_scores.py")
transfer = load_script("CLiKA/transfer_metrics.py").transfer
CODES = ("en", "de", "zh")
FOLDERS = {"en": "english", "de": "german", "zh": "simplified_mandarin"}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def eclektic(folder, change=None):
    """Ten questions, made in English, German and Chinese in turn."""
    rows = []
    for n in range(10):
        row = {"q_id": n, "original_lang": CODES[n % 3], "title": "not read", "url": "not read", "content": "not read"}
        for code in CODES:
            row |= {f"{code}_q": f"{code} who {n}?", f"{code}_a": f"{code} name {n}", f"{code}_c": "not read"}
        rows.append(row | {"xx_q": "a language that is not known here"})
    if change:
        change(rows)
    write(folder / "eclektic_main.jsonl", rows)
    return folder


def multiloko(folder, change=None):
    """Ten questions made in each language; translations in another order."""
    for origin in CODES:
        for language in CODES:
            if origin != language and "en" not in (origin, language):
                continue
            name = "dev" if origin == language else f"dev_translated_human_{FOLDERS[language]}"
            rows = [
                {"id": f"{n}_page.txt", "text": "not read", "question": f"{language} what of {origin} {n}?",
                 "targets": [f"{language} {n}", " ", f"{n}, {language}."], "target": "not read", "output_type": "name"}
                for n in range(10)
            ]  # fmt: skip
            rows = rows if origin == language else rows[::-1]
            if change:
                change(f"{FOLDERS[origin]}/{name}", rows)
            write(folder / FOLDERS[origin] / f"{name}.jsonl", rows)
    return folder


def keys(benchmark, data, out, model, *more):
    return ["--benchmark", benchmark, "--model", model, "--data", data, "--out", out, "--device", "cpu", *more]


def test_prompts_to_the_character(tmp_path):
    found = local.read_multiloko(multiloko(tmp_path / "m"), None)
    assert list(found) == ["en", "de", "zh", "de-en", "en-de", "zh-en", "en-zh"]
    asked = local.with_prompts(found, 2, 3, 42)
    assert {len(rows) for rows in asked.values()} == {3}
    first, second = (number.split("_")[0] for number in shown_of(found, asked, 10))
    three = [row.id for row in asked["de"]]
    assert three == [row.id for row in asked["de-en"]] == [row.id for row in asked["en-zh"]]
    number = three[0].split("_")[0]
    assert asked["de-en"][0].prompt == (
        f"Question: en what of de {first}? (name)\nAnswer: en {first}\n\n"
        f"Question: en what of de {second}? (name)\nAnswer: en {second}\n\n"
        f"Question: en what of de {number}? (name)\nAnswer:"
    )
    assert asked["en-de"][0].prompt.endswith(f"\n\nFrage: de what of en {number}? (name)\nAntwort:")
    assert asked["de"][0].answers == (f"de {number}", f"{number}, de.")
    assert local.with_prompts(found, 0, None, 42)["zh"][9].prompt == "问题： zh what of zh 9? (name)\n答案："

    crossed = local.read_eclektic(eclektic(tmp_path / "e"), None)
    assert list(crossed) == list(CODES) and [row.origin for row in crossed["de"]] == [CODES[n % 3] for n in range(10)]
    assert local.with_prompts(crossed, 0, None, 42)["de"][4].prompt == "Frage: de who 4?\nAntwort:"
    two = local.read_eclektic(str(tmp_path / "e" / "eclektic_main.jsonl"), "de,en")
    assert [row.id for row in two["en"]] == [str(n) for n in range(10) if n % 3 < 2]
    assert [row.id for row in two["de"]] == [row.id for row in two["en"]] and list(two) == ["de", "en"]


def test_a_question_without_an_answer_in_some_language_is_not_shown(tmp_path):
    def empty(rows):
        for row in rows[2:]:
            row["de_a"] = ""

    found = local.read_eclektic(eclektic(tmp_path, empty), None)
    asked = local.with_prompts(found, 2, None, 1)
    assert {row.id for row in asked["en"]} == {str(n) for n in range(2, 10)}, "the first two alone can be shown"
    with pytest.raises(InputError, match="num_fewshot is 3 and 2 questions have an answer everywhere"):
        local.with_prompts(found, 3, None, 1)


def shown_of(found, asked, count):
    """Ids of the solved questions in the order in which they are shown."""
    prompt = asked["de"][0].prompt
    ids = [row.id for row in found["de"] if row.question in prompt and row.id != asked["de"][0].id]
    assert not set(ids) & {row.id for row in asked["de"]} and len(ids) == 2
    return sorted(ids, key=lambda one: prompt.index(f"de {one.split('_')[0]}?"))


@pytest.mark.parametrize(
    ("said", "language", "answers", "exact", "words"),
    [
        ("The Seine.", "en", ["the seine", "Po"], 1, 1),
        ("Po", "en", ["the Seine", "a Po"], 1, 0),
        ("der Rhein", "de", ["Rhein"], 0, 1),
        ("An Môn", "de", ["Môn"], 0, 1),  # "an" is an article in English alone
        ("it is 12 May 1990, I think", "en", ["May 12, 1991"], 0, 2 / 3),
        ("in 1907 it had 17", "en", ["7"], 0, 0),
        ("1990年", "ja", ["1990年"], 1, 1),
        ("「北海」", "zh", ["北京"], 0, 1 / 2),
        ("北京。", "zh", ["北京"], 1, 1),
        ("", "en", ["the"], 0, 0),
        ("", "en", [], 0, 0),
    ],
)
def test_answers_are_compared_without_case_and_punctuation(said, language, answers, exact, words):
    row = local.Asked("1", language, language, "?", tuple(answers))
    assert scores.exact_match(said, row) == exact and scores.found_words(said, row) == pytest.approx(words)


def table_of(score, origin=None):
    return pd.DataFrame({"origin": origin if origin is not None else "", "score": [str(float(one)) for one in score]})


def test_transfer_is_that_of_a_loop_and_of_the_metric():
    rng = np.random.default_rng(0)
    codes, n = ["en", "de", "fr", "it"], 400
    origin = rng.choice(codes[:3], n)  # nothing was made in Italian
    right = {code: rng.random(n) < np.where(origin == code, 0.7, 0.3) for code in codes}
    table = table_with(scores.score_eclektic({code: table_of(right[code], origin) for code in codes}, 42))
    pairs = [(q, code) for q in range(n) for code in codes if code != origin[q]]
    source, target = ([right[origin[q]][q] for q, _ in pairs], [right[code][q] for q, code in pairs])
    theirs = transfer(source, target)
    assert table.loc[("all", "overall"), "value"] == pytest.approx(theirs.both)
    assert table.loc[("all", "transfer"), "value"] == pytest.approx(theirs.given_source)
    for code in codes:
        own = [place for place, (_, asked) in enumerate(pairs) if asked == code]
        theirs = transfer([source[place] for place in own], [target[place] for place in own])
        row = table.loc[(code, "transfer")]
        assert row["value"] == pytest.approx(theirs.given_source) and row["n"] == len(own)
        assert row["ci_low"] < 0.3 < row["ci_high"] and 0.05 < row["ci_high"] - row["ci_low"] < 0.2
        assert table.loc[(code, "overall"), "value"] == pytest.approx(theirs.both)
    known = table.loc[("all", "source")]
    expected = paired_bootstrap([right[own][q] for q, own in enumerate(origin)], np.zeros(n), seed=1)
    assert tuple(known[["value", "ci_low", "ci_high"]]) == pytest.approx(expected, abs=0.01)


def table_with(rows):
    names = ["language", "measure", "n", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names).set_index(["language", "measure"])


def test_shares_count_and_nothing_known_has_no_transfer():
    tables = {"en": table_of([1, 0.5, 0], ["en"] * 3), "de": table_of([0.5, 1, 1], ["en"] * 3)}
    table = table_with(scores.score_eclektic(tables, 42))
    assert table.loc[("de", "overall"), "value"] == pytest.approx(1 / 3)
    assert table.loc[("de", "transfer"), "value"] == pytest.approx(1 / 1.5) and ("en", "overall") not in table.index
    none = table_with(scores.score_eclektic(tables | {"en": table_of([0, 0, 0], ["en"] * 3)}, 42))
    assert np.isnan(none.loc[("all", "transfer"), "value"]) and none.loc[("all", "overall"), "value"] == 0
    assert "0.0% [0.0, 0.0] there and in another language, no share of what is known there." in script.sentence(
        none.reset_index()
    )


def simulated(own, english, foreign, n=250, codes=("en", "de", "fr"), seed=0):
    """Answers that are right so often, in a language's own questions, in English, and in English ones translated."""
    rng = np.random.default_rng(seed)
    tables = {}
    for code in codes:
        hard = rng.random(n)  # of a question, in both languages
        tables[code] = table_of(hard < own)
        if code != "en":
            tables[f"{code}-en"] = table_of(hard < english)
            tables[f"en-{code}"] = table_of(rng.random(n) < foreign)
    return tables


@pytest.mark.parametrize(("own", "english", "said"), [(0.4, 0.3, "their own language"), (0.2, 0.3, "in English")])
def test_effects_that_were_simulated_are_found(own, english, said):
    tables = simulated(own, english, 0.35)
    table = table_with(scores.score_multiloko(tables, 42))
    right = {column: table["score"].astype(float) for column, table in tables.items()}
    for code in ("de", "fr"):
        row = table.loc[(code, "mother_tongue")]
        expected = paired_bootstrap(right[code], right[f"{code}-en"], seed=1)
        assert tuple(row[["value", "ci_low", "ci_high"]]) == pytest.approx(expected, abs=0.01)
        accuracy = table.loc[(code, "accuracy")]
        assert tuple(accuracy[["ci_low", "ci_high"]]) == pytest.approx(wilson(int(right[code].sum()), 250))
        assert table.loc[(code, "in_english"), "value"] == right[f"{code}-en"].mean()
        locality = table.loc[(code, "locality")]
        assert locality["value"] == pytest.approx(right[code].mean() - right[f"en-{code}"].mean())
        assert locality["ci_low"] < own - 0.35 < locality["ci_high"]
    everywhere = table.loc["all"]
    assert everywhere.loc["accuracy", "n"] == 750 and everywhere.loc["mother_tongue", "n"] == 500
    assert everywhere.loc["accuracy", "value"] == pytest.approx(
        np.mean([right[code].mean() for code in ("en", "de", "fr")])
    )
    effect = everywhere.loc["mother_tongue"]
    assert effect["ci_low"] < own - english < effect["ci_high"] and ("en", "locality") not in table.index
    found = script.sentence(table.reset_index())
    assert (
        f"{100 * effect['value']:+.1f} points [" in found and f"(more are known in {said.removeprefix('in ')}" in found
    )


def test_intervals_of_locality_cover_and_english_questions_are_drawn_once():
    """The same answers in every language: the interval is no narrower than that of one language's English questions."""
    covered = []
    for seed in range(40):
        row = table_with(scores.score_multiloko(simulated(0.4, 0.4, 0.3, n=100, seed=seed), 42)).loc[("de", "locality")]
        covered.append(row["ci_low"] <= 0.1 <= row["ci_high"])
    assert 33 <= sum(covered) <= 40
    tables = simulated(0.4, 0.4, 0.3, codes=("de", "fr", "it", "es"))
    same = {column: tables["en-de"] if column.startswith("en-") else one for column, one in tables.items()}
    width = {}
    for name, one in (("apart", tables), ("same", same)):
        row = table_with(scores.score_multiloko(one, 42)).loc[("all", "locality")]
        width[name] = row["ci_high"] - row["ci_low"]
    assert width["same"] > 1.3 * width["apart"]


@pytest.mark.parametrize(("benchmark", "make"), [("eclektic", eclektic), ("multiloko", multiloko)])
def test_runs_resume_and_are_recounted(benchmark, make, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    data, out = make(tmp_path / "data"), tmp_path / "out"
    more = ["--num_fewshot", "2", "--max_new_tokens", "6"]
    assert call(script, keys(benchmark, data, out, tiny_checkpoint, *more), monkeypatch) == 0
    said = capsys.readouterr().out
    asked = local.with_prompts(local.READERS[benchmark](data, None), 2, None, 42)
    for column, rows in asked.items():
        table = pd.read_csv(out / benchmark / f"{column}.csv", keep_default_na=False, dtype=str)
        assert list(table["id"]) == [row.id for row in rows] and len(table) == 8
        for row, line in zip(rows, table.itertuples(), strict=True):
            score = scores.SCORES[benchmark][0](line.said.removeprefix("'"), row)
            assert float(line.score) == pytest.approx(score) and line.origin == row.origin
    assert (out / benchmark / "scores.png").exists() and said.startswith("Of ")
    before = (out / benchmark / "scores.csv").read_bytes()
    monkeypatch.setattr(script, "answer_rows", lambda *_: 1 / 0)  # nothing is left to compute
    assert call(script, keys(benchmark, data, out, tiny_checkpoint, *more), monkeypatch) == 0
    assert capsys.readouterr().out == said and (out / benchmark / "scores.csv").read_bytes() == before
    assert call(script, keys(benchmark, data, out, tiny_checkpoint, *more, "--seed", "1"), monkeypatch) == 2
    assert "answers of another configuration or data" in capsys.readouterr().err


def right_at_home(rows, *_):
    """Every question right in the language that it was made in, and nothing elsewhere."""
    table = pd.DataFrame(
        [{"id": row.id, "origin": row.origin, "answer": "", "said": "", "finished": 1} for row in rows]
    )
    return table.assign(score=[float(row.origin == row.language) for row in rows])


def test_what_is_known_at_home_alone_is_not_transferred(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "answer_rows", right_at_home)
    for benchmark, make in (("eclektic", eclektic), ("multiloko", multiloko)):
        data = make(tmp_path / benchmark)
        assert call(script, keys(benchmark, data, tmp_path / "out", tiny_checkpoint), monkeypatch) == 0
        table = pd.read_csv(tmp_path / "out" / benchmark / "scores.csv").set_index(["language", "measure"])["value"]
        if benchmark == "eclektic":
            assert table["all", "source"] == 1 and table["all", "transfer"] == table["de", "overall"] == 0
        else:
            assert table["all", "accuracy"] == table["all", "mother_tongue"] == table["zh", "locality"] == 1
    assert "mother tongue effect +100.0 points [+100.0, +100.0] (more are known in their own" in capsys.readouterr().out


def gone(name, rows):
    if name == "german/dev_translated_human_english":
        del rows[0]


def extra(name, rows):
    if name == "german/dev":
        del rows[0]


def twice(name, rows):
    if name == "english/dev":
        rows[1]["id"] = rows[0]["id"]


def no_list(name, rows):
    if name == "german/dev":
        rows[2]["targets"] = "one"


def blank(rows):
    rows[3]["de_q"] = " \n"


def missing(rows):
    del rows[2]["zh_a"]


def same(rows):
    rows[5]["q_id"] = 0


@pytest.mark.parametrize(
    ("benchmark", "change", "more", "said"),
    [
        ("multiloko", gone, [], "dev_translated_human_english.jsonl: no question with id '9_page.txt'"),
        ("multiloko", extra, [], "from 9 to 10 questions; give each as many"),
        ("multiloko", twice, [], "dev.jsonl: id '0_page.txt' is given twice"),
        ("multiloko", no_list, [], "dev.jsonl, row 3: targets is 'one'; it must be a list"),
        ("multiloko", None, ["--languages", "en,fr"], "french/dev.jsonl: no such file; data is a folder"),
        ("multiloko", None, ["--languages", "en"], "name a language besides English"),
        ("multiloko", None, ["--data", "EMPTY"], "name a language besides English"),
        ("multiloko", None, ["--data", "no/such"], "no/such: neither a file or folder nor a data set"),
        ("multiloko", None, ["--num_fewshot", "10"], "num_fewshot is 10 and there are 10 questions; show fewer"),
        ("multiloko", None, ["--num_fewshot", "-1"], "num_fewshot is -1"),
        ("multiloko", None, ["--limit", "0"], "limit is 0"),
        ("eclektic", blank, [], "eclektic_main.jsonl, row 4: the question is empty in German"),
        ("eclektic", missing, [], "row 3: a record with zh_q, zh_a is needed; missing: zh_a"),
        ("eclektic", same, [], "eclektic_main.jsonl: id '0' is given twice"),
        ("eclektic", list.clear, [], "a record with q_id, original_lang is needed"),
        ("eclektic", None, ["--data", "EMPTY"], "eclektic_main.jsonl: no such file"),
        ("eclektic", None, ["--languages", "de"], "languages de: name two or more"),
        ("eclektic", None, ["--languages", "de,fr"], "row 2: a record with fr_q, fr_a is needed"),
        ("eclektic", None, ["--languages", "de,xx"], "unknown language 'xx'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, benchmark, change, more, said):
    (tmp_path / "EMPTY").mkdir()
    data = {"eclektic": eclektic, "multiloko": multiloko}[benchmark](tmp_path / "data", change)
    more = [tmp_path / word if word.isupper() else word for word in more]
    assert call(script, keys(benchmark, data, tmp_path / "out", "none", *more), monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()


def test_the_bash_script_asks_what_data_yaml_has(root, tiny_checkpoint, tmp_path):
    """One plan a benchmark, with PLAN=1; a sentence where there is none."""
    eclektic(tmp_path / "e"), multiloko(tmp_path / "m")
    data = tmp_path / "data.yaml"

    def planned(text, *words):
        data.write_text(text)
        variables = {"PLAN": "1", "PYTHON": PYTHON, "DATA_CONFIG": str(data), "RESULTS": str(tmp_path / "out")}
        command = ["bash", root / "Recall/scripts/closed_book.sh", tiny_checkpoint, "--num_fewshot", "1", *words]
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
        lines = [line.removeprefix("plan: ") for line in done.stdout.splitlines()]
        return done, [json.loads(line)["items"] for line in lines]

    assert planned("eclektic: e\nmultiloko: m\n", "--languages", "de,en", "--limit", "2")[1] == [2 * 2, 4 * 2]
    nothing, _ = planned("quiz: null\n")
    assert nothing.returncode == 2 and "eclektic and multiloko are null in" in nothing.stderr
    unnamed, _ = planned("multiloko: m\n", "--data", str(tmp_path / "m"))
    assert unnamed.returncode == 2 and "name its benchmark too" in unnamed.stderr
    lacking, _ = planned("multiloko: m\n", "--benchmark", "eclektic")
    assert lacking.returncode == 2 and "eclektic is null in" in lacking.stderr
