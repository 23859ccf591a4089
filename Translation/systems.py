"""Read translations laid out as the paper's released outputs: one folder a system, one file a direction.

<hypotheses>/<system>/test-<src>-<tgt>         one translation a line
<hypotheses>/<system>/test-<src>-<tgt>.comet   COMET of each line and of the system, where it was released
<references>/<code>.devtest                    one sentence a line, parallel in all languages
"""

import re
from dataclasses import dataclass
from pathlib import Path

from common.cli import InputError
from common.languages import get

FILE_NAME = re.compile(r"test-([a-z]+)-([a-z]+)")


@dataclass(frozen=True)
class Direction:
    """The translations of one system in one direction, line by line with their sources and references."""

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
    """A direction that is not scored, and why."""

    system: str
    direction: str
    reason: str


def read_lines(path: Path) -> list[str]:
    """The lines of a file; only \\n and \\r\\n end one. InputError where it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def read_systems(hypotheses: str, references: str, allow_prefix: bool) -> tuple[list[Direction], list[Problem]]:
    """Every direction of every system, and those that are left out: empty files, files of another length.

    With `allow_prefix` a file with fewer lines than references is scored on the lines there are. Raises InputError
    where there is no system, or a reference file is missing.
    """
    folder = Path(hypotheses)
    systems = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    directions, problems = [], []
    for system in systems:
        for path in sorted(system.glob("test-*-*")):
            match = FILE_NAME.fullmatch(path.name)
            if match is None:
                continue
            found = _direction(path, *match.groups(), Path(references), allow_prefix)
            (directions if isinstance(found, Direction) else problems).append(found)
    if not directions and not problems:
        raise InputError(f"{hypotheses}: no file <system>/test-<src>-<tgt> in it")
    return directions, problems


def _direction(path: Path, source: str, target: str, references: Path, allow_prefix: bool) -> Direction | Problem:
    for language in (source, target):
        get(language)
    system, name = path.parent.name, f"{source}-{target}"
    lines = read_lines(path)
    sources, wanted = read_lines(references / f"{source}.devtest"), read_lines(references / f"{target}.devtest")
    if len(sources) != len(wanted):
        raise InputError(f"{references}: {source}.devtest has {len(sources)} lines, {target}.devtest {len(wanted)}")
    if not any(line.strip() for line in lines):
        return Problem(system, name, "the file is empty")
    if len(lines) > len(wanted) or (len(lines) < len(wanted) and not allow_prefix):
        hint = "; --allow_prefix scores the lines there are" if len(lines) < len(wanted) else ""
        return Problem(system, name, f"{len(lines)} lines for {len(wanted)} references{hint}")
    n = len(lines)
    return Direction(system, source, target, sources[:n], lines, wanted[:n], released_comet(path))


def released_comet(path: Path) -> float | None:
    """The system's COMET in the released file beside the translations, as a fraction; None where there is none."""
    comet = path.with_name(f"{path.name}.comet")
    if not comet.exists():
        return None
    last = read_lines(comet)[-1] if comet.stat().st_size else ""
    match = re.fullmatch(r"\S+\tscore: (-?\d+\.\d+)", last)
    if match is None:
        raise InputError(f"{comet}: its last line is {last!r}, not the system's score")
    return float(match[1])
