"""Tables that users bring: CSV files with every cell as text, and JSONL files."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from common.cli import InputError
from common.questions import read_csv_rows


def read_rows(path: str | os.PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """The table; InputError naming file and row for a missing or repeated column, no rows, or too many or few cells."""
    header, *rows = list(read_csv_rows(path)) or [[]]
    if missing := [column for column in columns if column not in header]:
        raise InputError(f"{path}: no column {', '.join(missing)}; it needs {','.join(columns)}")
    if twice := [column for column in columns if header.count(column) > 1]:
        raise InputError(f"{path}: column {twice[0]} is there twice; leave one of them out")
    if not rows:
        raise InputError(f"{path}: no rows below the header")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells where the header has {len(header)}")
    return pd.DataFrame(rows, columns=header, dtype=str)


def json_rows(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """("<path>, row 3", the object) of every line of a JSONL file; InputError for other lines and missing keys."""
    empty = True
    with open(path, encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, 1):
                row, where, empty = json.loads(line), f"{path}, row {number}", False
                if not isinstance(row, dict):
                    raise InputError(f"{where}: not a JSON object; it needs {', '.join(keys)}")
                if missing := [key for key in keys if key not in row]:
                    raise InputError(f"{where}: no {missing[0]}; it needs {', '.join(keys)}")
                yield where, row
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text: {error}") from error
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}, row {number}: cannot be read as JSON: {error}") from error
    if empty:
        raise InputError(f"{path}: no rows; get the file again")
