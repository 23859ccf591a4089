"""A multiple-choice question, the settings that mix its languages, and the CSV file of one setting.

A setting says which language each part of the question is in. With a language L other than English:

    en                 everything in English
    full_L             everything in L, the passage too
    question_L         the question in L, the rest in English; likewise
    options_L          all four options
    gt_L               the correct option
    gt_question_L      the correct option and the question
    onewrong_L         one wrong option, drawn from (seed, id), the same for every L
    threewrong_L       the three wrong options
    context_L          the passage alone (only where there is one)
    mixup              question and options in five languages, each once, permuted by (seed, id)
    rev_question_L ... rev_threewrong_L     the named part in English, the rest of question and options in L

The passage is English in every setting but full_L and context_L. Four reversed settings are forward ones under another
name: rev_question = options, rev_options = question, rev_gt_question = threewrong, rev_threewrong = gt_question.
rev_gt and rev_onewrong are new. `mixup_paper` is the paper's own released mixup, read from outside; its languages are
not recorded and stand as "mixed". The released code never takes option A for a wrong option; here A counts like B to D.
"""

import csv
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InputError
from common.files import write_text_atomic
from common.languages import LANGUAGES

LETTERS = ("A", "B", "C", "D")
HEADER = (
    ["id", "subject", "context", "question", "A", "B", "C", "D", "answer"]
    + ["context_language", "question_language", "A_language", "B_language", "C_language", "D_language"]
)  # fmt: skip
MIXED = "mixed"
UNFINISHED = "unfinished"  # a file in a folder of settings while it is being written

_PARTS = ("question", "options", "gt", "gt_question", "onewrong", "threewrong")
_SINGLE = ("en", "mixup", "mixup_paper")
_FAMILIES = ("en", "full", *_PARTS, "context", "mixup", "mixup_paper", *(f"rev_{part}" for part in _PARTS))


@dataclass(frozen=True, slots=True)
class Item:
    """One multiple-choice question; `context` and `context_language` are empty where there is no passage."""

    id: str
    subject: str
    context: str
    question: str
    options: tuple[str, str, str, str]
    answer: str  # a letter of LETTERS
    context_language: str
    question_language: str
    option_languages: tuple[str, str, str, str]


def monolingual(
    id: str, subject: str, context: str, question: str, options: Iterable[str], answer: str, language: str
) -> Item:
    """An Item with every part in `language`."""
    return Item(
        id, subject, context, question, tuple(options), answer, language if context else "", language, (language,) * 4
    )


def check_item(item: Item, where: str) -> None:
    """Raise InputError, naming `where` ("FILE, row N"), for an empty part, an answer outside A-D or a bad language."""
    for name in ("id", "subject", "question"):
        if not getattr(item, name).strip():
            raise InputError(f"{where}: the {name} is empty; fill it in or leave the question out in every language")
    if len(item.options) != len(LETTERS):
        raise InputError(f"{where}: {len(item.options)} options where four are needed")
    for letter, option, code in zip(LETTERS, item.options, item.option_languages, strict=True):
        if not option.strip():
            raise InputError(
                f"{where}: option {letter} is empty (language {code}); fill it in or leave the question out everywhere"
            )
    if item.answer not in LETTERS:
        raise InputError(f"{where}: the answer is {item.answer!r}; it must be A, B, C or D")
    used = [item.question_language, *item.option_languages, *([item.context_language] if item.context else [])]
    for code in used:
        if code != MIXED and code not in LANGUAGES:
            raise InputError(f"{where}: unknown language {code!r}: use one of {', '.join(LANGUAGES)} or {MIXED}")


def read_items(path: str | os.PathLike) -> list[Item]:
    """The questions of `<out>/<setting>.csv`, in file order; rows are counted from 1 below the header.

    Raises InputError naming file and row for a wrong header or number of cells, an id given twice, and all that
    `check_item` refuses. Every cell is text: "None", "NA" and blanks stay as they are.
    """
    rows = read_csv_rows(path)
    if not rows or rows[0] != HEADER:
        raise InputError(f"{path}: the first line must be {','.join(HEADER)}; build the file with build_variants.py")
    items, seen = [], set()
    for number, row in enumerate(rows[1:], 1):
        where = f"{path}, row {number}"
        if len(row) != len(HEADER):
            raise InputError(f"{where}: {len(row)} cells where the header has {len(HEADER)}")
        item = Item(*row[:4], tuple(row[4:8]), *row[8:11], tuple(row[11:15]))
        check_item(item, where)
        if item.id in seen:
            raise InputError(f"{where}: id {item.id!r} is given twice; ids must be unique")
        seen.add(item.id)
        items.append(item)
    if not items:
        raise InputError(f"{path}: no questions below the header")
    return items


def write_items(path: str | os.PathLike, items: Iterable[Item]) -> None:
    """Write `<setting>.csv` whole or not at all: UTF-8, `\\n` line ends, quotes only where a cell needs them."""
    rows = [HEADER]
    for item in items:
        cells = (item.id, item.subject, item.context, item.question, *item.options, item.answer)
        rows.append([*cells, item.context_language, item.question_language, *item.option_languages])
    # Not csv.writer: before Python 3.13 it leaves a cell with a lone carriage return unquoted, which then ends the row.
    write_text_atomic(path, "".join(",".join(map(_cell, row)) + "\n" for row in rows))


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def read_csv_rows(path: str | os.PathLike) -> list[list[str]]:
    """All rows of a CSV file as text, without byte-order mark and blank last lines; InputError if it is unreadable."""
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a UTF-8 CSV file: {error}") from error
    while rows and not rows[-1]:
        rows.pop()
    return rows


def family(setting: str) -> tuple[str, str | None]:
    """The family and language of a setting: "rev_gt_de" -> ("rev_gt", "de"), "mixup" -> ("mixup", None)."""
    if setting in _SINGLE:
        return setting, None
    name, _, code = setting.rpartition("_")
    if name in _FAMILIES and name not in _SINGLE and code in LANGUAGES and code != "en":
        return name, code
    raise InputError(f"unknown setting {setting!r}: use {', '.join(_SINGLE)} or FAMILY_LANGUAGE such as gt_question_de")


def sort_settings(settings: Iterable[str]) -> list[str]:
    """Settings in the order of every table: by family as in the docstring above, then by language as in LANGUAGES."""
    codes = list(LANGUAGES)

    def key(setting: str) -> tuple[int, int]:
        name, code = family(setting)
        return _FAMILIES.index(name), codes.index(code) if code else -1

    return sorted(settings, key=key)


def settings_in(folder: str | os.PathLike) -> list[str]:
    """The settings whose `<setting>.csv` lies in `folder`, in table order; files of other names are not settings."""
    names = []
    for path in Path(folder).glob("*.csv"):
        try:
            family(path.stem)
        except InputError:
            continue
        names.append(path.stem)
    return sort_settings(names)


def expand_settings(names: Sequence[str], available: Sequence[str]) -> list[str]:
    """Turn "all", families ("full") and settings ("full_de") into the settings meant, each once, in table order.

    Raises InputError for a name that is neither, or that matches nothing available.
    """
    chosen = set()
    for name in names:
        found = [setting for setting in available if name in ("all", setting, family(setting)[0])]
        if not found:
            raise InputError(f"setting {name!r} is not there: use all, a family or one of {', '.join(available)}")
        chosen.update(found)
    return sort_settings(chosen)


def build_settings(
    parallel: Mapping[str, Sequence[Item]], languages: Sequence[str], seed: int
) -> dict[str, list[Item]]:
    """Every setting of row-parallel monolingual questions, in table order; each has the rows of `parallel["en"]`.

    `parallel[code]` are the questions in one language, row for row the same ids, subjects and answers (a ValueError
    otherwise). What is drawn depends on the seed and the question's id alone, so a subset of the questions or of the
    settings gets the same draw. `mixup` needs five languages; of more, five are drawn per question, English not forced.
    """
    rows = []
    for row in zip(*(parallel[code] for code in languages), strict=True):
        if len({(item.id, item.subject, item.answer, bool(item.context)) for item in row}) > 1:
            raise ValueError(f"question {row[0].id!r} differs in id, subject, answer or passage between languages")
        rows.append(dict(zip(languages, row, strict=True)))
    settings = {"en": [row["en"] for row in rows]}
    for code in languages:
        if code != "en":
            settings |= _settings_of(code, rows, seed)
    if len(languages) >= 5:
        settings["mixup"] = [_assemble(row, mixup_languages(row["en"].id, languages, seed)) for row in rows]
    return {name: settings[name] for name in sort_settings(settings)}


def _settings_of(code: str, rows: Sequence[Mapping[str, Item]], seed: int) -> dict[str, list[Item]]:
    """Every setting of one language besides English; `rows` are the questions, each in all languages."""
    settings = {f"full_{code}": [row[code] for row in rows]}
    for part in _PARTS:
        fields = [_fields(part, row["en"], seed) for row in rows]
        for name, base, other in ((part, "en", code), (f"rev_{part}", code, "en")):
            settings[f"{name}_{code}"] = [
                _assemble(row, [other if field in chosen else base for field in range(5)])
                for row, chosen in zip(rows, fields, strict=True)
            ]
    if any(row["en"].context for row in rows):
        settings[f"context_{code}"] = [
            replace(row["en"], context=row[code].context, context_language=row[code].context_language) for row in rows
        ]
    return settings


def mixup_languages(id: str, languages: Sequence[str], seed: int) -> list[str]:
    """The languages of question, A, B, C and D in `mixup`: five different ones, drawn from (seed, id)."""
    # Sorted: the order in which the languages are named must not change the draw.
    return random.Random(f"{seed}:{id}:mixup").sample(sorted(languages), 5)


def _fields(part: str, item: Item, seed: int) -> set[int]:
    """The named part of a question as field numbers: 0 is the question, 1 to 4 are the options."""
    correct = 1 + LETTERS.index(item.answer)
    wrong = [field for field in (1, 2, 3, 4) if field != correct]
    if part == "onewrong":
        return {random.Random(f"{seed}:{item.id}:onewrong").choice(wrong)}
    named = {
        "question": {0}, "options": {1, 2, 3, 4}, "gt": {correct}, "gt_question": {0, correct}, "threewrong": set(wrong)
    }  # fmt: skip
    return named[part]


def _assemble(row: Mapping[str, Item], codes: Sequence[str]) -> Item:
    """The question whose question and options come from the languages `codes`; the passage stays English."""
    question, *options = codes
    return replace(
        row["en"],
        question=row[question].question,
        question_language=question,
        options=tuple(row[code].options[index] for index, code in enumerate(options)),
        option_languages=tuple(options),
    )
