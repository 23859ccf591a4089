"""SQLite files of translations and replies: what is wrong with one is a sentence with its name; it stays as it is."""

import resource
import signal
import sqlite3
from pathlib import Path

import pytest

from common.cli import InputError
from common.database import database
from common.lm.server import Server
from common.translation.cache import CachedTranslator


class Backwards:
    """Says each text backwards."""

    identity = "backwards"

    def translate(self, texts, source, target):
        return [text[::-1] for text in texts]


def translate(path):
    return CachedTranslator(Backwards(), path).translate([f"text {number}" * 100 for number in range(50)], "en", "de")


def ask(path):
    return Server("tiny", replies=path).ask(["Q"], 1)


def folder(path):
    path.mkdir()


def garbage(path):
    path.write_bytes(b"not a database at all " * 100)


def truncated(path):
    translate(path)
    path.write_bytes(path.read_bytes()[:-5000])


def scribbled(path):
    translate(path)
    path.write_bytes(path.read_bytes()[:100] + b"x" * (path.stat().st_size - 100))  # behind the header


def foreign(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE translations (something)")
        other.execute("CREATE TABLE replies (something)")


@pytest.mark.parametrize("use", [translate, ask])
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (folder, "unable to open database file; name a file in a folder that can be written to"),
        (garbage, "file is not a database; move it away"),
        (truncated, "database disk image is malformed; move it away"),
        (scribbled, "database disk image is malformed; move it away"),
        (foreign, "; move it away"),
    ],
)
def test_a_bad_file_is_named_and_left_alone(tmp_path, monkeypatch, use, harm, said):
    pytest.importorskip("openai", reason="bash install.sh --dev installs it")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = tmp_path / "sub" / "kept.sqlite"
    path.parent.mkdir()
    harm(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(InputError) as caught:
        use(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)
    assert (path.is_file() and path.read_bytes()) == before


def test_a_folder_that_is_a_file_or_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OSError) as caught:  # which common.cli.run says in one sentence
        translate(tmp_path / "file" / "kept.sqlite")
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(InputError, match=r"^/proc/kept.sqlite: unable to open database file; name a file in a folder"):
        translate(Path("/proc/kept.sqlite"))


def test_a_file_that_cannot_be_written_to(tmp_path):
    path = tmp_path / "kept.sqlite"
    said = "attempt to write a readonly database; name a file in a folder that can be written to"
    with pytest.raises(InputError, match=f"^{path}: {said}"), database(path, "replies (key TEXT)") as connection:
        connection.execute("PRAGMA query_only=ON")  # as a read-only disk
        connection.execute("INSERT INTO replies VALUES ('x')")


def test_a_full_disk_keeps_what_was_there(tmp_path):
    """A limit on the size of files stands for the disk: the system then refuses to write."""
    path = tmp_path / "kept.sqlite"
    kept = translate(path)
    limits, was = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        with pytest.raises(InputError, match=f"^{path}: .*; make room"):
            CachedTranslator(Backwards(), path).translate(["x" * 100_000], "en", "de")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, was)
    assert translate(path) == kept


def test_a_file_that_another_process_holds(tmp_path, monkeypatch):
    path = tmp_path / "kept.sqlite"
    translate(path)
    monkeypatch.setattr("common.database.LOCK_SECONDS", 0.1)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="database is locked; let the other process that writes to it end"):
            translate(path)
    other.close()


def test_nothing_is_made_before_the_first_translation(tmp_path):
    CachedTranslator(Backwards(), tmp_path / "kept.sqlite")
    assert not [*tmp_path.iterdir()]
