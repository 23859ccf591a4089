"""Results of the tasks' scripts, found by their .provenance.json and checked before they are shown.

    results, problems = find_results(["results"])

The files of a result must be those that were written, and the runs behind it must have the configuration that they had
then.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from common.cli import InputError
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
        files: {path from the JSON file's folder: sha256}, in the order in which they are to be shown.
        place: of the folder that it was found in, among those that were searched.
    """

    path: Path
    script: str
    command: str
    sentence: str
    runs: dict[str, Source]
    files: dict[str, str]
    place: int

    def check(self) -> None:
        """InputError naming the file for a table that was cut or changed, or a run that is missing or was replaced."""
        again = f"run `{self.command}` again"
        for name, digest in self.files.items():
            path = self.path.parent / name
            if not path.is_file():
                raise InputError(f"{path}: no such file; {again}")
            if file_digest(path) != digest:
                raise InputError(f"{path}: not as {self.script} wrote it, cut short or changed; {again}")
        for name, source in self.runs.items():
            found = read_run(source.folder)["hash"]
            if found != source.hash:
                raise InputError(
                    f"{self.path}: run {name} had the configuration {source.hash} and {source.folder}/run.json has"
                    f" {found}, so that two configurations are mixed; {again}"
                )


def find_results(folders: Iterable[str | os.PathLike]) -> tuple[list[Result], list[str]]:
    """Every result in the folders and below, each once, by path; and a sentence for each that cannot be read.

    InputError where there is none.
    """
    found, problems = [], []
    places: dict[Path, int] = {}
    for place, folder in enumerate(folders):
        for path in sorted(Path(folder).rglob(f"*{ENDING}")):
            places.setdefault(path.resolve(), place)
    for path, place in places.items():
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            runs = {
                name: Source(Path(os.path.normpath(path.parent / run["folder"])), run["hash"], run["model"])
                for name, run in value["runs"].items()
            }
            found.append(
                Result(path, value["script"], value["command"], value["sentence"], runs, value["files"], place)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: not as our scripts write it ({error!r}); make the table again")
    if not found:
        where = ", ".join(map(str, folders))
        raise InputError(f"{where}: no result, a table with {ENDING} beside it; run a script that tabulates first")
    return found, problems
