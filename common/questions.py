"""A multiple-choice question with two to 26 options, and the CSV file of one setting's questions.

    id,subject,context,question,A,B,...,answer,context_language,question_language,A_language,B_language,...

A file has as many option columns as its largest question; smaller questions leave the last ones empty.
"""

import csv
import os
import re
import string
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cli import InputError
from common.languages import LANGUAGES
from common.reporting.files import quoted, unquoted, write_text_atomic

LETTERS = tuple(string.ascii_uppercase)
FOUR = LETTERS[:4]  # of data sets that always have four options
MIXED = "mixed"  # language of a text whose languages are unknown
_BEFORE = ["id", "subject", "context", "question"]
_BETWEEN = ["answer", "context_language", "question_language"]


@dataclass(frozen=True, slots=True)
class Question:
    """One multiple-choice question; `context` and `context_language` are empty where there is no passage."""

    id: str
    subject: str
    context: str
    question: str
    options: tuple[str, ...]
    answer: str  # the letter of the correct option
    context_language: str
    question_language: str
    option_languages: tuple[str, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of its options, A first."""
        return LETTERS[: len(self.options)]


def monolingual(
    id: str, subject: str, context: str, question: str, options: Iterable[str], answer: str, language: str
) -> Question:
    """A Question with every part in `language`."""
    options = tuple(options)
    languages = (language if context else "", language, (language,) * len(options))
    return Question(id, subject, context, question, options, answer, *languages)


def check_question(item: Question, where: str) -> None:
    """Raise InputError, naming `where` ("FILE, row N"), for an empty field, an unknown answer or language."""
    for name in ("id", "subject", "question"):
        if not getattr(item, name).strip():
            raise InputError(f"{where}: the {name} is empty; fill it in or leave the question out in every language")
    if not 2 <= len(item.options) <= len(LETTERS):
        raise InputError(f"{where}: {len(item.options)} options where 2 to {len(LETTERS)} are needed")
    for letter, option, code in zip(item.letters, item.options, item.option_languages, strict=True):
        if not option.strip():
            raise InputError(
                f"{where}: option {letter} is empty (language {code}); fill it in or leave the question out everywhere"
            )
    if item.answer not in item.letters:
        *first, last = item.letters
        raise InputError(f"{where}: the answer is {item.answer!r}; it must be {', '.join(first)} or {last}")
    texts = f"{item.id}{item.subject}{item.context}{item.question}{''.join(item.options)}"
    if bad := re.search("[\0\ud800-\udfff]", texts):
        raise InputError(f"{where}: the character {bad[0]!r} is no text; remove it")
    used = [item.question_language, *item.option_languages, *([item.context_language] if item.context else [])]
    for code in used:
        if code != MIXED and code not in LANGUAGES:
            raise InputError(f"{where}: unknown language {code!r}: use one of {', '.join(LANGUAGES)} or {MIXED}")


def filled(cells: Sequence[str]) -> list[str]:
    """The cells without empty ones at the end: the options of a question that has fewer than others in its file."""
    count = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return list(cells[:count])


def header_of(options: int) -> list[str]:
    """Column names of a file whose largest question has `options` options."""
    letters = LETTERS[:options]
    return [*_BEFORE, *letters, *_BETWEEN, *(f"{letter}_language" for letter in letters)]


def read_questions(path: str | os.PathLike) -> list[Question]:
    """The questions of a `<setting>.csv`, in file order; every cell is text, "None" and "NA" too.

    Raises InputError naming file and row (counted from 1 below the header) for a wrong header or number of cells, a
    duplicate id, and whatever `check_question` refuses.
    """
    rows = read_csv_rows(path)
    header = next(rows, [])
    most = (len(header) - len(_BEFORE) - len(_BETWEEN)) // 2
    if not 2 <= most <= len(LETTERS) or header != header_of(most):
        raise InputError(
            f"{path}: the first line must be {','.join(header_of(len(FOUR)))}; build the file with build_variants.py"
        )
    items, seen, tuples = [], set(), {}  # most questions share the tuple of their options' languages
    for number, row in enumerate(([sys.intern(unquoted(cell)) for cell in row] for row in rows), 1):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} cells where the header has {len(header)}")
        options, languages = row[4 : 4 + most], row[7 + most :]
        count = max(len(filled(options)), len(filled(languages)))
        spoken = tuple(languages[:count])
        spoken = tuples.setdefault(spoken, spoken)
        item = Question(*row[:4], tuple(options[:count]), *row[4 + most : 7 + most], spoken)
        check_question(item, where)
        if item.id in seen:
            raise InputError(f"{where}: id {item.id!r} is given twice; ids must be unique")
        seen.add(item.id)
        items.append(item)
    if not items:
        raise InputError(f"{path}: no questions below the header")
    return items


def write_questions(path: str | os.PathLike, items: Sequence[Question]) -> None:
    """Write `<setting>.csv` whole or not at all: UTF-8, `\\n` line ends, quotes only where a cell needs them."""
    most = max(len(item.options) for item in items)
    rows = [header_of(most)]
    for item in items:
        missing = [""] * (most - len(item.options))
        cells = (item.id, item.subject, item.context, item.question, *item.options, *missing, item.answer)
        rows.append([*cells, item.context_language, item.question_language, *item.option_languages, *missing])
    # Not csv.writer: before Python 3.13 it does not quote a lone carriage return, which then ends the row.
    write_text_atomic(path, "".join(",".join(map(_cell, row)) + "\n" for row in rows))


def _cell(text: str) -> str:
    text = quoted(text)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def read_csv_rows(path: str | os.PathLike) -> Iterator[list[str]]:
    """The rows of a CSV file as text, without byte-order mark and blank last lines; InputError if it is unreadable."""
    path, blank = Path(path), 0
    csv.field_size_limit(sys.maxsize)  # its default is smaller than some passages
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True):
                yield from [[]] * blank + [row] if row else ()
                blank = 0 if row else blank + 1
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a UTF-8 CSV file: {error}") from error


def by_subject(items: Iterable[Question]) -> dict[str, list[Question]]:
    """Questions by subject, subjects in order of appearance, questions in the order given."""
    subjects: dict[str, list[Question]] = {}
    for item in items:
        subjects.setdefault(item.subject, []).append(item)
    return subjects
