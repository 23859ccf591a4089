"""build_variants.py, run as a user runs it: every source, the same bytes twice, every refusal with file and row."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from common.cli import InputError
from common.questions import FOUR, header_of, monolingual, read_questions, write_questions
from common.reporting.files import LOCK
from common.settings import UNFINISHED, settings_in
from tests.scripts import PYTHON, load_script

evaluate = load_script("MMLU/evaluate_mmlu.py")

ROOT = Path(__file__).parents[1]
OTHERS = ["de", "fr", "es", "it"]
SUBJECTS = ["anatomy", "virology"]
# Options that a careless reader changes: what pandas takes for a missing value, blanks, quotes, numbers, column names.
TRICKY = [
    ("None", "NA", "nan", " two  blanks "),
    ('"quoted", said', "1.50", "007", "line\nbreak"),
    ("A", "B", "C", "D"),
]


def build(*arguments):
    """Run the script without a network."""
    command = [PYTHON, str(ROOT / "MMLU" / "build_variants.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def built(*arguments):
    result = build(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def mmlu_rows(code, subject, count):
    rows = []
    for n in range(count):
        options = TRICKY[n] if n < len(TRICKY) else [f"{letter} {n}" for letter in FOUR]
        options = options if code == "en" else [f"{option} ({code})" for option in options]
        rows.append([f"{subject} question {n}, {code}?", *options, FOUR[n % 4]])
    return rows


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def edit_csv(path, row, column, value):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[row][column] = value
    write_csv(path, rows)


def snapshot(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != LOCK]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def mmlu(tmp_path):
    """data/ and translations/ in the original layouts: two subjects, 5 and 6 test questions, 2 examples each."""
    for code in ["en", *OTHERS]:
        folder = tmp_path / "data" if code == "en" else tmp_path / "translations" / code
        for number, subject in enumerate(SUBJECTS):
            write_csv(folder / "test" / f"{subject}_test.csv", mmlu_rows(code, subject, 5 + number))
            write_csv(folder / "dev" / f"{subject}_dev.csv", mmlu_rows(code, f"dev {subject}", 2))
    return tmp_path


def mmlu_arguments(folder, languages="en,de,fr,es,it", **options):
    options = {"data": folder / "data", "translations": folder / "translations", "out": folder / "out"} | options
    flags = [part for name, value in options.items() if value is not None for part in (f"--{name}", value)]
    return ["--source", "mmlu", "--languages", languages, *flags]


@pytest.fixture
def belebele(tmp_path):
    codes = {"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "es": "spa_Latn", "it": "ita_Latn"}
    for code, config in codes.items():
        records = [
            {
                "link": f"https://example.org/{n // 2}", "question_number": n % 2 + 1,
                "flores_passage": f"passage {n} {code}\u2028next ", "question": f"question {n} {code}",
                "mc_answer1": f" a {code}", "mc_answer2": f"b {code} ", "mc_answer3": f"c {code}", "mc_answer4": "4",
                "correct_answer_num": str(n % 4 + 1), "dialect": config, "ds": "2023-05-03",
            }
            for n in range(6)
        ]  # fmt: skip
        path = tmp_path / "data" / f"{config}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return tmp_path


def test_mmlu_folders_give_thirty_plain_settings_and_reversed_ones_for_test_and_dev(mmlu):
    assert "note" not in built(*mmlu_arguments(mmlu))
    out = mmlu / "out"
    assert len(settings_in(out)) == 54 and settings_in(out / "dev") == settings_in(out)
    assert len([name for name in settings_in(out) if not name.startswith("rev_")]) == 30
    english = read_questions(out / "en.csv")
    assert [item.id for item in english] == [f"anatomy-{n:04d}" for n in range(1, 6)] + [
        f"virology-{n:04d}" for n in range(1, 7)
    ]
    assert [item.options for item in english[:3]] == TRICKY
    assert [item.options for item in read_questions(out / "full_de.csv")][1] == tuple(f"{o} (de)" for o in TRICKY[1])
    examples = read_questions(out / "dev" / "gt_it.csv")
    assert [item.id for item in examples][:2] == ["anatomy-dev-0001", "anatomy-dev-0002"]
    assert examples[0].option_languages == ("it", "en", "en", "en")
    with open(out / "mixup.csv", encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == header_of(4)
    record = json.loads((out / "build.json").read_text())
    assert (record["seed"], record["source"], record["languages"]) == (42, "mmlu", "en,de,fr,es,it")
    assert (record["test"]["questions"], record["dev"]["questions"], record["test"]["dropped"]) == (11, 4, [])


def test_same_seed_same_bytes_and_another_seed_only_changes_what_is_drawn(mmlu):
    for name in ("one", "two"):
        built(*mmlu_arguments(mmlu, out=mmlu / name, seed=7))
    one = snapshot(mmlu / "one")
    assert one == snapshot(mmlu / "two") and len(one) == 2 * 54 + 1
    built(*mmlu_arguments(mmlu, out=mmlu / "two", seed=8))
    changed = {name for name, content in snapshot(mmlu / "two").items() if content != one[name]}
    assert {"build.json", "mixup.csv"} <= changed
    assert all("mixup" in name or "onewrong" in name for name in changed - {"build.json"})


def test_rebuilding_with_fewer_languages_leaves_no_older_setting_behind(mmlu):
    built(*mmlu_arguments(mmlu))
    (mmlu / "out" / "notes.csv").write_text("mine")
    assert "mixup needs five languages" in built(*mmlu_arguments(mmlu, languages="en,it"))
    assert len(settings_in(mmlu / "out")) == 14 and len(settings_in(mmlu / "out" / "dev")) == 14
    assert (mmlu / "out" / "notes.csv").read_text() == "mine"


def test_original_repository_layout_gives_the_same(mmlu):
    built(*mmlu_arguments(mmlu))
    for code in OTHERS:
        for split in ("test", "dev"):
            (mmlu / "translations" / code / split).rename(mmlu / "data" / f"{split}_full_{code}")
    built(*mmlu_arguments(mmlu, out=mmlu / "other", translations=mmlu / "data"))
    one, other = snapshot(mmlu / "out"), snapshot(mmlu / "other")
    assert one.pop("build.json") != other.pop("build.json")
    assert one == other


def test_english_alone_needs_no_translations(mmlu):
    built(*mmlu_arguments(mmlu, languages="en", translations=None))
    assert settings_in(mmlu / "out") == settings_in(mmlu / "out" / "dev") == ["en"]


def test_examples_without_translations_stay_english(mmlu):
    for code in OTHERS:
        for path in (mmlu / "translations" / code / "dev").iterdir():
            path.unlink()
        path.parent.rmdir()
    assert "few-shot examples are in English only" in built(*mmlu_arguments(mmlu))
    assert settings_in(mmlu / "out" / "dev") == ["en"] and len(settings_in(mmlu / "out")) == 54


def test_a_line_of_column_names_is_passed_over_but_a_question_about_letters_is_not(mmlu):
    path = mmlu / "data" / "test" / "anatomy_test.csv"
    rows = mmlu_rows("en", "anatomy", 5)
    write_csv(path, [["question", "A", "B", "C", "D", "answer"], rows[2], *rows[:2], *rows[3:]])
    built(*mmlu_arguments(mmlu, languages="en", translations=None))
    assert [item.options for item in read_questions(mmlu / "out" / "en.csv")[:2]] == [("A", "B", "C", "D"), TRICKY[0]]


@pytest.fixture
def hub_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def write_mmmlu(folder, code, config, rows_of):
    rows = [["Question", *FOUR, "Answer", "Subject"]]
    for number, subject in enumerate(SUBJECTS):
        rows += [[*row, subject] for row in rows_of(code, subject, 5 + number)]
    write_csv(folder / "test" / f"mmlu_{config}.csv", [["", *rows[0]]] + [[n, *row] for n, row in enumerate(rows[1:])])


@pytest.mark.parametrize("card", [True, False])
def test_local_copies_of_cais_mmlu_and_openai_mmmlu_give_the_same_as_folders(mmlu, hub_home, card):
    built(*mmlu_arguments(mmlu))
    (mmlu / "cais" / "all").mkdir(parents=True)
    for split, name in (("test", ""), ("dev", "dev ")):
        records = [
            {"question": row[0], "subject": subject, "choices": row[1:5], "answer": FOUR.index(row[5])}
            for number, subject in enumerate(SUBJECTS)
            for row in mmlu_rows("en", name + subject, 2 if split == "dev" else 5 + number)
        ]
        pd.DataFrame(records).to_parquet(mmlu / "cais" / "all" / f"{split}-00000-of-00001.parquet")
    if card:
        (mmlu / "cais" / "README.md").write_text(
            "---\nconfigs:\n- config_name: all\n  data_files:\n  - split: test\n    path: all/test-*\n"
            "  - split: dev\n    path: all/dev-*\n---\n"
        )
    for code, config in zip(OTHERS, ["DE-DE", "FR-FR", "ES-LA", "IT-IT"], strict=True):
        write_mmmlu(mmlu / "openai", code, config, mmlu_rows)
    built(*mmlu_arguments(mmlu, data=mmlu / "cais", translations=mmlu / "openai", out=mmlu / "hub"))
    folders, hub = snapshot(mmlu / "out"), snapshot(mmlu / "hub")
    assert {name for name in hub if name.startswith("dev")} == {"dev/en.csv"}
    assert all(content == folders[name] for name, content in hub.items() if name != "build.json")
    assert len(hub) == 54 + 1 + 1


def test_openai_mmmlu_as_a_data_set_with_configurations(mmlu, hub_home):
    write_mmmlu(mmlu / "openai", "de", "DE-DE", lambda code, subject, count: mmlu_rows(code, subject, count))
    table = pd.read_csv(mmlu / "openai" / "test" / "mmlu_DE-DE.csv", dtype=str, keep_default_na=False)
    built(*mmlu_arguments(mmlu, languages="en,de", translations=mmlu / "openai", out=mmlu / "text"))
    (mmlu / "parquet" / "DE_DE").mkdir(parents=True)
    table.to_parquet(mmlu / "parquet" / "DE_DE" / "test-00000-of-00001.parquet")
    built(*mmlu_arguments(mmlu, languages="en,de", translations=mmlu / "parquet", out=mmlu / "table"))
    assert (mmlu / "text" / "full_de.csv").read_bytes() == (mmlu / "table" / "full_de.csv").read_bytes()


def many_rows(code, subject, count):
    return mmlu_rows(code, subject, 40 * count)


def test_answers_that_differ_are_refused_or_dropped_in_every_language(mmlu):
    for number, subject in enumerate(SUBJECTS):
        write_csv(mmlu / "data" / "test" / f"{subject}_test.csv", many_rows("en", subject, 5 + number))
    write_mmmlu(mmlu / "openai", "de", "DE-DE", many_rows)
    write_mmmlu(mmlu / "openai", "fr", "FR-FR", many_rows)
    edit_csv(mmlu / "openai" / "test" / "mmlu_DE-DE.csv", 27, 6, "A")
    arguments = mmlu_arguments(mmlu, languages="en,de,fr", translations=mmlu / "openai")
    refused = build(*arguments)
    assert refused.returncode == 2 and not (mmlu / "out").exists()
    assert "mmlu_DE-DE.csv, row 27: answer A where English has C" in refused.stderr and "row 27)" in refused.stderr
    assert "1 test questions left out" in built(*arguments, "--on_mismatch", "drop")
    for setting in ("en", "full_fr", "gt_de"):
        ids = [item.id for item in read_questions(mmlu / "out" / f"{setting}.csv")]
        assert len(ids) == 439 and "anatomy-0027" not in ids
    assert json.loads((mmlu / "out" / "build.json").read_text())["test"]["dropped"] == ["anatomy-0027"]


def test_languages_held_out_have_the_same_questions_and_leave_the_others_as_they_are(mmlu):
    for code, name in (("de", "DE-DE"), ("fr", "FR-FR"), ("es", "ES-LA"), ("it", "IT-IT"), ("pt", "PT-BR")):
        write_mmmlu(mmlu / "openai", code, name, mmlu_rows)
    edit_csv(mmlu / "openai" / "test" / "mmlu_PT-BR.csv", 3, 6, "A")
    arguments = mmlu_arguments(mmlu, translations=mmlu / "openai", on_mismatch="drop")
    built(*arguments)
    before = {name: read_questions(mmlu / "out" / f"{name}.csv") for name in settings_in(mmlu / "out")}
    built(*arguments, "--held_out", "pt")
    after = {name: read_questions(mmlu / "out" / f"{name}.csv") for name in settings_in(mmlu / "out")}
    assert set(after) == {*before, "full_pt"}
    kept = {item.id for item in after["full_pt"]}
    assert len(kept) == len(before["en"]) - 1
    assert all(after[name] == [item for item in items if item.id in kept] for name, items in before.items())


def test_rows_in_another_order_are_not_taken_for_slips(mmlu):
    write_mmmlu(mmlu / "openai", "de", "DE-DE", lambda *a: [*mmlu_rows(*a)[1:], mmlu_rows(*a)[0]])
    result = build(
        *mmlu_arguments(mmlu, languages="en,de", translations=mmlu / "openai", on_mismatch="drop"),
    )
    assert result.returncode == 2 and "probably in another order" in result.stderr and not (mmlu / "out").exists()


def test_the_released_mixup_is_one_more_setting_with_its_languages_unknown(mmlu):
    for split, count in (("test", 5), ("dev", 2)):
        for number, subject in enumerate(SUBJECTS):
            name = subject if split == "test" else f"dev {subject}"
            rows = mmlu_rows("it", name, count + number * (split == "test"))
            header = [["question", "A", "B", "C", "D", "answer"]] if subject == "anatomy" else []
            write_csv(mmlu / "released" / "data" / split / f"{subject}_{split}.csv", header + rows)
    built(*mmlu_arguments(mmlu, languages="en,de", mixup=mmlu / "released"))
    items = read_questions(mmlu / "out" / "mixup_paper.csv")
    assert [item.id for item in items] == [item.id for item in read_questions(mmlu / "out" / "en.csv")]
    assert {(item.question_language, *item.option_languages) for item in items} == {("mixed",) * 5}
    assert "mixup_paper" in settings_in(mmlu / "out" / "dev") and "mixup" not in settings_in(mmlu / "out")


def test_an_option_that_the_released_mixup_lost_leaves_its_question_out(mmlu):
    """Where English says "None" it has an empty cell, and a line of numbers on top, as pandas writes both."""
    for split, count in (("test", 5), ("dev", 2)):
        for number, subject in enumerate(SUBJECTS):
            name = subject if split == "test" else f"dev {subject}"
            rows = mmlu_rows("it", name, count + number * (split == "test"))
            write_csv(mmlu / "released" / "data" / split / f"{subject}_{split}.csv", [[*"012345"], *rows])
    edit_csv(mmlu / "released" / "data" / "test" / "virology_test.csv", 4, 3, "")
    arguments = mmlu_arguments(mmlu, languages="en,de", mixup=mmlu / "released")
    refused = build(*arguments)
    assert refused.returncode == 2 and "virology_test.csv, row 4: option C is empty" in refused.stderr
    assert "1 test questions left out" in built(*arguments, "--on_mismatch", "drop")
    for setting in ("en", "full_de", "mixup_paper"):
        items = read_questions(mmlu / "out" / f"{setting}.csv")
        assert len(items) == 10 and "virology-0004" not in {item.id for item in items}


def test_subjects_of_mmmlu_that_are_names_of_files(mmlu):
    """In Swahili and Yoruba the released files have these instead of subjects."""
    write_mmmlu(mmlu / "openai", "sw", "SW-KE", mmlu_rows)
    path = mmlu / "openai" / "test" / "mmlu_SW-KE.csv"
    text = path.read_text(encoding="utf-8").replace(",anatomy\n", ",anatomy_test.csv_sw-KE.csv\n")
    path.write_text(text.replace(",virology\n", ",virology_test-sw-KE.csv\n"), encoding="utf-8")
    assert "anatomy_test.csv_sw-KE.csv" in path.read_text(encoding="utf-8")
    built(*mmlu_arguments(mmlu, languages="en,sw", translations=mmlu / "openai"))
    assert {item.subject for item in read_questions(mmlu / "out" / "full_sw.csv")} == set(SUBJECTS)


def test_belebele_keeps_the_passage_english_but_in_full_and_context(belebele):
    built("--source", "belebele", "--data", belebele / "data", "--out", belebele / "out")
    names = settings_in(belebele / "out")
    assert len(names) == 58 and not (belebele / "out" / "dev").exists()
    for name in names:
        items = read_questions(belebele / "out" / f"{name}.csv")
        expected = name[-2:] if name.startswith(("full_", "context_")) else "en"
        assert {(item.context_language, item.context[10:12]) for item in items} == {(expected, expected)}
    first = read_questions(belebele / "out" / "en.csv")[0]
    assert (first.id, first.subject, first.answer) == ("https://example.org/0#1", "belebele", "A")
    assert first.options == ("a en", "b en", "c en", "4")


def test_belebele_as_a_data_set_gives_the_same(belebele, hub_home):
    arguments = ["--source", "belebele", "--languages", "en,de", "--out"]
    built(*arguments, belebele / "out", "--data", belebele / "data")
    for code in ("eng_Latn", "deu_Latn"):
        (belebele / "copy" / code).mkdir(parents=True)
        (belebele / "data" / f"{code}.jsonl").rename(belebele / "copy" / code / "test.jsonl")
    built(*arguments, belebele / "hub", "--data", belebele / "copy")
    one, other = snapshot(belebele / "out"), snapshot(belebele / "hub")
    assert one.pop("build.json") != other.pop("build.json")
    assert one == other


@pytest.fixture
def plain(tmp_path):
    header = ["id", "subject", "context", "question", *FOUR, "answer"]
    for code in ("en", "de"):
        rows = [[f"q{n}", "cats", "", f"question {n} {code}", *(f"{x} {n} {code}" for x in FOUR), "D"] for n in (1, 2)]
        rows.append(["q3", "dogs", f"passage {code}", f"question 3 {code}", *(f"{x} 3 {code}" for x in FOUR), "B"])
        write_csv(tmp_path / "data" / f"{code}.csv", [header, *rows])
        write_csv(tmp_path / "data" / "dev" / f"{code}.csv", [header, *rows[1:]])
    return tmp_path


def plain_arguments(folder):
    return ["--source", "csv", "--languages", "en,de", "--data", folder / "data", "--out", folder / "out"]


def test_plain_csv(plain):
    built(*plain_arguments(plain))
    items = read_questions(plain / "out" / "full_de.csv")
    assert [(item.id, item.context_language) for item in items] == [("q1", ""), ("q2", ""), ("q3", "de")]
    assert "context_de" in settings_in(plain / "out") and len(read_questions(plain / "out" / "dev" / "gt_de.csv")) == 2


def refused(result, out, before, *parts):
    """Exit code 2, one sentence with these parts, and the output folder as it was."""
    assert result.returncode == 2, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for part in parts:
        assert part in lines[0]
    assert (snapshot(out) if out.exists() else {}) == before
    assert not list(out.parent.glob(".*.tmp"))


MMLU_FAULTS = {
    "subject missing": (lambda f: (f / "virology_test.csv").unlink(), "de/test: no questions of subject 'virology'"),
    "subject unknown": (
        lambda f: write_csv(f / "law_test.csv", mmlu_rows("de", "law", 1)),
        "law_test.csv, row 1: subject 'law' is not among the English ones",
    ),
    "a row less": (
        lambda f: write_csv(f / "virology_test.csv", mmlu_rows("de", "virology", 5)),
        "de/test/virology_test.csv, row 5: 5 rows where English has 6",
    ),
    "a row more": (
        lambda f: write_csv(f / "anatomy_test.csv", mmlu_rows("de", "anatomy", 6)),
        "de/test/anatomy_test.csv, row 6: 6 rows where English has 5",
    ),
    "empty option": (
        lambda f: edit_csv(f / "anatomy_test.csv", 3, 2, " "),
        "anatomy_test.csv, row 4: option B is empty",
    ),
    "empty question": (
        lambda f: edit_csv(f / "anatomy_test.csv", 1, 0, ""),
        "anatomy_test.csv, row 2: the question is empty",
    ),
    "answer outside": (
        lambda f: edit_csv(f / "virology_test.csv", 5, 5, "E"),
        "de/test/virology_test.csv, row 6: the answer is 'E'",
    ),
    "other answer": (
        lambda f: edit_csv(f / "virology_test.csv", 5, 5, "A"),
        "de/test/virology_test.csv, row 6: answer A where English has B",
    ),
    "cells missing": (
        lambda f: write_csv(f / "anatomy_test.csv", [row[1:] for row in mmlu_rows("de", "anatomy", 5)]),
        "anatomy_test.csv, row 1: 5 cells",
    ),
    "not UTF-8": (
        lambda f: (f / "anatomy_test.csv").write_bytes(b"\xff\xfe,1,2,3,4,A\n"),
        "anatomy_test.csv: cannot be",
    ),
    "no files": (lambda f: [path.unlink() for path in f.iterdir()], "de/test: no questions in files named"),
}


@pytest.mark.parametrize("fault", MMLU_FAULTS)
def test_faults_in_mmlu_translations_are_refused_and_nothing_is_written(mmlu, fault):
    change, message = MMLU_FAULTS[fault]
    change(mmlu / "translations" / "de" / "test")
    refused(build(*mmlu_arguments(mmlu)), mmlu / "out", {}, message)


def test_a_refusal_leaves_an_older_build_as_it_was(mmlu):
    built(*mmlu_arguments(mmlu))
    before = snapshot(mmlu / "out")
    edit_csv(mmlu / "translations" / "it" / "dev" / "virology_dev.csv", 1, 4, "")
    result = build(*mmlu_arguments(mmlu, seed=1))
    refused(result, mmlu / "out", before, "virology_dev.csv, row 2: option D is empty")


def test_faults_in_the_english_data_are_refused(mmlu):
    edit_csv(mmlu / "data" / "test" / "anatomy_test.csv", 0, 5, "a")
    result = build(*mmlu_arguments(mmlu, languages="en", translations=None))
    refused(result, mmlu / "out", {}, "data/test/anatomy_test.csv, row 1: the answer is 'a'")


def test_examples_in_some_languages_only_are_refused(mmlu):
    (mmlu / "translations" / "fr" / "dev").rename(mmlu / "elsewhere")
    refused(build(*mmlu_arguments(mmlu)), mmlu / "out", {}, "no dev questions in fr")


ARGUMENT_FAULTS = {
    "no translations": ({"translations": None}, "--translations is missing"),
    "English not first": ({"languages": "de,en"}, "must begin with en"),
    "twice": ({"languages": "en,de,de"}, "names a language twice"),
    "unknown language": ({"languages": "en,xx"}, "unknown language 'xx'"),
    "not translated": ({"languages": "en,nl"}, "no folder nl/test or test_full_nl"),
    "not a folder": ({"languages": "en,pt"}, "translations: not a folder of a known layout"),
    "no data": ({"data": "/nonexistent"}, "/nonexistent: not a folder of a known layout"),
    "no mixup": ({"mixup": "/nonexistent"}, "/nonexistent: neither a folder nor"),
    "wrong type": ({"seed": "x"}, "seed"),
}


@pytest.mark.parametrize("fault", ARGUMENT_FAULTS)
def test_faulty_arguments_are_refused(mmlu, fault):
    options, message = ARGUMENT_FAULTS[fault]
    refused(build(*mmlu_arguments(mmlu, **options)), mmlu / "out", {}, message)


def test_the_data_are_not_written_over(belebele):
    before = snapshot(belebele / "data")
    arguments = ["--source", "belebele", "--data", belebele / "data", "--out", belebele / "data"]
    refused(build(*arguments), belebele / "out", {}, "holds deu_Latn.jsonl, which is not of this command")
    assert snapshot(belebele / "data") == before


def test_a_long_passage_is_read_again(tmp_path):
    item = monolingual("1", "a", "x" * 200_000, "q", ["a", "b"], "A", "en")
    write_questions(tmp_path / "en.csv", [item])
    assert read_questions(tmp_path / "en.csv") == [item]


def test_out_must_not_be_a_file_and_translations_go_with_mmlu_only(belebele):
    arguments = ["--source", "belebele", "--data", belebele / "data", "--out"]
    (belebele / "file").write_text("")
    result = build(*arguments, belebele / "file")
    assert result.returncode == 2 and f"{belebele / 'file'}: File exists; what is there is no folder" in result.stderr
    built(*arguments, belebele / "older")
    (belebele / "older" / "dev").write_text("")
    result = build(*arguments, belebele / "older", "--num_fewshot", "1")
    assert result.returncode == 2 and f"{belebele / 'older' / 'dev'}: " in result.stderr
    result = build(*arguments, belebele / "out", "--translations", belebele)
    refused(result, belebele / "out", {}, "--translations goes with --source mmlu")


def test_belebele_in_another_order_in_one_language_is_the_same(belebele):
    path = belebele / "data" / "deu_Latn.jsonl"
    built("--source", "belebele", "--data", belebele / "data", "--out", belebele / "out")
    path.write_text("\n".join(reversed(path.read_text(encoding="utf-8").strip().split("\n"))), encoding="utf-8")
    built("--source", "belebele", "--data", belebele / "data", "--out", belebele / "other")
    for name in settings_in(belebele / "out"):
        assert read_questions(belebele / "out" / f"{name}.csv") == read_questions(belebele / "other" / f"{name}.csv")


BELEBELE_FAULTS = {
    "no file": (None, "deu_Latn.jsonl: no such file"),
    "other id": ({"question_number": 9}, "deu_Latn.jsonl, row 3: id 'https://example.org/1#9' where English has"),
    "other answer": ({"correct_answer_num": "1"}, "deu_Latn.jsonl, row 3: answer A where English has C"),
    "answer outside": ({"correct_answer_num": "5"}, "deu_Latn.jsonl, row 3: the answer is '5'"),
    "NUL": ({"mc_answer4": "a\0b"}, "deu_Latn.jsonl, row 3: the character '\\x00' is no text"),
    "half a character": ({"question": "a\ud800b"}, "deu_Latn.jsonl, row 3: the character '\\ud800' is no text"),
    "empty option": ({"mc_answer4": " "}, "deu_Latn.jsonl, row 3: option D is empty"),
    "null option": ({"mc_answer4": None}, "deu_Latn.jsonl, row 3: None is not text"),
    "no passage": ({"flores_passage": ""}, "deu_Latn.jsonl, row 3: the passage is empty"),
}


@pytest.mark.parametrize("fault", BELEBELE_FAULTS)
def test_faults_in_belebele_are_refused(belebele, fault):
    change, message = BELEBELE_FAULTS[fault]
    path = belebele / "data" / "deu_Latn.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.unlink()
    if change:
        lines[2] = json.dumps(json.loads(lines[2]) | change)
        path.write_text("\n".join(lines), encoding="utf-8")
    arguments = ["--source", "belebele", "--data", belebele / "data", "--out", belebele / "out"]
    refused(build(*arguments), belebele / "out", {}, message)


def test_a_folder_that_is_not_finished_is_not_read(plain):
    out = plain / "out"
    built(*plain_arguments(plain))
    config = evaluate.MmluConfig(data=str(out))
    assert not (out / UNFINISHED).exists() and len(config.task(None).read("en").questions) == 3
    (out / UNFINISHED).touch()  # as a kill would leave it
    with pytest.raises(InputError, match="was stopped while it wrote"):
        config.task(None)
    built(*plain_arguments(plain))
    assert not (out / UNFINISHED).exists()


def test_a_folder_that_another_call_reads_is_left_alone_unless_it_differs(plain):
    out = plain / "out"
    built(*plain_arguments(plain))
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != LOCK]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    built(*plain_arguments(plain))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == before
    for change in (lambda: files[1].write_text("x"), files[1].unlink, lambda: (out / "full_xx.csv").touch()):
        change()
        built(*plain_arguments(plain))
        assert {path: path.read_bytes() for path in files} == {path: content for path, (content, _) in before.items()}


def test_two_calls_at_once_make_one_folder(plain):
    command = [sys.executable, str(ROOT / "MMLU" / "build_variants.py"), *map(str, plain_arguments(plain))]
    calls = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {"WAIT": "1"})
        for _ in range(4)
    ]
    said = [call.communicate()[1] for call in calls]
    assert [call.returncode for call in calls] == [0] * 4, said
    assert not (plain / "out" / UNFINISHED).exists() and len(read_questions(plain / "out" / "en.csv")) == 3
    assert not [path for path in plain.iterdir() if "unfinished" in path.name]


def test_a_folder_that_comes_into_being_meanwhile_is_taken_as_it_is(plain, monkeypatch):
    """As when two calls begin in a folder that is not there yet."""
    builder = load_script("MMLU/build_variants.py")
    items = {"en": [monolingual("q", "law", "", "what?", ("a", "b"), "A", "en")]}

    def meanwhile(path, *arguments):
        monkeypatch.undo()
        builder.write(plain / "out", {"test": items}, {"seed": 1})
        write_questions(path, *arguments)

    monkeypatch.setitem(vars(builder), "write_questions", meanwhile)
    builder.write(plain / "out", {"test": items}, {"seed": 1})
    assert read_questions(plain / "out" / "en.csv") == items["en"]


def test_a_broken_or_short_belebele_file_is_refused(belebele):
    path = belebele / "data" / "deu_Latn.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    arguments = ["--source", "belebele", "--data", belebele / "data", "--out", belebele / "out"]
    for content, message in [
        (lines[:4], "deu_Latn.jsonl, row 4: 4 rows where English has 6"),
        ([*lines[:2], "{"], "deu_Latn.jsonl, row 3: not a JSON object"),
        ([*lines[:2], "{}"], "deu_Latn.jsonl, row 3: a record with flores_passage"),
        ([], "deu_Latn.jsonl: no questions"),
    ]:
        path.write_text("\n".join(content), encoding="utf-8")
        refused(build(*arguments), belebele / "out", {}, message)


def test_faults_in_plain_csv_are_refused(plain):
    for row, column, value, message in [
        (3, 0, "q9", "de.csv, row 3: id 'q9' where English has 'q3'"),
        (3, 1, "cats", "de.csv, row 3: subject 'cats' where English has 'dogs'"),
        (3, 2, "", "de.csv, row 3: a passage in one language only"),
        (0, 0, "key", "de.csv: the first line must be id,subject"),
    ]:
        path = plain / "data" / "de.csv"
        content = path.read_text()
        edit_csv(path, row, column, value)
        refused(build(*plain_arguments(plain)), plain / "out", {}, message)
        path.write_text(content)
    edit_csv(plain / "data" / "en.csv", 2, 0, "q1")
    refused(build(*plain_arguments(plain)), plain / "out", {}, "en.csv, row 2: id 'q1' is also in", "en.csv, row 1")


def test_real_belebele(real_data, tmp_path):
    """The command of the module docstring on 500 questions that nobody here wrote."""
    arguments = [
        "--source",
        "belebele",
        "--data",
        real_data / "belebele",
        "--languages",
        "en,de,fr,es,it",
        "--seed",
        42,
    ]
    for name in ("one", "two"):
        built(*arguments, "--out", tmp_path / name)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert len(settings_in(tmp_path / "one")) == 58
    english = read_questions(tmp_path / "one" / "en.csv")
    for name in settings_in(tmp_path / "one"):
        items = read_questions(tmp_path / "one" / f"{name}.csv")
        assert [(item.id, item.answer) for item in items] == [(item.id, item.answer) for item in english]
    for item in read_questions(tmp_path / "one" / "mixup.csv"):
        assert sorted([item.question_language, *item.option_languages]) == ["de", "en", "es", "fr", "it"]


def test_real_mmlu(real_data, tmp_path):
    """All 14,042 + 285 questions pass, and no cell is changed."""
    built("--source", "mmlu", "--data", real_data / "mmlu", "--languages", "en", "--out", tmp_path / "out")
    for split, folder, count in (("test", tmp_path / "out", 14042), ("dev", tmp_path / "out" / "dev", 285)):
        items = read_questions(folder / "en.csv")
        original = []
        for path in sorted((real_data / "mmlu" / split).glob("*.csv")):
            with open(path, encoding="utf-8", newline="") as file:
                original += list(csv.reader(file))
        assert len(items) == count
        assert [[item.question, *item.options, item.answer] for item in items] == original


def test_examples_may_be_held_out_of_the_test_questions(belebele):
    arguments = ["--source", "belebele", "--data", belebele / "data", "--out"]
    built(*arguments, belebele / "whole")
    built(*arguments, belebele / "out", "--num_fewshot", "1", "--seed", "3")
    for name in settings_in(belebele / "whole"):
        shown, asked = (
            read_questions(belebele / "out" / "dev" / f"{name}.csv"),
            read_questions(belebele / "out" / f"{name}.csv"),
        )
        every = read_questions(belebele / "whole" / f"{name}.csv")
        assert len(shown) == 1 and [item.id for item in every if item.id != shown[0].id] == [item.id for item in asked]
        if name.startswith(("en", "full", "question", "options", "context")):
            assert shown + asked == sorted(every, key=lambda item: (item.id != shown[0].id, every.index(item)))
    again = build(*arguments, belebele / "other", "--num_fewshot", "1", "--seed", "3")
    assert again.returncode == 0 and snapshot(belebele / "other") == snapshot(belebele / "out")
    refused = build(*arguments, belebele / "none", "--num_fewshot", "100")
    assert refused.returncode == 2 and "too few for 100 few-shot examples" in refused.stderr
    assert not (belebele / "none").exists()
