"""Read translations in the layout of the paper's released outputs, and parallel sentences such as FLORES.

<hypotheses>/<system>/test-<src>-<tgt>         one translation per line
<hypotheses>/<system>/test-<src>-<tgt>.comet   COMET of each line and of the system, where it was released
<sentences>/<code>.devtest                     one sentence per line, parallel in all languages
Sentences may also be a data set on the hub, or a local copy, with one configuration per FLORES-200 code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.cli import InputError
from common.languages import LANGUAGES, get
from common.parallel_data import dataset_rows, take, text_of
from common.translation.dictionary import read_lines

FILE_NAME = re.compile(r"test-([a-z]+)-([a-z]+)")
FLORES_PLUS = {"zh": "cmn_Hans"}  # configurations of flores_plus that are not named as in FLORES-200


@dataclass(frozen=True)
class Direction:
    """The translations of one system in one direction, parallel to their sources and references."""

    system: str
    source_language: str
    target_language: str
    sources: list[str]
    hypotheses: list[str]
    references: list[str]
    comet_released: float | None

    @property
    def name(self) -> str:
        return f"{self.source_language}-{self.target_language}"


@dataclass(frozen=True)
class Problem:
    """A direction that is not scored, and the reason."""

    system: str
    direction: str
    reason: str


def read_sentences(source: str, code: str, split: str = "devtest") -> list[str]:
    """The sentences of a language (ISO 639-1 code): lines of `<source>/<code>.<split>`, or rows of a data set.

    A data set has one configuration per language under its FLORES-200 code, and a column `text` or `sentence`. Raises
    InputError where there is neither.
    """
    name = get(code).nllb
    if any(Path(source).glob(f"*.{split}")):
        where, found = str(Path(source, f"{code}.{split}")), read_lines(Path(source, f"{code}.{split}"))
    else:
        name = FLORES_PLUS.get(code, name) if "flores_plus" in source else name
        rows, where = list(dataset_rows(source, name, split)), f"{source} ({name}, {split})"
        column = "sentence" if rows and "sentence" in rows[0] else "text"
        places = [(row, f"{where}, row {number}") for number, row in enumerate(rows, 1)]
        found = [text_of(*take(row, (column,), place), place) for row, place in places]
    if not found:
        raise InputError(f"{where}: no sentence in it")
    return found


def languages_of(source: str, default: Sequence[str]) -> list[str]:
    """The languages of a folder's `<code>.devtest`, sorted; `default` for a data set, which has far more."""
    return sorted(path.stem for path in Path(source).glob("*.devtest")) or list(default)


def read_systems(hypotheses: str, references: str, allow_prefix: bool) -> tuple[list[Direction], list[Problem]]:
    """Every direction of every system, and the directions left out: empty files, files of another length.

    With `allow_prefix` a file with fewer lines than references is scored on its lines. Raises InputError where there
    is no system, or references are missing.
    """
    folder = Path(hypotheses)
    systems = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    sentences = cache(lambda code: read_sentences(references, code))
    directions, problems = [], []
    for system in systems:
        for path in sorted(system.glob("test-*-*")):
            match = FILE_NAME.fullmatch(path.name)
            if match is None:
                continue
            source, target = match.groups()
            if unknown := {source, target} - LANGUAGES.keys():
                raise InputError(f"{path}: unknown language {min(unknown)!r}; rename the file, or move it away")
            if len(sentences(source)) != len(sentences(target)):
                counts = f"{len(sentences(source))} sentences in {source}, {len(sentences(target))} in {target}"
                raise InputError(f"{references}: {counts}; they must be parallel")
            found = _direction(path, source, target, sentences(source), sentences(target), allow_prefix)
            (directions if isinstance(found, Direction) else problems).append(found)
    if not directions and not problems:
        raise InputError(f"{hypotheses}: no file <system>/test-<src>-<tgt> in it")
    return directions, problems


def _direction(
    path: Path, source: str, target: str, sources: list[str], references: list[str], allow_prefix: bool
) -> Direction | Problem:
    system, name = path.parent.name, f"{source}-{target}"
    lines = read_lines(path)
    if not any(line.strip() for line in lines):
        return Problem(system, name, "the file is empty")
    if len(lines) > len(references) or (len(lines) < len(references) and not allow_prefix):
        hint = "; --allow-prefix scores the lines there are" if len(lines) < len(references) else ""
        return Problem(system, name, f"{len(lines)} lines for {len(references)} references{hint}")
    n = len(lines)
    return Direction(system, source, target, sources[:n], lines, references[:n], released_comet(path))


def released_comet(path: Path) -> float | None:
    """The system's COMET in the released file beside the translations, as a fraction; None where there is none."""
    comet = path.with_name(f"{path.name}.comet")
    if not comet.exists():
        return None
    if not comet.stat().st_size:
        print(f"note: {comet} is empty; its score is missing")
        return None
    last = read_lines(comet)[-1]
    match = re.fullmatch(r"\S+\tscore: (-?\d+\.\d+)", last)
    if match is None:
        raise InputError(f"{comet}: its last line is {last!r}, not the system's score")
    return float(match[1])
