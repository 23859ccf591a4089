"""MMLU/translate_mmlu.py: every layout is read back by build_variants.py, kills lose nothing, lost texts are named."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter

import pytest

from common.cli import InputError
from common.questions import FOUR, read_questions
from common.reporting.provenance import read_run
from common.settings import settings_in
from common.translation.base import Untranslated
from common.translation.cache import CachedTranslator
from tests.scripts import ROOT, call, load_script
from tests.tiny import tiny_nllb

translate = load_script("MMLU/translate_mmlu.py")
build = load_script("MMLU/build_variants.py")
WORDS = {
    "de": {"dog": "Hund", "red": "rot", "house": "Haus", "cat": "Katze", "sleeps": "schläft"},
    "es": {"dog": "perro", "red": "rojo", "house": "casa", "cat": "gato", "sleeps": "duerme"},
}
ENGLISH = list(WORDS["de"])
TEST = 20  # questions of each of two subjects


def question(number):
    """Two lines, and options of which no two are equal."""
    words = [*ENGLISH[number % 5 :], *ENGLISH[: number % 5]]
    return [f"{words[0]} {ENGLISH[number // 5 % 5]}\n{words[1]}", *words[1:], FOUR[number % 4]]


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def mmlu(tmp_path):
    """A folder in MMLU's layout: 40 test questions in two subjects, and two examples of each."""
    for start, subject in ((0, "anatomy"), (TEST, "virology")):
        write_csv(tmp_path / f"mmlu/test/{subject}_test.csv", [question(start + n) for n in range(TEST)])
        write_csv(tmp_path / f"mmlu/dev/{subject}_dev.csv", [question(start + n) for n in range(2)])
    return tmp_path / "mmlu"


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    return tiny_nllb(tmp_path_factory.mktemp("nllb"), {"deu_Latn": WORDS["de"], "spa_Latn": WORDS["es"]})


def dictionary(folder):
    folder.mkdir()
    for code, words in WORDS.items():
        (folder / f"en-{code}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in words.items()), encoding="utf-8")
    return ["--translator", "dictionary", "--dictionary", folder]


def variants(tmp_path, monkeypatch, *keys, languages="en,de,es"):
    """What build_variants.py makes of translations: questions by setting."""
    out = tmp_path / "variants"
    assert call(build, [*keys, "--languages", languages, "--out", out], monkeypatch) == 0
    return {name: read_questions(out / f"{name}.csv") for name in settings_in(out)}


def in_words(text, code):
    return "\n".join(" ".join(WORDS[code].get(word, word) for word in line.split(" ")) for line in text.split("\n"))


def check_translated(settings, monkeypatch):
    assert len(settings) == 27 and all(len(items) == 2 * TEST for items in settings.values())
    for code in WORDS:
        for item, english in zip(settings[f"full_{code}"], settings["en"], strict=True):
            assert item.question == in_words(english.question, code) != english.question
            assert list(item.options) == [in_words(option, code) for option in english.options]
            assert item.answer == english.answer


class Counting:
    """Translates word by word, as the model has learnt to, and remembers each text; `fails` have no translation."""

    identity = "service words"

    def __init__(self, fails=(), dies_after=None):
        self.asked, self.fails, self.dies_after = [], fails, dies_after

    def translate(self, texts, source, target):
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        self.asked += [(target, text) for text in texts]
        done = [None if (target, text) in self.fails else in_words(text, target) for text in texts]
        if None in done:
            reasons = {row: "no such text" for row, said in enumerate(done) if said is None}
            raise Untranslated(done, reasons)
        return done


@pytest.fixture
def run(mmlu, tmp_path, monkeypatch):
    """Run the script with a translator of the test's own; returns the exit code."""

    def run(translator, *keys, out="made"):
        def make(name, *, cache_file, **_):
            return CachedTranslator(translator, cache_file)

        monkeypatch.setitem(vars(translate), "make_translator", make)
        given = ["--source", "mmlu", "--data", mmlu, "--languages", "de,es", "--translator", "google"]
        return call(translate, [*given, "--out", tmp_path / out, *keys], monkeypatch)

    return run


def test_a_dictionary_makes_settings(mmlu, tmp_path, monkeypatch, capsys):
    made = tmp_path / "made"
    keys = ["--source", "mmlu", "--data", mmlu, "--languages", "en,de,es", "--out", made]
    assert call(translate, [*keys, *dictionary(tmp_path / "words")], monkeypatch) == 0
    assert f"--source mmlu --data {made}/en --translations {made}" in capsys.readouterr().out
    settings = variants(tmp_path, monkeypatch, "--source", "mmlu", "--data", made / "en", "--translations", made)
    check_translated(settings, monkeypatch)
    assert len(settings_in(tmp_path / "variants" / "dev")) == 27
    record = read_run(made)
    assert record["questions"] == {"dev": 4, "test": 40} and record["left_out"] == [] and record["end"]


# What is killed: the same script, whose model says goodbye in the middle of its third batch.
KILLED = """
import os, signal, sys
sys.path.insert(0, "MMLU")
import translate_mmlu, common.translation.cache, common.translation.encoder_decoder as model
translate_mmlu.CACHE_BATCH = common.translation.cache.CACHE_BATCH = 40
calls, real = [], model.EncoderDecoderTranslator.translate
def dying(self, *arguments):
    calls.append(arguments)
    done = real(self, *arguments)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
model.EncoderDecoderTranslator.translate = dying
translate_mmlu.main()
"""


def test_a_model_that_was_killed_goes_on_and_translates_nothing_twice(nllb, mmlu, tmp_path, monkeypatch):
    from common.translation.encoder_decoder import EncoderDecoderTranslator

    made = tmp_path / "made"
    keys = ["--source", "mmlu", "--data", mmlu, "--languages", "de,es", "--out", made, "--translator", nllb]
    command = [sys.executable, "-c", KILLED, *map(str, keys), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list(made.glob("*/"))
    rows = sqlite3.connect(made / "translations.sqlite").execute("SELECT target, text FROM translations").fetchall()
    assert rows
    asked, real = Counter(rows), EncoderDecoderTranslator.translate

    def counting(self, texts, source, target):
        asked.update((target, text) for text in texts)
        return real(self, texts, source, target)

    monkeypatch.setattr(EncoderDecoderTranslator, "translate", counting)
    assert call(translate, [*keys, "--device", "cpu"], monkeypatch) == 0
    assert set(asked.values()) == {1} and len(asked) > len(rows)
    before = dict(asked)
    assert call(translate, [*keys, "--device", "cpu"], monkeypatch) == 0 and dict(asked) == before
    settings = variants(tmp_path, monkeypatch, "--source", "mmlu", "--data", made / "en", "--translations", made)
    check_translated(settings, monkeypatch)


def test_a_service_that_is_stopped_loses_at_most_a_small_batch(run, tmp_path):
    first, second = Counting(dies_after=40), Counting()
    assert run(first) == 130 and not (tmp_path / "made" / "en").exists()
    assert run(second) == 0 and not set(first.asked) & set(second.asked)
    assert len(first.asked) <= 40 + translate.SERVICE_BATCH
    assert any("\n" in text for _, text in first.asked)  # whole texts


def test_a_text_that_fails_is_named_and_its_question_left_out_everywhere(run, mmlu, tmp_path, monkeypatch, capsys):
    made, bad = tmp_path / "made", "sleeps  dog"
    path = mmlu / "test" / "virology_test.csv"
    rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
    rows[6][2] = bad
    write_csv(path, rows)
    first = Counting(fails={("es", bad)})
    assert run(first) == 0
    said = capsys.readouterr()
    assert f"left out: {path}, row 7 (virology), option B into es: no such text" in said.err
    assert "1 questions with 1 texts without a translation are left out of every language" in said.out
    (lost,) = read_run(made)["left_out"]
    assert (lost["id"], lost["language"], lost["field"]) == ("virology-0007", "es", "option B")
    keys = ["--source", "mmlu", "--data", made / "en", "--translations", made]
    settings = variants(tmp_path, monkeypatch, *keys)
    kept = [row for n, row in enumerate(rows) if n != 6]
    for code in ("en", "de", "es"):
        own = [item for item in settings["en" if code == "en" else f"full_{code}"] if item.subject == "virology"]
        assert [item.question for item in own] == [row[0] if code == "en" else in_words(row[0], code) for row in kept]
    second = Counting()  # which can
    assert run(second) == 0 and second.asked == [("es", bad)]
    assert read_run(made)["left_out"] == [] and len(variants(tmp_path, monkeypatch, *keys)["full_es"]) == 2 * TEST


def test_a_translator_that_is_down_writes_no_data(run, tmp_path, capsys):
    every = {(code, word) for code in WORDS for word in ENGLISH}
    assert run(Counting(fails=every)) == 2
    error = capsys.readouterr().err
    assert "too many to leave out" in error and "rerun the same command" in error and "option A into de" in error
    assert not (tmp_path / "made" / "en").exists() and run(Counting()) == 0


def test_texts_are_asked_line_by_line_and_empty_answers_are_lost():
    class Lines:
        identity = "causal"

        def translate(self, texts, source, target):
            assert not any("\n" in text for text in texts)
            return ["" if text.strip() in ("", "nothing") else f"<{text.strip()}>" for text in texts]

    texts = [" one\n\n two ", "nothing", "a\nnothing\nb", "c"]
    done, reasons = translate.ask(Lines(), texts, "de", False)
    assert done == [" <one>\n\n <two> ", None, None, "<c>"]
    assert reasons == dict.fromkeys((1, 2), "the translation is empty")


def test_one_line_that_is_too_long_does_not_end_the_others():
    class Short:
        identity = "causal"

        def translate(self, texts, source, target):
            long = next((row for row, text in enumerate(texts) if len(text) > 9), None)
            if long is not None:
                raise InputError(f"row {long}: its prompt has too many tokens")
            return [f"<{text}>" for text in texts]

    texts = ["one", "two\nfar too long", "three", "four", "five\nsix"]
    done, reasons = translate.ask(Short(), texts, "de", False)
    assert done == ["<one>", None, "<three>", "<four>", "<five>\n<six>"]
    assert reasons == {1: "its prompt has too many tokens"}
    down = Short()
    down.translate = lambda *_: (_ for _ in ()).throw(InputError("no such model"))
    with pytest.raises(InputError, match="no such model"):
        translate.ask(down, texts, "de", False)


def test_options_that_become_equal_are_kept_and_counted(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(WORDS["es"], "cat", "perro")
    assert run(Counting()) == 0
    with_both = [n for n in (*range(2 * TEST), 0, 1, TEST, TEST + 1) if {"dog", "cat"} <= set(question(n)[1:5])]
    assert f"note: {len(with_both)} questions have options that are equal in es" in capsys.readouterr().out
    record = read_run(tmp_path / "made")
    assert record["equal_options"] == {"de": 0, "es": len(with_both)} and record["questions"]["test"] == 2 * TEST


@pytest.mark.parametrize("source", ["csv", "belebele"])
def test_other_layouts_keep_every_text(source, run, tmp_path, monkeypatch):
    data = tmp_path / "data"
    tricky = ['"dog", red', " house\r\ncat ", "=dog", "red"]
    if source == "csv":
        header = ["id", "subject", "context", "question", *FOUR, "answer"]
        rows = [["a", "x", "", "dog?", *tricky, "D"], ["007", "y", "a house", "red?", "dog", "cat", "", "", "B"]]
        write_csv(data / "en.csv", [header, *rows])
        write_csv(data / "dev" / "en.csv", [header, ["d", "x", "", "cat?", *FOUR, "A"]])
    else:
        record = {"link": "l#1", "question_number": 2, "flores_passage": "a\nhouse", "question": "dog?"}
        record |= {f"mc_answer{n}": text.strip() for n, text in enumerate(tricky, 1)} | {"correct_answer_num": "4"}
        data.mkdir()
        (data / "eng_Latn.jsonl").write_text(json.dumps(record) + "\n")
    original = variants(tmp_path, monkeypatch, "--source", source, "--data", data, languages="en")["en"]
    assert run(Counting(), "--source", source, "--data", data) == 0
    settings = variants(tmp_path, monkeypatch, "--source", source, "--data", tmp_path / "made")
    assert settings["en"] == original and ("context_de" in settings)
    for item, english in zip(settings["full_de"], original, strict=True):
        assert item.context == in_words(english.context, "de") and item.id == english.id
        assert list(item.options) == [in_words(option, "de") for option in english.options]
    assert (tmp_path / "variants" / "dev" / "full_de.csv").exists() == (source == "csv")


def test_fewer_languages_or_questions_leave_nothing_old_behind(run, tmp_path):
    assert run(Counting()) == 0
    assert run(Counting(), "--languages", "de", "--limit", "3") == 0
    made = tmp_path / "made"
    assert not list((made / "es").rglob("*.csv")) and read_run(made)["questions"] == {"dev": 4, "test": 6}


def test_what_is_not_its_own_is_not_written_over(run, tmp_path, mmlu, capsys):
    assert run(Counting()) == 0
    corrected = tmp_path / "made" / "de" / "test" / "anatomy_test.csv"
    corrected.write_text("mine")
    asked = Counting()
    assert run(asked, "--languages", "de,es,fr") == 2 and not asked.asked
    assert f"{corrected}: is there with another content" in capsys.readouterr().err
    assert corrected.read_text() == "mine"
    for name, content in (("run.json", None), ("notes.txt", "mine"), ("de/test/anatomy_test.csv", "mine")):
        path = tmp_path / name.partition(".")[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content:
            path.write_text(content)
        else:
            translate.write_run(path.parent, {"hash": "of another"})
        before = path.read_bytes()
        assert run(asked, out=name.partition(".")[0]) == 2 and path.read_bytes() == before and not asked.asked
        assert str(path.parent if name == "run.json" else path.name) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--languages", "en"], "languages names none but English"),
        (["--languages", "de,xx"], "unknown language 'xx'"),
        (["--languages", "de,de"], "names a language twice"),
        (["--limit", "0"], "limit is 0"),
        (["--data", "/nowhere"], "/nowhere"),
    ],
)
def test_other_refusals(run, tmp_path, capsys, keys, said):
    assert run(Counting(), *keys) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not (tmp_path / "made").exists()
