"""Write a file whole or not at all, by a temporary name in the same folder; one command at a time in a run folder."""

import fcntl
import json
import os
import re
import shutil
import socket
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from common.cli import InputError, held

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.unfinished(\.\w+)?")  # names of temporary files
LOCK = ".lock"
FORMULA = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)  # how a cell begins that a spreadsheet would run, but for a quote


@contextmanager
def temporary_file(path: str | os.PathLike, suffix: str = "") -> Iterator[Path]:
    """A name for a file or folder, which becomes `path` when the block ends without an error, replacing an older file.

    The parent folder is made. What the system says of the temporary name, it says of `path`.
    """
    path = Path(path)
    # Not tempfile: that makes files which only their owner may read. A random name also holds across machines.
    temporary = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex}.unfinished{suffix}")
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # where nothing was written
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
            if made:
                path.parent.rmdir()
        if isinstance(error, OSError):
            name = str(error.filename or path).replace(str(temporary), str(path))
            error.filename, error.filename2 = name, None
        raise


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[TextIO]:
    """A file to write UTF-8 text to, line ends as given; see `temporary_file`."""
    with temporary_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield file


def write_text_atomic(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 with the line ends it has; the parent folder is made; an older file is replaced at once."""
    with atomic_file(path) as file:
        file.write(text)


def quoted(cell: Any) -> Any:
    """The cell, with a single quote in front where it is a text that spreadsheet programs would run as a formula."""
    if not (isinstance(cell, str) and FORMULA.match(cell)):
        return cell
    try:
        list(map(float, cell.split()))
    except ValueError:
        return f"'{cell}"
    return cell  # numbers


def unquoted(cell: Any) -> Any:
    """The cell that was given to `quoted`."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell


def csv_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A table as CSV, without its index, `\\n` line ends on every system, floats as `float_format` ("%.6f")."""
    return table.map(quoted).to_csv(index=False, lineterminator="\n", float_format=float_format)


def write_csv_atomic(path: str | os.PathLike, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write `csv_text`."""
    write_text_atomic(path, csv_text(table, float_format))


def read_csv(path: str | os.PathLike, **keys: Any) -> pd.DataFrame:
    """What `write_csv_atomic` was given; `keys` are those of pandas.read_csv."""
    return pd.read_csv(path, **keys).map(unquoted)


def write_json_atomic(path: str | os.PathLike, value: Any) -> None:
    """Write JSON, indented, non-ASCII text readable; NaN and infinity are a ValueError because JSON has neither."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def claim(folder: str | os.PathLike, mark: str = "run.json") -> None:
    """Make this process the only one that writes to a run folder until it ends; call it before anything is written.

    What killed writers left in it is removed. Raises InputError where another process holds the folder (with WAIT=1 or
    --wait it waits), or where the folder holds files and is not ours: never claimed for `mark`, and without this file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def refuse_foreign(lock: str) -> None:
        foreign = next((entry for entry in sorted(folder.iterdir()) if not entry.is_dir() and entry.name != LOCK), None)
        if foreign and mark not in lock and not (folder / mark).exists():
            raise InputError(f"{folder}: holds {foreign.name}, which is not of this command; name a new folder")

    own = f"process {os.getpid()} on {socket.gethostname()} ({mark})"
    while True:
        if not (folder / LOCK).exists():
            refuse_foreign("")  # before anything is written
        file = open(folder / LOCK, "a+")  # noqa: SIM115 (the lock lasts as long as the file is open)
        held.callback(file.close)
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if (holder := file.read()) == own:
                return
            if os.environ.get("WAIT", "0") in ("", "0"):
                raise InputError(f"{folder}: {holder} writes there; let it end, or wait with --wait") from None
            print(f"{folder}: waiting for {holder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK)):
                break
        folder.mkdir(parents=True, exist_ok=True)  # the other process has removed it
    refuse_foreign(file.read())
    file.truncate(0)
    file.write(own)
    file.flush()
    remove_unfinished((*folder.iterdir(), *folder.glob("units/*/.*")))


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove those of the files that a killed `temporary_file` left."""
    for path in paths:
        if UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def read_text(path: Path, **keys: Any) -> pd.DataFrame:
    """A CSV file with every cell as text: an id such as 007 or a subject called "nan" stays what it is."""
    return read_csv(path, dtype=str, keep_default_na=False, **keys)
