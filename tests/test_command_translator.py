"""The translator `command`: small real programs on stdin and stdout, good and bad, and apertium where it is."""

import shlex
import shutil
import sqlite3
import sys
import time

import pytest

from common.cli import InputError
from common.translation import command
from common.translation.factory import make_translator
from tests.scripts import call, load_script

TEXTS = ["One cat.", "  Two dogs. Three birds.\n", "", "A line.\nAnother line.", "Last"]


def program(code: str, languages: str = "en de") -> str:
    """The translator of a Python program whose `lines` are what it reads and whose `say` writes one."""
    start = (
        "import os, sys, time\nlines = sys.stdin.read().split('\\n')[:-1]\nsay = lambda one: print(one, flush=True)\n"
    )
    return f"command:{shlex.join([sys.executable, '-c', start + code, *languages.split()])}"


GOOD = program("for line in lines: say(line.upper())")


def test_order_space_and_sentences_are_kept():
    said = make_translator(GOOD).translate(TEXTS, "en", "de")
    assert said == [text.upper() for text in TEXTS]
    assert make_translator(GOOD).translate(["", " \n"], "en", "de") == ["", " \n"]


def test_codes_of_the_pair_are_filled_in():
    code = "for line in lines: say(line and ' '.join(sys.argv[1:]))"
    given = program(code, "{source} {target} {source3}-{target3} {other}")
    assert make_translator(given).translate(["One."], "en", "es") == ["en es eng-spa {other}"]
    assert make_translator(given).translate(["Uno."], "es", "en") == ["es en spa-eng {other}"]


@pytest.mark.parametrize("languages", ["", "de en", "spa-eng", "en es fr", "en"])
def test_a_command_for_another_pair_is_refused_before_it_runs(languages, tmp_path):
    given = program(f"open({str(tmp_path / 'ran')!r}, 'w')", languages)
    with pytest.raises(InputError, match="does not say that it is for en-es; write {target} in it"):
        make_translator(given).translate(["One."], "en", "es")
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(InputError, match="no-such-program: no such program; install it, or name its path"):
        make_translator("command:no-such-program en-es").translate(["One."], "en", "es")


def test_a_chain_of_languages_is_taken_for_its_first_and_last():
    chain = program("for line in lines: say(line)", "eng-spa es-fr")
    assert make_translator(chain).translate(["One."], "en", "fr") == ["One."]
    with pytest.raises(InputError, match="for en-es"):
        make_translator(chain).translate(["One."], "en", "es")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("for line in lines:\n if 'bad' in line: sys.exit(3)\n say(line)", "ended with 3"),
        ("for line in lines:\n if 'bad' in line: os.kill(os.getpid(), 9)\n say(line)", "ended with -9"),
        ("for line in lines:\n if 'bad' in line: continue\n say(line)", "''"),
        ("for line in lines:\n if 'bad' in line: say('more')\n say(line)", "'more|A bad one.'"),
        ("for line in lines:\n say(line)\n if 'bad' in line: say('more')", "'A bad one.|more'"),
        ("for line in lines: say('' if 'bad' in line else line)", "''"),
        ("for line in lines:\n if 'bad' in line: time.sleep(60)\n say(line)", "nothing in 1 seconds"),
    ],
)
def test_the_sentence_at_fault_is_named_and_nothing_of_its_batch_is_kept(code, said, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATIENCE", 1.0 if "sleep" in code else 60.0)
    monkeypatch.setattr("common.translation.cache.CACHE_BATCH", 4)
    texts = [f"Number {number}." for number in range(9)]
    texts[6] = "A good one. A bad one."
    cache = tmp_path / "cache.sqlite"
    with pytest.raises(InputError, match="^row 6: ") as caught:
        make_translator(program(code), cache_file=str(cache)).translate(texts, "en", "de")
    assert said in str(caught.value) and str(caught.value).count("\n") == 0
    kept = dict(sqlite3.connect(cache).execute("SELECT text, translation FROM translations"))
    assert kept == {text: text for text in texts[:4]}


def test_lines_that_shift_without_changing_their_number_are_seen():
    swapped = program("i = 4\nfor line in lines[:i] + lines[i + 1:] + ['x']: say(line)")  # one lost, another made up
    with pytest.raises(InputError, match="^row "):
        make_translator(swapped).translate([f"Number {number}." for number in range(9)], "en", "de")


def test_what_a_program_has_started_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATIENCE", 1.0)
    late = tmp_path / "late"
    with pytest.raises(InputError, match="nothing in 1 seconds"):
        make_translator(f"command:bash -c '(sleep 2; touch {late}) | cat' en de").translate(["One."], "en", "de")
    time.sleep(1.5)
    assert not late.exists()


def test_a_batch_that_only_halves_of_can_be_asked_is_translated():
    short = program("if len(lines) > 6: sys.exit(1)\nfor line in lines: say(line.upper())")
    texts = [f"Number {number}." for number in range(10)]
    assert make_translator(short).translate(texts, "en", "de") == [text.upper() for text in texts]


@pytest.mark.parametrize(
    ("text", "given", "kept"),
    [
        ("A zzqx.", "Un *zzqx.", "Un zzqx."),
        ("Made of steel.", "De l'*acier, #hecho non-*steel @de 2.4*Ghz", "De l'acier, hecho non-steel de 2.4Ghz"),
        ("Write to me@x.com, 3 * 4 # 5", "A me@x.com, 3 * 4 # 5", "A me@x.com, 3 * 4 # 5"),
        ("A *starred* zzqx", "Un *starred* *zzqx #ser", "Un *starred* *zzqx ser"),
        ("The tag #news", "La #news *zzqx", "La #news zzqx"),
    ],
)
def test_marks_of_unknown_words_are_taken_off_but_not_what_the_sentence_has(text, given, kept):
    says = program(f"for line in lines: say(line and {given!r})", "{source} {target}")
    assert make_translator(says).translate([text], "en", "de") == [kept]


def test_a_program_that_is_not_there_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text("One cat.\n")
    keys = ["--input", tmp_path / "text.txt", "--languages", "en,de", "--unit", "sentence", "--documents", "rows"]
    keys += ["--probability", 1, "--out", tmp_path / "out.jsonl", "--translator"]
    assert call(load_script("FT/mix.py"), [*keys, "command:no_such_program en de"], monkeypatch) == 2
    assert "no_such_program" in capsys.readouterr().err and not (tmp_path / "out.jsonl").exists()


def test_mixing_with_a_command_names_document_and_unit(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text("One cat. Two dogs.\nThree birds.\n")
    keys = ["--input", tmp_path / "text.txt", "--languages", "en,de", "--unit", "sentence", "--documents", "rows"]
    keys += ["--probability", 1, "--out", tmp_path / "out.jsonl"]
    bad = program("for line in lines:\n if 'dogs' in line: sys.exit(3)\n say(line.upper())")
    mix = load_script("FT/mix.py")
    assert call(mix, [*keys, "--translator", bad], monkeypatch) == 2
    assert "document 0, unit 1: " in capsys.readouterr().err
    assert call(mix, [*keys, "--translator", GOOD], monkeypatch) == 0
    assert "ONE CAT. TWO DOGS." in (tmp_path / "out.jsonl").read_text()


def test_the_papers_protocol_refuses_a_command(tmp_path, monkeypatch):
    module = load_script("Translation/translation_protocol.py")
    with pytest.raises(InputError, match="protocol paper is for causal LMs"):
        module.paper_translator(GOOD)


@pytest.mark.skipif(not shutil.which("apertium"), reason="apertium is not installed")
def test_apertium_translates_each_sentence_as_if_it_were_alone():
    texts = ["He has not", "been there", "No stop here", "The next one", "A zzqx dog."]
    translator = make_translator("command:apertium {source3}-{target3}")
    try:
        together = translator.translate(texts, "en", "es")
    except InputError:
        pytest.skip("apertium has no data for eng-spa")
    assert together == [translator.translate([text], "en", "es")[0] for text in texts]
    assert not any("*" in text for text in together) and "perro" in together[-1]
