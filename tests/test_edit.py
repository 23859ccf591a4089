"""Facts changed in English: prompts to the character, scores one pass at a time, tables recounted, what is refused."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

from common.cli import InputError, held
from common.lm.loading import load
from tests.scripts import call, load_script
from world import build, grammar
from world.config import WorldConfig
from world.facts import ENGLISH_ONLY, SHARED, make_universe

script = load_script("Recall/edit.py")
edits = load_script("Recall/edits.py")
CITIES = ["London", "Rome", "Paris", "Lisbon", "Vienna", "Prague"]


def entry(number: int, code: str) -> dict:
    """One change in one language; every text has the language and the number in it."""
    texts = {name: f"{code} {name} {number}?" for name in ("src", "rephrase", "loc", "port")}
    old, alt = CITIES[number % 6], CITIES[(number + 1) % 6]
    answers = {
        "old": f"{old} {code}",
        "alt": f"{alt} {code}",
        "loc_ans": f"{old} {code}",
        "port_ans": f"the sea {number}",
    }
    return {"case_id": number, "subject": f"S{number}", **texts, **answers}


def write(folder, codes=("de", "fr"), count=6, change=None):
    folder.mkdir(exist_ok=True)
    for code in codes:
        rows = [{language: entry(number, language) for language in ("en", code)} for number in range(count)]
        if change:
            change(code, rows)
        (folder / f"counterfact_test_{code}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def keys(data, out, model, *more):
    return ["--model", model, "--data", data, "--out", out, "--device", "cpu", "--demonstrations", "[0,2]", *more]


def test_prompts_to_the_character(tmp_path):
    found = edits.read_edits(write(tmp_path / "data"), None)
    asked = {q.id: q for q in edits.questions(found, "de", ([4, 1], [0, 2]), [0, 2], edits.WORDINGS["bmike"])}
    assert len(asked) == 2 * 2 * 2 * 4
    plain = asked["0-portability-0-1"]
    assert plain.prompt == 'New Fact: "en src 0? Rome en"\nQuestion: "de port 0?" Answer: "'
    assert (plain.right, plain.other) == ("the sea 0", "London de")
    assert asked["0-locality-0-0"].prompt == 'Question: "de loc 0?" Answer: "'
    assert (asked["0-locality-0-0"].right, asked["0-locality-0-0"].other) == ("London de", "Rome de")
    shown = (
        'New Fact: "en src 4? Prague en"\nQuestion: "de src 4?" Answer: "Prague de"\n\n'
        'New Fact: "en src 1? Paris en"\nQuestion: "de rephrase 1?" Answer: "Paris de"\n\n'
    )
    assert (
        asked["2-reliability-2-1"].prompt == shown + 'New Fact: "en src 2? Lisbon en"\nQuestion: "de src 2?" Answer: "'
    )
    before = 'Question: "de src 4?" Answer: "Vienna de"\n\nQuestion: "de rephrase 1?" Answer: "Rome de"\n\n'
    assert asked["2-generality-2-0"].prompt == before + 'Question: "de rephrase 2?" Answer: "'
    four = edits.questions(found, "de", ([1, 2, 3, 4], [0]), [4], edits.WORDINGS["plain"])
    prompts = {(q.kind, q.edited): q.prompt for q in four}
    assert prompts["reliability", 1].endswith(
        "de port 4?\nAnswer: the sea 4\n\nen src 0?\nAnswer: Rome en\n\nde src 0?\nAnswer:"
    )
    assert prompts["reliability", 0].endswith(
        "de loc 3?\nAnswer: Lisbon de\n\nde src 4?\nAnswer: Vienna de\n\nde src 0?\nAnswer:"
    )


def slow(model, tokenizer, prompt, right, other, count):
    """Log-probability per byte of both answers, and the greedy answer, a forward pass a token."""
    scores = []
    for answer in (right, other):
        before, ids = tokenizer(prompt).input_ids, tokenizer(prompt + answer).input_ids
        start = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total = sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids)))
        scores.append(total / len(answer.encode()))
    ids, new = tokenizer(prompt).input_ids, []
    while len(new) < count:
        with torch.no_grad():
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
        if new[-1] in tokenizer.all_special_ids or "\n" in tokenizer.decode(new):
            break
    text = tokenizer.decode(new, skip_special_tokens=True).split("\n")[0].split('"')[0]
    return scores, " ".join(text.split())


def test_answers_equal_one_pass_each_and_the_tables_are_recounted(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    data, out = write(tmp_path / "data"), tmp_path / "out"
    more = ["--max_new_tokens", "6"]
    assert call(script, keys(data, out, tiny_checkpoint, *more), monkeypatch) == 0
    said = capsys.readouterr().out
    model, tokenizer = load(str(tiny_checkpoint), device="cpu")
    found = edits.read_edits(data, None)
    rows = edits.split(6, 2, None, 42)
    tables = []
    for code in ("en", "de", "fr"):
        table = pd.read_csv(out / f"{code}.csv", keep_default_na=False)
        asked = list(edits.questions(found, code, rows, [0, 2], edits.WORDINGS["bmike"]))
        assert list(table["id"]) == [q.id for q in asked] and len(asked) == 4 * 4 * 2 * 2
        for row, question in list(zip(table.itertuples(), asked, strict=True))[::5]:
            (right, other), text = slow(model, tokenizer, question.prompt, question.right, question.other, 6)
            assert (row.logprob_right, row.logprob_other) == pytest.approx((right, other), abs=1e-4)
            assert row.outranks == int(row.logprob_right > row.logprob_other)
            assert row.said.strip("'") == text.strip("'") and row.exact == int(text == question.right)
        tables.append(table.assign(language=code))
    answers = pd.concat(tables)
    summary = pd.read_csv(out / "summary.csv")
    assert len(summary) == 3 * 2 * 4 * 2 and set(summary["n"]) == {4}
    for row in summary.itertuples():
        own = answers[(answers["demonstrations"] == row.demonstrations) & (answers["kind"] == row.kind)].set_index(
            ["language", "edited"]
        )[row.measure]
        edited, before = own[row.language, 1].mean(), own[row.language, 0].mean()
        assert (row.edited, row.unedited, row.change) == pytest.approx((edited, before, edited - before), abs=1e-5)
        assert row.edited_low <= row.edited <= row.edited_high
        if row.language != "en":
            assert row.vs_en == pytest.approx(edited - own["en", 1].mean(), abs=1e-5)
    abroad = answers[
        (answers["language"] != "en") & (answers["kind"] == "reliability") & (answers["demonstrations"] == 2)
    ]
    share = 100 * abroad[abroad["edited"] == 1]["outranks"].mean()
    known = 100 * (1 - abroad[abroad["edited"] == 0]["outranks"].mean())
    assert f"with 2 demonstrations the new answer outranks the old one in {share:.1f} [" in said
    assert f"the old one outranks the new one in {known:.1f} [" in said
    tested = {int(found["en"][row].case_id) for row in rows[1]}
    assert (out / "edits.png").exists() and set(pd.read_csv(out / "answers.csv")["edit"]) == tested

    monkeypatch.setattr(script, "answer_rows", lambda *_: 1 / 0)  # nothing is left to compute
    assert call(script, keys(data, out, tiny_checkpoint, *more), monkeypatch) == 0
    assert capsys.readouterr().out == said
    assert call(script, keys(data, out, tiny_checkpoint, *more, "--seed", "1"), monkeypatch) == 2
    assert "answers of another configuration or data" in capsys.readouterr().err


def test_a_change_that_is_asked_is_never_shown(tmp_path):
    found = edits.read_edits(write(tmp_path / "data", count=40), None)
    shown, tested = edits.split(40, 8, 20, 42)
    assert len(shown) == 8 and len(tested) == 20 and not set(shown) & set(tested)
    assert edits.split(40, 8, None, 42)[0] == shown != edits.split(40, 8, None, 43)[0]
    for question in edits.questions(found, "de", (shown, tested), [8], edits.WORDINGS["bmike"]):
        before = question.prompt.rsplit("\n\n", 1)[0]
        assert not any(
            f"src {question.edit}?" in part or f"loc {question.edit}?" in part for part in before.split("\n")
        )
        assert question.prompt.count("Question:") == 9 and question.prompt.count("New Fact") == 9 * question.edited
    with pytest.raises(InputError, match="8 changes and 8 demonstrations leave none to test"):
        edits.split(8, 8, None, 42)


def table_of(crossed: float, known: float, changes: int = 200) -> pd.DataFrame:
    """Answers of a model that takes up every change in English, and in German this share of those that it knows."""
    rows = []
    for number in range(changes):
        for code, edited, right in (
            ("en", 1, 1), ("en", 0, 0), ("de", 1, number < crossed * changes), ("de", 0, number >= known * changes),
        ):  # fmt: skip
            numbers = {"edited": edited, "outranks": int(right), "exact": int(right)}
            rows.append({"language": code, "edit": str(number), "kind": "reliability", "demonstrations": 0, **numbers})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("crossed", "known", "said"), [(0.3, 0.9, "above chance"), (0.8, 0.52, "not above chance")])
def test_what_crosses_over_is_recovered(crossed, known, said):
    table = table_of(crossed, known)
    summary = script.summarize(table, 42).set_index(["language", "measure"])
    german = summary.loc["de", "outranks"]
    assert (german["edited"], german["unedited"], german["vs_en"]) == pytest.approx((crossed, 1 - known, crossed - 1))
    assert german["vs_en_low"] < crossed - 1 < german["vs_en_high"] < 0
    assert summary.loc["en", "exact"]["change"] == 1 and np.isnan(summary.loc["en", "exact"]["vs_en"])
    found = script.sentence(table, 42)
    assert f"in {100 * crossed:.1f} [" in found and f"in {100 * known:.1f} [" in found and f"({said})" in found
    assert f"{100 * crossed - 100:+.1f} [" in found and found.startswith("Of 200 facts")


def test_changes_that_cannot_be_ranked_and_portability_that_is_not_there(
    tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    def change(code, rows):
        for row in rows:
            for own in row.values():
                own["port"] = own["port_ans"] = None
        if code == "fr":
            rows[3]["fr"]["alt"] = "VIENNA fr"
            rows[3]["fr"]["old"] = rows[3]["fr"]["loc_ans"] = "Vienna fr"

    data, out = write(tmp_path / "data", change=change), tmp_path / "out"
    assert call(script, keys(data, out, tiny_checkpoint, "--max_new_tokens", "0"), monkeypatch) == 0
    assert "1 changes are left out" in capsys.readouterr().out
    answers = pd.read_csv(out / "answers.csv")
    assert 3 not in set(answers["edit"]) and answers["edit"].nunique() == 3 and "exact" not in answers
    assert set(answers["kind"]) == {"reliability", "generality", "locality"}


def test_the_plan_counts_questions(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "PLAN", "1")
    data = write(tmp_path / "data")
    assert (
        call(script, keys(data, tmp_path / "out", tiny_checkpoint, "--languages", "de", "--limit", "3"), monkeypatch)
        == 0
    )
    plan = json.loads(capsys.readouterr().out.removeprefix("plan: "))
    assert plan["items"] == 2 * 3 * 4 * 2 * 2 and plan["written"] == 15 * plan["items"] and plan["read"] > 0


def drop(code, rows):
    del rows[1]["en"]


def empty(code, rows):
    rows[2][code]["alt"] = "  "


def twice(code, rows):
    for own in rows[1].values():
        own["case_id"] = 0


def other(code, rows):
    if code == "fr":
        rows[0]["en"]["src"] = "another?"


def reordered(code, rows):
    if code == "fr":
        rows[0]["fr"]["case_id"] = 5


def unported(code, rows):
    rows[3][code] |= {"port": None, "port_ans": None}


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (unported, [], "test_de.json, row 4: port is null in de, unlike in row 1 of en"),
        (drop, [], "test_de.json, row 2: has no en"),
        (empty, [], "test_de.json, row 3: alt is empty in de"),
        (twice, [], "a case_id is given twice"),
        (other, [], "test_fr.json: other changes or another order than in"),
        (reordered, [], "test_fr.json: other changes or another order than in"),
        (None, ["--languages", "de,it"], "no file such as counterfact_test_it.json"),
        (None, ["--languages", "en"], "name a language besides English"),
        (None, ["--languages", "xx"], "unknown language 'xx'"),
        (None, ["--demonstrations", "[6]"], "6 changes and 6 demonstrations leave none to test"),
        (None, ["--demonstrations", "[-1]"], "demonstrations is [-1]"),
        (None, ["--max_new_tokens", "-1"], "max_new_tokens is -1"),
        (None, ["--limit", "0"], "limit is 0"),
        (None, ["--data", "BROKEN"], "cannot be read as JSON in UTF-8"),
        (None, ["--data", "LIST"], "not a list of changes"),
        (None, ["--data", "TWO"], "leave the files of one data set in it"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, tiny_checkpoint, monkeypatch, capsys, change, more, said):
    for name, files in {
        "BROKEN": {"a_test_de.json": "[{"}, "LIST": {"a_test_de.json": "{}"},
        "TWO": {"a_test_de.json": "[]", "b_test_de.json": "[]"},
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    data = write(tmp_path / "data", change=change)
    more = [tmp_path / word if word.isupper() else word for word in more]
    assert call(script, keys(data, tmp_path / "out", tiny_checkpoint, *more), monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "out").exists()


def test_the_worlds_changes_are_of_its_facts(tmp_path):
    config = WorldConfig()
    universe = make_universe(config)
    build.write_edits(tmp_path, universe, config)
    held.close()
    found = edits.read_edits(tmp_path, None)
    assert set(found) == {"en", "de", "fr", "es", "it", "pt", "nl"} and len(found["en"]) == 560
    facts = {
        grammar.question(fact.relation, fact.name, "en", None, 0): fact
        for group in (ENGLISH_ONLY, SHARED)
        for fact in universe.facts[group]
    }
    for row, english in enumerate(found["en"]):
        fact, neighbour = facts[english.src], facts[english.loc]
        german = found["de"][row]
        assert fact.relation == neighbour.relation and fact.name != neighbour.name and fact.name in german.rephrase
        assert english.old.lower() in grammar.acceptable(fact.value, "en")
        assert german.old.lower() in grammar.acceptable(fact.value, "de")
        assert german.loc_ans.lower() in grammar.acceptable(neighbour.value, "de") and not english.port
        assert english.alt.lower() not in grammar.acceptable(fact.value, "en") | grammar.acceptable(
            neighbour.value, "en"
        )
        assert any(
            english.alt.lower() in grammar.acceptable(value, "en")
            and german.alt.lower() in grammar.acceptable(value, "de")
            for value in universe.values[fact.relation]
        )
    assert len({edit.src for edit in found["en"]}) == 560


def test_real_bmike53(real_data, tiny_checkpoint, tmp_path, monkeypatch):
    source = real_data / "bmike53"
    if not source.exists():
        pytest.skip("no bmike53/")
    found = edits.read_edits(source, None)
    assert set(found) == {"en", "de", "fr", "es", "it", "ru", "zh"} and len(found["en"]) == 500
    more = ["--languages", "de,zh", "--limit", "2", "--max_new_tokens", "2"]
    assert call(script, keys(source, tmp_path, tiny_checkpoint, *more), monkeypatch) == 0
    assert len(pd.read_csv(tmp_path / "zh.csv")) == 2 * 4 * 2 * 2
