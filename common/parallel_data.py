"""The questions of a benchmark in several languages: compared row by row with English, loaded from a hub.

Every row keeps the place it was read from, so that errors name file and row.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.cli import InputError
from common.languages import get
from common.questions import Question

# Rows in another order disagree in about three answers of four; errors of a data set stay far below this share.
MAX_DROPPED = 0.05


@dataclass(frozen=True)
class Row:
    """A question and where it was read: "FILE, row N"."""

    where: str
    item: Question


@dataclass(frozen=True)
class Tables:
    """The questions of one language and split: the folder, file or data set, and its rows by subject, in order."""

    name: str
    rows: dict[str, list[Row]]


def check_languages(languages: list[str]) -> None:
    """Raise InputError unless the languages are known, each named once, English first."""
    for code in languages:
        get(code)
    if not languages or languages[0] != "en":
        raise InputError("--languages must begin with en, the language that all settings are mixed with")
    if len(set(languages)) < len(languages):
        raise InputError(f"--languages, or --held_out, names a language twice: {','.join(languages)}")


def align(tables: Mapping[str, Tables], on_mismatch: str) -> tuple[dict[str, list[Question]], list[str]]:
    """The questions by language, row for row parallel, and the ids that are left out of every language.

    Raises InputError, naming file and row, for a missing or unknown subject, a duplicate id, and any difference from
    English in the number of rows, id, subject, number of options or passage; in the answer too, unless `on_mismatch` is
    "drop". A question with an empty option in one language, which most sources refuse, is left out as well.
    """
    english = tables["en"]
    refuse_duplicates(english)
    dropped: dict[str, None] = {}
    for table in tables.values():
        for subject, rows in table.rows.items():
            if subject not in english.rows:
                raise InputError(f"{rows[0].where}: subject {subject!r} is not among the English ones ({english.name})")
        for subject, rows in english.rows.items():
            if subject not in table.rows:
                raise InputError(f"{table.name}: no questions of subject {subject!r}, as English has: {rows[0].where}")
            if not table.rows[subject]:
                raise InputError(f"{table.name}: no questions, English has {len(rows)}")
            dropped.update(dict.fromkeys(compare(rows, table.rows[subject], on_mismatch)))
    parallel = {
        code: [row.item for subject in english.rows for row in table.rows[subject] if row.item.id not in dropped]
        for code, table in tables.items()
    }
    return parallel, list(dropped)


def refuse_duplicates(english: Tables) -> None:
    """InputError for an id given twice, and for tables without questions."""
    seen: dict[str, str] = {}
    for row in (row for rows in english.rows.values() for row in rows):
        if row.item.id in seen:
            raise InputError(f"{row.where}: id {row.item.id!r} is also in {seen[row.item.id]}; ids must be unique")
        seen[row.item.id] = row.where
    if not seen:
        raise InputError(f"{english.name}: no questions")


def compare(english: list[Row], rows: list[Row], on_mismatch: str) -> list[str]:
    """The ids whose answers differ from English, or that lack an option; InputError for any other difference."""
    differing = []
    for base, row in zip(english, rows, strict=False):
        a, b = base.item, row.item
        for name in ("id", "subject"):
            if getattr(a, name) != getattr(b, name):
                raise InputError(
                    f"{row.where}: {name} {getattr(b, name)!r} where English has {getattr(a, name)!r} ({base.where}); "
                    "the rows must be the same in the same order"
                )
        if len(a.options) != len(b.options):
            raise InputError(f"{row.where}: {len(b.options)} options where English has {len(a.options)} ({base.where})")
        if bool(a.context) != bool(b.context):
            raise InputError(f"{row.where}: a passage in one language only, see {base.where}; give all or none one")
        if not all(map(str.strip, b.options)):  # refused by the reader unless such questions are to be dropped
            differing.append(a.id)
        elif a.answer != b.answer:
            differing.append(a.id)
            if on_mismatch == "refuse":
                raise InputError(
                    f"{row.where}: answer {b.answer} where English has {a.answer} ({base.where}); correct it, or leave "
                    "such questions out of all languages with --on_mismatch drop"
                )
    if len(rows) != len(english):
        place = rows[min(len(english), len(rows) - 1)].where
        raise InputError(f"{place}: {len(rows)} rows where English has {len(english)} ({english[-1].where} is last)")
    if len(differing) > max(1, MAX_DROPPED * len(english)):
        raise InputError(
            f"{rows[0].where}: from here {len(differing)} of {len(rows)} answers differ from English, or an option is"
            " empty, too many to drop; the rows are probably in another order; use global_mmlu, or not this language"
        )
    return differing


def dataset_rows(name: str, config: str | None, split: str) -> Iterable[Mapping[str, Any]]:
    """One split of a data set on the Hugging Face Hub, or of a local copy of it, with or without its README.md."""
    from datasets import load_dataset  # slow to import, and most sources do without it
    from datasets.exceptions import DatasetsError

    folder = Path(name, config or "")
    try:
        if folder.is_dir() and not Path(name, "README.md").is_file():
            # Files by name, since `datasets` would take "dev" and "validation" for the same split.
            files = f"data/{split}*" if (folder / "data").is_dir() else f"{split}*"
            return load_dataset(str(folder), data_files={split: files}, split=split)
        return load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason, place = " ".join(str(error).split()), f"{config}, {split}" if config else split
        raise InputError(
            f"{name}: not a folder of a known layout (see --help) and no data set with {place}: {reason}"
        ) from error


def json_lines(path: Path) -> Iterator[Any]:
    """The objects of a file with one JSON object a line; InputError naming the row that is none."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            yield json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise InputError(f"{path}, row {number}: not a JSON object: {error}") from error


def take(record: Any, keys: Sequence[str], where: str) -> list[Any]:
    """The values of some keys of a record; InputError naming those that are missing."""
    if missing := [key for key in keys if not isinstance(record, Mapping) or key not in record]:
        raise InputError(f"{where}: a record with {', '.join(keys)} is needed; missing: {', '.join(missing)}")
    return [record[key] for key in keys]


def text_of(cell: Any, where: str) -> str:
    """The cell; InputError unless it is text."""
    if not isinstance(cell, str):
        raise InputError(f"{where}: {cell!r} is not text; write every question, option and answer as text")
    return cell
