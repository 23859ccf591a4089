"""Read the domain quiz in several languages: from a hub, a folder or one CSV file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.cli import InputError
from common.languages import LANGUAGES
from common.parallel_data import Row, Tables, dataset_rows, take, text_of
from common.questions import FOUR, check_question, monolingual, read_csv_rows

CELLS = ("question", *FOUR)
ANSWER = "GT"
SUBJECT = "quiz"  # of a question without a category
EVERYTHING = "all"  # of all questions together, in tables


def read_quiz(data: str, languages: Sequence[str]) -> dict[str, Tables]:
    """The quiz by language, text unchanged; rows may also have `id` and `category`.

    Args:
        data: a CSV file with GT and, for each language, question_<code>, A_<code> to D_<code>; a folder of
            <Language>.csv files (English.csv, German.csv) with question, A, B, C, D, GT; or a data set with these
            columns and the languages as splits (cross-ling-know/HarryPotter-Quiz or a copy of it).
        languages: ISO codes.

    Raises InputError, naming file and row, for what is missing or malformed.
    """
    path = Path(data)
    if path.is_file():
        rows = named_rows(path)
        return {code: table(data, one_language(rows, code), code) for code in languages}
    tables = {}
    for code in languages:
        name = LANGUAGES[code].name
        file = path / f"{name}.csv"
        if any(path.glob("*.csv")) and not file.is_file():
            raise InputError(f"{file}: no such file; add the questions in {name} or leave {code} out")
        place = str(file) if file.is_file() else f"{data} ({name})"
        tables[code] = table(place, named_rows(file) if file.is_file() else dataset_rows(data, None, name), code)
    return tables


def named_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column name."""
    header, *rows = list(read_csv_rows(path)) or [[]]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells where the header has {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def one_language(rows: Iterable[Mapping[str, str]], code: str) -> list[dict[str, str]]:
    """The rows of one language of a file with all languages: `question_de` becomes `question`, and so on."""
    cells = {f"{cell}_{code}": cell for cell in CELLS}
    return [{cells.get(name, name): text for name, text in row.items()} for row in rows]


def table(name: str, records: Iterable[Mapping[str, Any]], language: str) -> Tables:
    """The questions of one language by category; the id of a row without one is its number."""
    rows: dict[str, list[Row]] = {}
    for number, record in enumerate(records, 1):
        where = f"{name}, row {number}"
        question, *options, answer = (text_of(cell, where) for cell in take(record, (*CELLS, ANSWER), where))
        subject = str(record.get("category") or SUBJECT)
        if subject == EVERYTHING:
            raise InputError(f"{where}: category {EVERYTHING!r} is that of all questions together; name it otherwise")
        name_of_row = str(record.get("id") or f"{number:04d}")
        item = monolingual(name_of_row, subject, "", question, options, answer.strip(), language)
        check_question(item, where)
        rows.setdefault(subject, []).append(Row(where, item))
    if not rows:
        raise InputError(f"{name}: no questions")
    return Tables(name, rows)
