"""Pieces of the report in Markdown: tables and pictures of a result, its command, the paper's figures, what lacks."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from experiment import Experiment
from read_results import Result

from common.cli import InputError
from common.reporting.files import read_csv
from common.reporting.tables import escaped, from_frame
from common.reporting.tables import table as markdown_table

PAPER = Path(__file__).with_name("paper_figures.csv")
PLACED = re.compile(r"(?<!\\)(?=!\[|\]\(|<[a-zA-Z/!?])")  # before a picture, a link's address, HTML
LONGEST = 40  # rows of a CSV file that has no table in Markdown beside it; a longer one is only named


def section(result: Result, out: Path) -> list[str]:
    """What a result found, its tables and pictures, and its command; or why it is not shown."""
    try:
        return [*numbers(result, out), *made(result)]
    except InputError as error:
        return left_out(str(error))


def numbers(result: Result, out: Path) -> list[str]:
    """What a result found, its tables and pictures; InputError where its files are not as they were written."""
    result.check()
    lines = [escaped(result.sentence), ""] if result.sentence else []
    tables = [name for name in result.files if name.endswith(".md")]
    tables = tables or [name for name in result.files if name.endswith(".csv")]
    for name in tables:
        lines += [*shown_table(result.path.parent / name), ""]
    for name, place in pictures(result, out).items():
        lines += [f"![{escaped(f'{result.path.parent.name}: {Path(name).stem}')}]({place})", ""]
    return lines


def made(result: Result) -> list[str]:
    """The command of a result, with its models."""
    runs = ", ".join(f"{escaped(name)}: {as_code(source.model)}, {source.hash}" for name, source in result.runs.items())
    return [f"{as_code(result.command)}{f' ({runs})' if runs else ''}", ""]


def pictures(result: Result, out: Path) -> dict[str, str]:
    """The pictures of a result: {name: address, relative to the report's folder}."""
    places = {name: os.path.relpath(result.path.parent / name, out.resolve()) for name in result.files}
    return {name: quote(Path(place).as_posix()) for name, place in places.items() if name.endswith(".png")}


def left_out(problem: str) -> list[str]:
    """A remark on what the report lacks."""
    return [f"> Left out: {escaped(problem)}", ""]


def shown_table(path: Path) -> list[str]:
    """A table's lines: headings below those of the report, a CSV file as it is, no pictures and no HTML."""
    try:
        if path.suffix == ".md":
            return deeper(PLACED.sub(r"\\", path.read_text(encoding="utf-8")), 2)
        found = read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(found) > LONGEST:
        return [f"{as_code(path.name)}: {len(found):,} rows, not shown."]
    return [f"{as_code(path.name)}:", "", *from_frame(found.dropna(axis="columns", how="all"), "{:.4g}")]


def beside_paper(experiment: Experiment) -> list[str]:
    """The paper's figures for the experiment's benchmark, with their source."""
    figures = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    figures = figures[figures["benchmark"] == experiment.benchmark]
    if figures.empty:
        return []
    rows = [[r.model, r.setting, r.metric, r.value, r.note, f"{r.paper}, {r.source}"] for r in figures.itertuples()]
    header = ["model", "setting", "metric", "value", "note", "source"]
    return ["The paper's figures:", "", *markdown_table(header, rows), ""]


def not_run(missing: Sequence[Experiment]) -> list[str]:
    """A table of experiments without results, with the command of each."""
    return markdown_table(["experiment", "command"], [[one.title, one.command] for one in missing])


def deeper(text: str, levels: int) -> list[str]:
    """Lines of a Markdown text, its headings so many levels further down."""
    return ["#" * levels + line if line.startswith("#") else line for line in text.rstrip().split("\n")]


def as_code(text: str) -> str:
    """Markdown that shows a text as code, on one line."""
    text = " ".join(text.split())
    marks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{marks}{text}{marks}" if len(marks) == 1 else f"{marks} {text} {marks}"
