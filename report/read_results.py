"""Results of the tasks' scripts, found by their .provenance.json and checked before they are shown.

    results, problems = find_results(["results"])

The files of a result must be those that were written, and the runs behind it must have the configuration that they had
then.
"""

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from common.cli import InputError, sentence_of
from common.reporting.provenance import file_digest, read_run
from common.reporting.results import ENDING


@dataclass(frozen=True)
class Source:
    """A run folder behind a result, the hash of its configuration when the result was made, and its model's name."""

    folder: Path
    hash: str
    model: str


@dataclass(frozen=True)
class Result:
    """What one call of a script wrote.

    Attributes:
        path: the JSON file; the others lie in its folder or below.
        script: such as MMLU/tabulate_mmlu.py.
        command: what was called.
        sentence: the finding in words; empty where the script states none.
        runs: the run folders it was made from, by name.
        files: {path from the JSON file's folder: sha256}, in the order in which they are to be shown; None for one
            that the script has not finished.
        place: of the folder that it was found in, among those that were searched.
    """

    path: Path
    script: str
    command: str
    sentence: str
    runs: dict[str, Source]
    files: dict[str, str | None]
    place: int

    def option(self, key: str) -> str:
        """What the command gives as `--key value` or `--key=value`; "" where it does not."""
        words = shlex.split(self.command)
        given = [word.partition("=")[2] for word in words if word.startswith(f"--{key}=")]
        given += [value for word, value in pairwise(words) if word == f"--{key}"]
        return given[-1] if given else ""

    def check(self) -> None:
        """InputError naming the file for a table that was cut or changed, or a run that is missing or was replaced."""
        try:
            self._check(f"run `{self.command}` again")
        except OSError as error:
            raise InputError(sentence_of(error)) from error

    def _check(self, again: str) -> None:
        for name, digest in self.files.items():
            path = self.path.parent / name
            if not path.is_file():
                raise InputError(f"{path}: no such file; {again}")
            if file_digest(path) != digest:
                raise InputError(f"{path}: not as {self.script} wrote it, cut short or changed; {again}")
        for name, source in self.runs.items():
            found = read_run(source.folder).get("hash")
            if found != source.hash:
                raise InputError(
                    f"{self.path}: run {name} had the configuration {source.hash} and {source.folder}/run.json has"
                    f" {found}, so that two configurations are mixed; {again}"
                )


def find_results(folders: Iterable[str | os.PathLike]) -> tuple[list[Result], list[str]]:
    """Every result in the folders and below, each once, by path; and a sentence for each that cannot be read.

    InputError where there is none.
    """
    folders = list(folders)
    found, problems = [], [f"{folder}: no such folder" for folder in folders if not Path(folder).is_dir()]
    places: dict[Path, int] = {}
    for place, folder in enumerate(folders):
        for path in sorted(Path(folder).rglob(f"*{ENDING}")):
            places.setdefault(Path(os.path.realpath(path)), place)
    for path, place in places.items():
        try:
            found.append(_read(path, place))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problems.append(f"{path}: not as our scripts write it ({error!r}); make the table again")
    if not found:
        where = ", ".join(map(str, folders)) or "results is empty"
        raise InputError(f"{where}: no result, a table with {ENDING} beside it; run a script that tabulates first")
    return found, [problem.encode("utf-8", "replace").decode() for problem in problems]


def _read(path: Path, place: int) -> Result:
    """A result; any of several errors where the JSON file is not as `save_result` writes it."""
    value = json.loads(path.read_text(encoding="utf-8"))
    json.dumps([str(path), value], ensure_ascii=False).encode()  # fails for what no report can be written with
    runs = {
        name: Source(Path(os.path.normpath(path.parent / run["folder"])), run["hash"], run["model"])
        for name, run in value["runs"].items()
    }
    files = value["files"]
    texts = [value[key] for key in ("script", "command", "sentence")]
    texts += [text for source in runs.values() for text in (source.hash, source.model)]
    if not all(isinstance(text, str) for text in (*texts, *filter(None, files.values()))):
        raise TypeError("a text is missing")
    for name in files:
        if not Path(os.path.realpath(path.parent / name)).is_relative_to(path.parent):
            raise ValueError(f"its file {name} is not in its folder")
    return Result(path, *texts[:3], runs, files, place)
