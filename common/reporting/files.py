"""Write a file whole or not at all: a temporary name in the same folder, then a rename."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[TextIO]:
    """A file to write UTF-8 text to, line ends as given; it takes its name when the block ends without an error.

    The parent folder is made; an older file is replaced at once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: that makes files which only their owner may read. A random name also holds across machines.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_atomic(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 with the line ends it has; the parent folder is made; an older file is replaced at once."""
    with atomic_file(path) as file:
        file.write(text)


def write_csv_atomic(path: str | os.PathLike, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as CSV, without its index, `\\n` line ends on every system, floats as `float_format` ("%.6f")."""
    write_text_atomic(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def write_json_atomic(path: str | os.PathLike, value: Any) -> None:
    """Write JSON, indented, non-ASCII text readable; NaN and infinity are a ValueError because JSON has neither."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def remove_temporary_files(folder: str | os.PathLike) -> None:
    """Remove what writers killed in the middle left in `folder` and below; call it while no one else writes there."""
    for path in Path(folder).rglob(f".*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def read_text(path: Path) -> pd.DataFrame:
    """A CSV file with every cell as text: an id such as 007 or a subject called "nan" stays what it is."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)
