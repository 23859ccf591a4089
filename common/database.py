"""SQLite files that keep what costs time or money to get again: translations, and the replies of servers."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from common.cli import InputError

LOCK_SECONDS = 120.0  # wait for another process that writes to the file
ADVICE = {
    sqlite3.SQLITE_FULL: "make room and run the same command again",
    sqlite3.SQLITE_IOERR: "make room or mend the disk, and run the same command again",
    sqlite3.SQLITE_BUSY: "let the other process that writes to it end",
} | dict.fromkeys((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY), "name a file in a folder that can be written to")


@contextmanager
def database(path: str | os.PathLike, table: str) -> Iterator[sqlite3.Connection]:
    """A connection to a file, which is made with `table` if it is not there; it may be shared with other processes.

    What SQLite says of the file in the block is an InputError that names it. ":memory:" is no file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as connection:
            with connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            yield connection
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes have more bits
        advice = ADVICE.get(code, "move it away; what it holds is then asked for again")
        raise InputError(f"{path}: {error}; {advice}") from error
