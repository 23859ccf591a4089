"""Questions after the facts they need: reading, crossing, the prompt to the character; gaps against plain loops."""

import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.cli import InputError
from common.evaluation.records import record_rows, write_setting
from common.questions import monolingual, write_questions
from tests.mmlu import rewrite
from tests.scripts import call, load_script
from world import build as world_build
from world import grammar
from world.config import WorldConfig
from world.facts import make_universe
from world.items import subjects
from world.lexicon import load_lexicon

knowledge = load_script("MMLU/knowledge_free.py")
builder = load_script("MMLU/build_variants.py")
evaluate = load_script("MMLU/evaluate_mmlu.py")
tabulate = load_script("MMLU/tabulate_facts.py")
claims = load_script("report/check_claims.py")
OPTIONS = "A. {0} sand\nB. {0} fog\nC. {0} sea"
QASC = {"no": "{0} what?", "one": "{0} fact 1.\n{0} what?", "two": "{0} fact 1.\n{0} fact 2.\n{0} what?"}
STRATEGY = {"no": "", "one": "Facts: {0} one\n", "two": "Facts: {0} one {0} two\n"}


@pytest.fixture
def data(tmp_path):
    """Two tasks of two questions in English and German, in the layout of the repository."""
    for number in knowledge.NUMBERS:
        for code in ("en", "de"):
            asked = [{"instruction": "", "input": f"{QASC[number]}\n\n{OPTIONS}".format(code), "output": "C"}] * 2
            yes = [{"input": f"{STRATEGY[number]}Question: {{0}} so?".format(code), "output": a} for a in ("Yes", "No")]
            for task, rows in (("qasc", asked), ("strategyqa", yes)):
                path = tmp_path / "data" / task / f"{number}_fact" / f"{task}-dev_{code}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "data"


def questions(data, facts, crossed=None, language="de"):
    tables = knowledge.read_knowledge_free(str(data), facts, crossed, ["en", "de"])["test"][language].rows
    return {task: [row.item for row in rows] for task, rows in tables.items()}


def test_facts_are_the_passage(data):
    read = questions(data, 2)
    first, yes = read["qasc"][0], read["strategyqa"][0]
    assert (first.id, first.context, first.question) == ("qasc-0001", "de fact 1.\nde fact 2.", "de what?")
    assert first.options == ("de sand", "de fog", "de sea") and first.answer == "C"
    assert (yes.context, yes.question, yes.options, yes.answer) == ("de one de two", "de so?", ("Yes", "No"), "A")
    assert yes.question_language == "de" and yes.option_languages == ("en", "en")
    assert read["strategyqa"][1].answer == "B" and questions(data, 0)["qasc"][0].context == ""


@pytest.mark.parametrize(
    ("crossed", "facts", "question"), [("facts", "de", "en"), ("question", "en", "de"), (None, "de", "de")]
)
def test_one_part_is_in_the_other_language(data, crossed, facts, question):
    item = questions(data, 2, crossed)["qasc"][0]
    assert item.context == f"{facts} fact 1.\n{facts} fact 2." and item.context_language == facts
    assert item.question == f"{question} what?" and item.options[0] == f"{question} sand"
    assert item.question_language == question and set(item.option_languages) == {question}
    assert questions(data, 2, crossed, "en")["qasc"] == questions(data, 2, None, "en")["qasc"]


def test_the_prompt_to_the_character(tmp_path):
    item = monolingual("1", "qasc", "Fog is wet.\nWet is cold.", "What is cold?", ["sand", "fog"], "B", "en")
    head = "The following are multiple choice questions (with answers) about  qasc.\n\n"
    without = replace(item, id="2", context="")
    asked = "What is cold?\nA. sand\nB. fog\nAnswer:"
    for folder, items in ((tmp_path, [item, without]), (tmp_path / "dev", [item])):
        folder.mkdir(exist_ok=True)
        write_questions(folder / "en.csv", items)
    keys = {"data": str(tmp_path), "prompt": "facts"}
    setting = evaluate.MmluConfig(**keys).read_setting("en", None)
    assert setting.prompts(setting.questions, "letter") == [
        f"{head}Fog is wet.\nWet is cold.\n{asked}",
        head + asked,
    ]
    assert setting.continuations(setting.questions[0], "letter") == [" A", " B"]
    assert setting.prompts(setting.questions, "text")[0] == f"{head}Fog is wet.\nWet is cold.\nWhat is cold?\nAnswer:"
    assert setting.continuations(setting.questions[0], "text") == [" sand", " fog"]
    shown = evaluate.MmluConfig(**keys, num_fewshot=1).read_setting("en", None)
    assert shown.prompts(shown.questions, "letter")[0].count(f"Fog is wet.\nWet is cold.\n{asked}") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON in UTF-8"),
        ("[]", "not a list of questions"),
        ('[{"input": "x"}]', "row 1: a record with input, output is needed; missing: output"),
        ('[{"input": "x", "output": "Yes"}]', "row 1: `Question: ...`"),
        ('[{"input": "Question: x", "output": "Maybe"}]', "row 1: `Question: ...`"),
        ('[{"input": "what?\\n\\nA. a\\nB. b", "output": "A"}]', "row 1: 0 lines of facts where 1 facts are needed"),
        ('[{"input": "f\\nwhat?\\n\\nA. a\\nb", "output": "A"}]', "row 1: the options must be lines that begin"),
        ('[{"input": "f\\nwhat?\\n\\nA. a\\nB. b", "output": "C"}]', "row 1: the answer is 'C'"),
    ],
)
def test_malformed_files_are_named(data, content, said):
    path = data / "qasc/one_fact/qasc-dev_de.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        questions(data, 1)
    assert said in str(error.value) and str(path) in str(error.value)


def test_builder(data, tmp_path, monkeypatch, capsys):
    keys = ["--data", data, "--languages", "en,de", "--out", tmp_path / "v"]
    for more, said in (
        (["--source", "knowledge_free"], "facts is missing"),
        (["--source", "knowledge_free", "--facts", "0", "--crossed", "facts"], "give facts as 1 or 2"),
        (["--source", "csv", "--facts", "1"], "--facts goes with --source knowledge_free only"),
        (["--source", "knowledge_free", "--facts", "1", "--languages", "en,fr"], "0 files *_fr.json"),
        (["--source", "knowledge_free", "--facts", "1", "--data", tmp_path], "no folder <task>/one_fact"),
    ):
        assert call(builder, [*keys, *more], monkeypatch) == 2
        assert said in capsys.readouterr().err
    assert call(builder, [*keys, "--source", "knowledge_free", "--facts", "1"], monkeypatch) == 0
    written = pd.read_csv(tmp_path / "v" / "full_de.csv", keep_default_na=False)
    assert list(written["subject"]) == ["qasc"] * 2 + ["strategyqa"] * 2 and set(written["context_language"]) == {"de"}


def test_the_world_states_the_fact_asked_for(tmp_path):
    config = WorldConfig(english_only_persons=6, shared_persons=5, seed=3)
    universe = make_universe(config)
    world_build.write_knowledge_free(tmp_path, universe, config)
    languages, lexicon = ["en", "de", "nl"], load_lexicon()
    none, one, two = (
        knowledge.read_knowledge_free(str(tmp_path), facts, None, languages)["test"] for facts in range(3)
    )
    for subject, (group, relation) in subjects().items():
        facts = [fact for fact in universe.facts[group] if fact.relation == relation]
        for code in languages:
            for fact, *rows in zip(facts, *(table[code].rows[subject] for table in (none, one, two)), strict=True):
                plain, given, both = (row.item for row in rows)
                assert plain.context == "" and plain.question == given.question == both.question
                assert fact.name in given.context and grammar.acceptable(fact.value, code) & words(given.context)
                assert len(both.context.split("\n")) == 2 and both.context.count(fact.name) == 2
                right = plain.options[plain.letters.index(plain.answer)]
                assert right.lower() in grammar.acceptable(fact.value, code) and lexicon[fact.value]


def words(text: str) -> set[str]:
    """Words and pairs of words of a sentence, in lower case."""
    found = text.lower().replace("'", " ").rstrip(".").split()
    return {*found, *(" ".join(pair) for pair in zip(found, found[1:], strict=False))}


RIGHT = {"facts_0": (0.9, 0.4), "facts_1": (0.9, 0.7), "facts_2": (0.9, 0.9), "english_facts": (0.9, 0.6)}


@pytest.fixture
def runs(tmp_path):
    """Runs of 120 questions in three languages, right with the probabilities of RIGHT in English and elsewhere."""
    rng = np.random.default_rng(0)
    for name, right in RIGHT.items():
        written = {}
        for setting, share in (("en", right[0]), ("full_de", right[1]), ("full_fr", right[1] - 0.1)):
            code = setting[-2:]
            items = [monolingual(f"q{n}", ("qasc", "strategyqa")[n % 2], "", "x", "ab", "A", code) for n in range(120)]
            scores = np.where(rng.random((120, 1)) < share, [[-0.1, -2.0]], [[-2.0, -0.1]])
            table = record_rows(items, setting, scores).astype(str)
            written[setting] = write_setting(tmp_path / name, table, list(table["id"]))
        config = {"model": "m", "num_fewshot": 0, "answer_format": "letter"}
        rewrite(tmp_path / name, config=config, hash=name, model={"name": "m"}, records=written)
    return {name: tmp_path / name for name in RIGHT}


def named(runs) -> str:
    return ",".join(f"{name}={folder}" for name, folder in runs.items())


def test_gaps_are_those_of_plain_loops(runs, tmp_path, monkeypatch, capsys):
    assert call(tabulate, ["--runs", named(runs), "--out", tmp_path / "out" / "table"], monkeypatch) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "table.csv").set_index(["category", "language", "given"])
    right = {
        (name, code): {
            row["id"]: (row["subject"], row["correct"])
            for row in pd.read_csv(folder / f"{'en' if code == 'en' else f'full_{code}'}.csv").to_dict("records")
        }
        for name, folder in runs.items()
        for code in ("en", "de", "fr")
    }
    for category in ("all", "qasc", "strategyqa"):
        for language in ("de", "fr", "mean"):
            gaps = {}
            for name in runs:
                codes = ("de", "fr") if language == "mean" else (language,)
                for id, (subject, english) in right[name, "en"].items():
                    if category in ("all", subject):
                        own = sum(english - right[name, code][id][1] for code in codes) / len(codes)
                        gaps.setdefault(name, {})[id] = own
                row = table.loc[category, language, name]
                assert row["n"] == len(gaps[name]) and row["gap"] == pytest.approx(
                    np.mean(list(gaps[name].values())), abs=1e-5
                )
                assert row["gap"] == pytest.approx(row["english"] - row["accuracy"], abs=1e-5)
                if name != "facts_0":
                    closed = [gaps["facts_0"][id] - gaps[name][id] for id in gaps[name]]
                    low, high = slow_bootstrap(closed)
                    assert row["closed"] == pytest.approx(np.mean(closed), abs=1e-5)
                    assert row["closed_low"] == pytest.approx(low, abs=0.02)
                    assert row["closed_high"] == pytest.approx(high, abs=0.02)
    mean = table.loc["all", "mean"]
    assert (
        f"by {100 * mean.loc['facts_0', 'gap']:.1f} points [" in said
        and f"{100 * mean.loc['facts_2', 'gap']:.1f} points" in said
    )
    assert "the facts close" in said and "n = 120 questions, 2 languages" in said and "with facts in English" in said
    assert (tmp_path / "out" / "table.png").exists()


def slow_bootstrap(values) -> tuple[float, float]:
    rng = random.Random(1)
    means = sorted(np.mean(rng.choices(values, k=len(values))) for _ in range(2000))
    return means[50], means[1949]


def test_the_claim_reads_the_table(runs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert call(tabulate, ["--runs", named(runs), "--out", out / "table"], monkeypatch) == 0
    assert call(claims, ["--results", out, "--out", tmp_path / "claims"], monkeypatch) == 0
    found = pd.read_csv(tmp_path / "claims.csv").set_index("name").loc["knowledge_or_reasoning"]
    table = pd.read_csv(out / "table.csv")
    row = table[(table["category"] == "all") & (table["language"] == "mean") & (table["given"] == "facts_2")].iloc[0]
    assert found["verdict"] == "holds" and found["n"] == 120
    assert found["effect"] == pytest.approx(row["closed"], abs=1e-5)
    assert found["ci_low"] == pytest.approx(row["closed_low"], abs=1e-5)


def test_no_gain_is_not_called_one():
    row = {"category": "all", "language": "mean", "n": 9, "gap": 0.1, "gap_low": 0.0, "gap_high": 0.2}
    rows = [
        row | {"given": "facts_0"},
        row | {"given": "facts_2", "closed": 0.0, "closed_low": -0.1, "closed_high": 0.1},
    ]
    assert "that the facts change it cannot be shown (0.0 points [-10.0, 10.0] closed)" in tabulate.sentence_of(
        pd.DataFrame(rows)
    )
    rows[1] |= {"closed": -0.2, "closed_low": -0.3, "closed_high": -0.1}
    assert "the facts widen it by 20.0 points [10.0, 30.0]" in tabulate.sentence_of(pd.DataFrame(rows))


def test_runs_that_do_not_fit_are_refused(runs, tmp_path, monkeypatch, capsys):
    out = ["--out", tmp_path / "t"]
    for words, said in (
        (f"facts_0={runs['facts_0']}", "facts_0 and a run with facts"),
        (f"facts_9={runs['facts_0']}", "'facts_9' is none of"),
    ):
        assert call(tabulate, ["--runs", words, *out], monkeypatch) == 2
        assert said in capsys.readouterr().err
    path = runs["facts_2"] / "full_fr.csv"
    path.unlink()
    records = load_run(runs["facts_2"])
    rewrite(runs["facts_2"], records={name: entry for name, entry in records.items() if name != "full_fr"})
    assert call(tabulate, ["--runs", named(runs), *out], monkeypatch) == 2
    assert "other questions or languages than" in capsys.readouterr().err


def load_run(folder):
    return json.loads((folder / "run.json").read_text())["records"]


def test_real_data(real_data):
    folder = real_data / "knowledge_free"
    if not folder.is_dir():
        pytest.skip("no knowledge_free/ among the real data")
    for facts in range(3):
        tables = knowledge.read_knowledge_free(str(folder), facts, None, ["en", "zh"])["test"]
        assert {task: len(rows) for task, rows in tables["zh"].rows.items()} == {"qasc": 400, "strategyqa": 229}
