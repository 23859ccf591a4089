"""CSV files that users write: every cell as text, every row as wide as the header."""

import os
from collections.abc import Sequence

import pandas as pd

from common.cli import InputError
from common.questions import read_csv_rows


def read_rows(path: str | os.PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """The table; InputError naming file and row for a missing or repeated column, no rows, or too many or few cells."""
    header, *rows = read_csv_rows(path) or [[]]
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
