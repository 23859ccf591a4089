"""Whole files or none, one command a folder, and one sentence for whatever the system refuses."""

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time

import pandas as pd
import pytest

from common import cli
from common.cli import InputError, held, sentence_of, without_secrets
from common.questions import monolingual, read_questions, write_questions
from common.reporting import files
from common.reporting.plots import save_figure
from tests.scripts import ROOT, load_script

mix = load_script("FT/mix.py")


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "new" / "table.csv"
    files.write_csv_atomic(path, pd.DataFrame({"a": ["x\ny"], "b": [1 / 3]}), float_format="%.3f")
    assert path.read_bytes() == b'a,b\n"x\ny",0.333\n'
    with pytest.raises(ValueError):
        files.write_json_atomic(path, {"not a number": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        files.write_text_atomic(path, "\ud800")
    assert path.read_bytes().startswith(b"a,b") and list(path.parent.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount_read_only(place):
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)


def draw():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(range(10))
    return figure


BIG = "x" * 10**6
RECORDS = [({"text": f"{BIG}{n}", "doc_id": n, "unit": "word", "languages": []}, None) for n in range(3)]


def corpus(path):
    """FT/mix.py writes its shards elsewhere first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mix, "read_shards", lambda paths: iter(RECORDS))
        mix.write_corpus([path], path)


WRITERS = {
    "table.txt": lambda path: files.write_text_atomic(path, BIG),
    "table.png": lambda path: save_figure(path.with_suffix(""), draw),
    "corpus.jsonl": corpus,
    "corpus.parquet": corpus,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_loses_nothing(small_disk, capsys, writer):
    path = small_disk / writer
    path.write_text("old")
    (small_disk / "rest").write_bytes(b"x" * 50_000)
    code, said = ended(lambda: WRITERS[writer](path), capsys)
    assert code == 2 and said.count("\n") == 1 and said.startswith(f"error: {path}: ")
    assert "[errno 28]" in said or said.endswith("No space left on device; make room and run the same command again\n")
    assert path.read_text() == "old" and sorted(os.listdir(small_disk)) == sorted(["rest", writer])


def test_a_read_only_file_system(small_disk, capsys):
    remount_read_only(small_disk)
    for write in (files.claim, lambda folder: files.write_text_atomic(folder / "deep" / "table.csv", "")):
        code, said = ended(lambda write=write: write(small_disk / "run"), capsys)
        assert code == 2 and "Read-only file system; name a folder that can be written to\n" in said
        assert said.startswith(f"error: {small_disk}")


def ended(main, capsys) -> tuple[int, str]:
    """Exit code and last words of a script."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            cli.run(main)
    finally:
        signal.signal(signal.SIGTERM, before)
    return end.value.code, capsys.readouterr().err


def test_memory_that_is_not_there_is_the_users_to_mend(capsys):
    class OutOfMemoryError(RuntimeError):
        """As torch's, which no test needs a GPU for."""

    def main():
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    code, said = ended(main, capsys)
    assert code == 2 and said.startswith("error: CUDA out of memory.") and said.count("\n") == 1


def below_a_file(tmp_path):
    (tmp_path / "file").touch()
    return tmp_path / "file" / "run"


def circle(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    return tmp_path / "a" / "run"


def a_file(tmp_path):
    (tmp_path / "file").touch()
    return tmp_path / "file"


@pytest.mark.parametrize("place", [below_a_file, circle, a_file, lambda tmp_path: tmp_path / ("x" * 300)])
def test_places_that_are_no_folder(tmp_path, capsys, place):
    place = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for write in (files.claim, lambda folder: files.write_text_atomic(folder / "table.csv", "")):
        code, said = ended(lambda write=write: write(place), capsys)
        assert code == 2 and said.startswith(f"error: {place}") and said.count("\n") == 1 and "; " in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_what_is_not_ours_is_not_written_to(tmp_path):
    (tmp_path / "en.csv").write_text("the user's own")
    with pytest.raises(InputError, match="holds en.csv, which is not of this command"):
        files.claim(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["en.csv"]


def test_a_folder_of_another_kind_is_foreign(tmp_path):
    (tmp_path / "build.json").touch()
    with held:
        files.claim(tmp_path, "build.json")
    with pytest.raises(InputError, match="holds .lock, which is not of this command|holds build.json, which is not"):
        files.claim(tmp_path)


def test_only_temporary_files_of_ours_are_removed(tmp_path):
    ours = f".en.csv.{'0f' * 16}.unfinished"
    kept = [".x.tmp", "0.unfinished", f"{ours}.txt.bak", f"deep/{ours}", "units/a/.mine.tmp"]
    with held:
        files.claim(tmp_path)
    for name in [ours, f"units/a/{ours}", f".plot.{'0f' * 16}.unfinished.png", *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with held:
        files.claim(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {files.LOCK, *kept}


HOLD = """
    import sys, time
    from common.cli import run
    from common.reporting.files import claim

    def main():
        claim(sys.argv[1])
        print("claimed", flush=True)
        time.sleep(float(sys.argv[2]))

    run(main)
"""


def hold(folder, seconds=60, **environment):
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder), str(seconds)]
    keys = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    return subprocess.Popen(command, env=os.environ | environment, **keys)


def test_two_commands_do_not_share_a_folder(tmp_path):
    first = hold(tmp_path)
    assert first.stdout.readline() == "claimed\n"
    with pytest.raises(InputError, match=f"process {first.pid} on .* writes there; let it end, or wait with --wait"):
        files.claim(tmp_path)
    waiting = hold(tmp_path, 0, WAIT="1")
    assert f"waiting for process {first.pid}" in waiting.stderr.readline()
    first.kill()  # what it leaves holds nobody up
    assert waiting.communicate()[0] == "claimed\n" and first.wait() == -signal.SIGKILL
    with held:
        files.claim(tmp_path)
        files.claim(tmp_path)  # the same process may


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_script_says_so(tmp_path, sign, code):
    process = hold(tmp_path)
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(sign)
    assert process.wait() == code
    assert process.stderr.read() == "stopped: the same command goes on from here\n"


def fail():
    raise KeyError("x")


def test_a_fault_of_ours_has_a_traceback_and_another_code(capsys):
    code, said = ended(fail, capsys)
    assert (
        code == 1
        and "in fail" in said
        and said.endswith("a fault of this program; please report it with the lines above\n")
    )


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("DEEPL_API_KEY", "k3y+/=")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    said = "GET http://me:pass@host/v2?auth=k3y%2B%2F%3D failed: k3y+/= hf_abcdef"
    assert without_secrets(said) == "GET http://***@host/v2?auth=*** failed: *** ***"


def test_an_error_of_the_system_without_a_file():
    assert sentence_of(OSError("network is down")) == "network is down"


FORMULAS = ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "'=1", "''=1", "'plain", "-0.5", "1e3", "+7", "", "ab=c", "-inf"]
FORMULAS += ["-", "'-", "+"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_in_a_cell_is_not_run_and_comes_back(tmp_path, text):
    table = pd.DataFrame({"id": [text, "other"], "number": [1.5, -2.0]})
    files.write_csv_atomic(tmp_path / "t.csv", table)
    with open(tmp_path / "t.csv", newline="") as file:
        cell = list(csv.reader(file))[1][0]
    if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and len(cell) > 1:
        float(cell)  # a number is no formula
    assert files.read_text(tmp_path / "t.csv")["id"].tolist() == [text, "other"]
    assert files.read_csv(tmp_path / "t.csv")["number"].tolist() == [1.5, -2.0]
    item = monolingual("q", "s", "", "2 - 3 =", (text or "none", "-1"), "B", "en")
    write_questions(tmp_path / "en.csv", [item])
    if item.options[0].strip():
        assert read_questions(tmp_path / "en.csv") == [item]
