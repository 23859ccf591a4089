"""FT/mix.py: units, languages, layouts, the bytes that a seed decides, kills and processes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from common.cli import InputError
from tests.scripts import ROOT, call, load_script

ARMS = {
    "english": ["--unit", "sentence", "--probability", "0"],
    "document": ["--unit", "document"],
    "sentence": ["--unit", "sentence"],
    "words": ["--unit", "words", "--unit-size", "8"],
    "word": ["--unit", "word", "--probability", "0.3"],
    "parallel": ["--unit", "sentence", "--layout", "parallel"],
    "interleaved": ["--unit", "paragraph", "--layout", "interleaved"],
}
TEXT = " \n = First = \n\n The dog sleeps . The cat runs !\n A red house , 5 @,@ 000 dogs .\n\n = = Part = = \n\n"
TEXT += " The end .\n\n = Second = \n\n One two three four five six seven eight nine ten .\n"


script = load_script("FT/mix.py")
segments = load_script("FT/segments.py")


@pytest.fixture
def mix(monkeypatch):
    """FT/mix.py with these arguments; fails where it does."""

    def run(*arguments):
        assert call(script, arguments, monkeypatch) == 0

    return run


def read(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def small(tmp_path):
    """A corpus of two documents and a dictionary of a few words."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "words").mkdir()
    for language, word in (("de", "Hund"), ("fr", "chien")):
        (tmp_path / "words" / f"en-{language}.tsv").write_text(f"dog\t{word}\n", encoding="utf-8")
    common = ["--input", tmp_path / "text.txt", "--dictionary", tmp_path / "words", "--languages", "en,de,fr"]
    return tmp_path, common


def test_documents_headings_and_spans(mix, small):
    folder, common = small
    mix(*common, "--unit", "sentence", "--probability", "1", "--out", folder / "out.jsonl")
    rows = read(folder / "out.jsonl")
    assert [row["doc_id"] for row in rows] == [0, 1] and rows[0]["text"].startswith("= First =\n")
    for row in rows:
        spans = row["languages"]
        assert [span["start"] for span in spans] == [0, *(span["end"] for span in spans[:-1])]
        assert spans[-1]["end"] == len(row["text"])
        assert {span["language"] for span in spans} <= {"de", "fr"}
    assert "The Hund sleeps" in rows[0]["text"] or "The chien sleeps" in rows[0]["text"]


def test_a_row_of_several_lines_is_a_document_whatever_it_begins_with(mix, small):
    folder, common = small
    texts = ["= A dog =\n\nA red dog.\n", "= Alone =", "No title.\nA dog.", "= B =\nA house.\n"]
    lines = [json.dumps({"text": text}) for text in texts]
    for number, order in enumerate((lines, lines[1:], lines[2:], lines[::-1])):
        (folder / "rows.jsonl").write_text("\n".join(order) + "\n")
        out = folder / f"out{number}.jsonl"
        mix(*common, "--input", folder / "rows.jsonl", "--probability", "0", "--out", out)
        found = [row["text"] for row in read(out)]
        expected = ["\n".join(filter(None, json.loads(line)["text"].split("\n"))) for line in order]
        assert found == expected


def test_detokenize_undoes_wikitexts_tokens(mix, small):
    folder, common = small
    mix(*common, "--probability", "0", "--detokenize", "true", "--out", folder / "out.jsonl")
    assert "A red house, 5,000 dogs." in read(folder / "out.jsonl")[0]["text"]


def test_parallel_keeps_both_and_interleaved_keeps_to_one_language(mix, small):
    folder, common = small
    for layout in ("parallel", "interleaved"):
        out = folder / f"{layout}.jsonl"
        mix(*common, "--unit", "sentence", "--layout", layout, "--probability", "1", "--out", out)
        for row in read(out):
            languages = [span["language"] for span in row["languages"]]
            assert languages[::2] == ["en"] * (len(languages) // 2) and "en" not in languages[1::2]
            assert layout == "parallel" or len(set(languages)) == 2


def test_parquet_holds_the_same(mix, small):
    folder, common = small
    for suffix in ("jsonl", "parquet"):
        mix(*common, "--out", folder / f"out.{suffix}")
    table = pd.read_parquet(folder / "out.parquet")
    rows = read(folder / "out.jsonl")
    assert table["text"].tolist() == [row["text"] for row in rows]
    assert [list(spans) for spans in table["languages"]] == [row["languages"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--languages", "en,xx"], "unknown language 'xx'"),
        (["--probability", "1.5"], "probability is 1.5"),
        (["--out", "out.txt"], ".jsonl or .parquet"),
        (["--documents", "rows", "--input", "nowhere.txt"], "nowhere.txt"),
        (["--languages", "en,it"], "en-it.tsv"),
        (["--no-such-key", "1"], "no_such_key"),
        (["--seed", "-1"], "seed is -1"),
        (["--out", ""], "out is empty"),
        (["--input", "{folder}/text.json"], "text.json"),
        (["--input", "{folder}/words"], "words"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(monkeypatch, capsys, small, arguments, said):
    folder, common = small
    arguments = [word.format(folder=folder) for word in arguments]
    assert call(script, [*common, "--out", folder / "out.jsonl", *arguments], monkeypatch) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out.jsonl").exists()


class Stripping:
    """A translator as causal LMs are: what it says has no white space around it."""

    identity = "stripping"

    def translate(self, texts, source, target):
        for row, text in enumerate(texts):
            if "broken" in text:
                raise InputError(f"row {row}: no translation")
        return ["" if text.strip() == "nothing" else f"<{text.strip()}>" for text in texts]


def test_the_white_space_of_a_unit_stays_and_what_fails_has_its_own_number():
    scheme = segments.Scheme(("en", "de"), "words", 8, "replace", 1.0, 42)
    units = ["One two. ", "Three\n", " \n", "four"]
    text, spans = segments.mix(units, ["de", "en", "de", "de"], scheme, Stripping())
    assert text == "<One two.> Three\n \n<four>" and [span.language for span in spans] == ["de", "en", "de", "de"]
    with pytest.raises(InputError, match="row 3: no translation"):
        segments.mix(["a ", "b ", "c ", "broken"], ["en", "de", "en", "de"], scheme, Stripping())
    with pytest.raises(InputError, match="row 1: the translation of 'nothing ' into de is empty"):
        segments.mix(["a ", "nothing "], ["en", "de"], scheme, Stripping())


def test_a_causal_model_is_asked_for_a_line_at_a_time():
    class Causal(Stripping):
        identity = "causal folder:0 auto"

        def translate(self, texts, source, target):
            assert not any("\n" in text for text in texts)
            return super().translate(texts, source, target)

    scheme = segments.Scheme(("en", "de"), "words", 8, "replace", 1.0, 42)
    text, _ = segments.mix(["One two.\n\n Three \n", "four"], ["de", "en"], scheme, Causal())
    assert text == "<One two.>\n\n <Three> \nfour"
    with pytest.raises(InputError, match="row 1: no translation"):
        segments.mix(["a\nb", "c\nbroken"], ["de", "de"], scheme, Causal())
    with pytest.raises(InputError, match="row 0: the translation of 'nothing' into de is empty"):
        segments.mix(["a\nnothing"], ["de"], scheme, Causal())


def test_words_that_stay_as_they_were_are_counted(mix, small):
    folder, common = small
    (folder / "text.txt").write_text("A dog sees a dog 5 .\n", encoding="utf-8")
    keys = ("--documents", "rows", "--unit", "sentence", "--probability", "1", "--languages", "en,de")
    for layout in ("replace", "parallel"):
        mix(*common, *keys, "--layout", layout, "--out", folder / f"{layout}.jsonl")
        table = pd.read_csv(folder / f"{layout}.jsonl.summary.csv").set_index("language")
        assert table.loc["de", "untranslated_share"] == pytest.approx(3 / 5), "A, sees, a; not the number, nor the dot"
    assert Path(folder / "replace.jsonl").read_text(encoding="utf-8").count("Hund") == 2


def test_another_configuration_does_not_overwrite(monkeypatch, capsys, small):
    folder, common = small
    arguments = [*common, "--out", folder / "out.jsonl"]
    assert call(script, arguments, monkeypatch) == 0
    before = (folder / "out.jsonl").read_bytes()
    assert call(script, arguments, monkeypatch) == 0 and "up to date" in capsys.readouterr().out
    assert call(script, [*arguments, "--seed", "7"], monkeypatch) == 2
    assert "another configuration" in capsys.readouterr().err
    assert (folder / "out.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (b'{"text": null}', "row 1: text is None"),
        (b'{"text": 7}', "row 1: text is 7"),
        (b'{"text": ["a"]}', "row 1: text is ['a']"),
        (b'{"text": "a"}\n\n', "row 2: not a JSON object with the key text"),
        (b'{"text": "\\ud800"}', "row 1: text has '\\ud800', half a character"),
        ('{"text": "\u00fc"}'.encode("latin-1"), "row 1: not a JSON object with the key text, in UTF-8"),
    ],
)
def test_a_malformed_corpus_is_refused_by_row(monkeypatch, capsys, small, rows, said):
    folder, common = small
    (folder / "text.jsonl").write_bytes(rows)
    keys = ["--input", folder / "text.jsonl", "--documents", "rows", "--out", folder / "out.jsonl"]
    assert call(script, [*common, *keys], monkeypatch) == 2
    assert f"text.jsonl {said}" in capsys.readouterr().err and not (folder / "out.jsonl").exists()


@pytest.mark.parametrize("provenance", [None, "", "{", "[]", "\udcff"])
def test_a_corpus_of_unknown_origin_stays(monkeypatch, capsys, small, provenance):
    folder, common = small
    (folder / "out.jsonl").write_text("mine")
    if provenance is not None:
        (folder / "out.jsonl.run.json").write_bytes(provenance.encode(errors="surrogateescape"))
    assert call(script, [*common, "--out", folder / "out.jsonl"], monkeypatch) == 2
    assert "out.jsonl: from another configuration" in capsys.readouterr().err
    assert (folder / "out.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"), [("a file", "Not a directory"), ("a folder with others' files", "holds mine.txt, which is not")]
)
def test_others_shards_stay(monkeypatch, capsys, small, name, said):
    folder, common = small
    shards = folder / "out.jsonl.shards"
    if name == "a file":
        shards.write_text("mine")
    else:
        shards.mkdir()
        (shards / "mine.txt").write_text("mine")
    assert call(script, [*common, "--out", folder / "out.jsonl"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert str(shards) in error and "Traceback" not in error and shards.exists()
    assert name == "a file" or (shards / "mine.txt").read_text() == "mine"


def test_a_shard_that_was_cut_short_is_named(mix, monkeypatch, capsys, small):
    folder, common = small

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(script, "summarize", stop)
        assert call(script, [*common, "--out", folder / "out.jsonl"], monkeypatch) == 130
    (shard,) = folder.glob("out.jsonl.shards/*/000000.jsonl")
    shard.write_bytes(shard.read_bytes()[:-20])
    assert call(script, [*common, "--out", folder / "out.jsonl"], monkeypatch) == 2
    assert "000000.jsonl: cut short or changed; delete it" in capsys.readouterr().err
    shard.unlink()
    mix(*common, "--out", folder / "out.jsonl")
    assert not shard.parents[1].exists()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_and_a_second_process_is_refused(small, stop):
    folder, common = small
    text = "\n".join(f"Sentence {i} has a dog in it ." for i in range(60_000))
    (folder / "text.txt").write_text(text)
    keys = [*common, "--documents", "rows", "--unit", "word", "--processes", "2", "--out", folder / "out.jsonl"]
    command = [sys.executable, str(ROOT / "FT/mix.py"), *map(str, keys)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    workers = []
    deadline = time.monotonic() + 300
    while len(workers) < 2 or not list(folder.glob("out.jsonl.shards/*/*.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        workers = children(process.pid)
        time.sleep(0.01)
    if stop == signal.SIGTERM:
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2 and f"process {process.pid} on" in second.stderr and process.poll() is None
    process.send_signal(stop)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[stop]
    assert "Traceback" not in error and (stop == signal.SIGKILL or "stopped: the same command goes on" in error)
    deadline = time.monotonic() + 60  # of its own: the first may be nearly over on a busy machine
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """The spawned workers of a process, which are its children but for the tracker of resources."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == parent:
                found += [int(path.parent.name)] * (b"spawn_main" in path.with_name("cmdline").read_bytes())
    return found


@pytest.fixture
def wikitext(real_data):
    return ["--input", real_data / "wikitext2/test.txt", "--dictionary", real_data / "dictionaries"]


@pytest.mark.parametrize("arm", ARMS)
def test_real_text_has_the_shares_and_switches_that_were_asked_for(mix, wikitext, tmp_path, arm):
    mix(*wikitext, *ARMS[arm], "--out", tmp_path / "out.jsonl")
    summary = pd.read_csv(tmp_path / "out.jsonl.summary.csv").set_index("language")
    rows, every = summary.drop(index="all"), summary.loc["all"]
    if arm in ("parallel", "interleaved"):
        assert abs(rows.loc["en", "units"] / rows["units"].sum() - 1 / 1.8) < 0.02
        return
    assert (abs(rows["unit_share"] - rows["share_asked"]) <= 0.02).all()
    assert abs(every["switch_share"] - every["switch_share_asked"]) <= 0.02
    if arm == "words":
        assert abs(every["switches_per_100_words"] / (100 / 8 * 0.8) - 1) <= 0.02


def test_one_and_four_processes_and_a_kill_give_the_same_bytes(mix, wikitext, tmp_path):
    arguments = [*wikitext, "--unit", "sentence"]
    mix(*arguments, "--out", tmp_path / "one.jsonl")
    command = [sys.executable, str(ROOT / "FT/mix.py"), *map(str, arguments), "--out"]
    subprocess.run([*command, str(tmp_path / "four.jsonl"), "--processes", "4"], check=True, capture_output=True)
    killed = tmp_path / "killed.jsonl"
    command.append(str(killed))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and not list(tmp_path.glob("killed.jsonl.shards/*/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    mix(*arguments, "--out", killed)
    expected = (tmp_path / "one.jsonl").read_bytes()
    assert (tmp_path / "four.jsonl").read_bytes() == killed.read_bytes() == expected
    summaries = [(tmp_path / f"{name}.jsonl.summary.csv").read_bytes() for name in ("one", "four", "killed")]
    assert summaries[0] == summaries[1] == summaries[2]
