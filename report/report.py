"""Write one page on a model: which of the papers' claims hold, then the tables and plots of every experiment.

    python report/report.py --results DIR[,DIR] --out DIR

Writes <out>/report.html (a single file: pictures inside, no network, light and dark) and the same as <out>/report.md,
from the results of the tasks' scripts; <out>/claims.csv is that of check_claims.py, <out>/costs.csv that of costs.py.
Results that are missing, cut short or made with another configuration are named, and the rest is reported.
"""

import base64
import html
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd
from check_claims import CLAIMS, check, frame, read_claims
from check_claims import markdown as claims_table
from costs import costs
from markdown_it import MarkdownIt
from markdown_it.token import Token
from read_results import Result, find_results

from common.cli import InputError, comma_list, parse, run
from common.reporting.files import claim, read_csv, write_csv_atomic, write_text_atomic
from common.reporting.tables import escaped, from_frame
from common.reporting.tables import table as markdown_table

PAPER = Path(__file__).with_name("paper_figures.csv")
STYLE = Path(__file__).with_name("report.css")
WIDE = 10  # columns above which a table is set smaller
PLACED = re.compile(r"(?<!\\)(?=!\[|\]\(|<[a-zA-Z/!?])")  # before a picture, a link's address, HTML
LONGEST = 40  # rows of a CSV file that has no table in Markdown beside it; a longer one is only named


@dataclass(frozen=True)
class Experiment:
    """A section of the report: its title, the scripts whose results it shows, and the command that makes them.

    `benchmark` names the rows of paper_figures.csv to show, where the section's own tables do not have them.
    """

    title: str
    scripts: tuple[str, ...]
    command: str
    benchmark: str = ""


EXPERIMENTS = (
    Experiment("Translation", ("Translation/score.py",), "bash Translation/scripts/translation.sh"),
    Experiment(
        "Embeddings of mixed-language text", ("Translation/embeddings.py",), "bash Translation/scripts/embeddings.sh"
    ),
    Experiment("Logit lens on word translation", ("Translation/lens.py",), "bash Translation/scripts/lens.sh"),
    Experiment(
        "MMLU in mixed languages",
        ("world/finding.py", "MMLU/tabulate_mmlu.py", "MMLU/plot_mmlu.py"),
        "bash MMLU/scripts/zero_shot.sh",
    ),
    Experiment("Domain quiz", ("HP/tabulate_quiz.py",), "bash HP/scripts/quiz.sh"),
    Experiment("Facts taught in one language", ("TOFU/tabulate_tofu.py",), "bash TOFU/scripts/authors.sh"),
    Experiment(
        "Fixes without training",
        ("MMLU/tabulate_mitigation.py", "MMLU/ensemble.py", "MMLU/calibrate.py"),
        "bash MMLU/scripts/mitigation.sh",
    ),
    Experiment(
        "Fine-tuning",
        ("FT/finding.py", "FT/tabulate_arms.py", "report/tabulate_remedies.py"),
        "bash FT/scripts/remedy.sh",
        "MMLU",
    ),
    Experiment(
        "Consistency and conductivity", ("CLiKA/consistency.py", "CLiKA/cloze.py"), "bash CLiKA/scripts/conductivity.sh"
    ),
)


@dataclass
class Report:
    """Write one page on a model.

    Attributes:
        results: folders with results of the tasks' scripts, a list or separated by commas; of several results of a
            script, those of the folder named first count.
        out: folder of report.html, report.md, claims.csv and costs.csv.
        claims: YAML file of claims; see report/claims.yaml.
        title: of the page.
        seed: of the bootstrap.
    """

    results: str | list[str]
    out: str
    claims: str = str(CLAIMS)
    title: str = "Crosslingual knowledge barriers"
    seed: int = 42


def page(config: Report, results: Sequence[Result], problems: Sequence[str], claims: str, spent: pd.DataFrame) -> str:
    """The report in Markdown; pictures are named relative to its folder. `spent` is that of `costs`."""
    models = dict.fromkeys(source.model for result in results for source in result.runs.values())
    parts = [f"# {escaped(config.title)}", "", f"Models: {', '.join(map(_code, models))}.", ""]
    for problem in problems:
        parts += left_out(problem)
    parts += _deeper(claims, 1)
    missing = []
    for experiment in EXPERIMENTS:
        own = [result for script in experiment.scripts for result in results if result.script == script]
        if not own:
            missing.append(experiment)
            continue
        parts += ["", f"## {experiment.title}", ""]
        for result in own:
            parts += section(result, Path(config.out))
        parts += beside_paper(experiment)
    other = [result for result in results if result.script not in {s for e in EXPERIMENTS for s in e.scripts}]
    for result in other:
        if result.script != "report/check_claims.py":
            parts += ["", f"## {escaped(result.script)}", "", *section(result, Path(config.out))]
    if len(spent):
        parts += ["", "## What it took", "", *from_frame(spent, "{:,.2f}"), ""]
    if missing:
        parts += ["", "## Not run", ""]
    for experiment in missing:
        parts += [f"> No results of {' or '.join(experiment.scripts)}: run `{experiment.command}`.", ""]
    return "\n".join(parts).rstrip() + "\n"


def section(result: Result, out: Path) -> list[str]:
    """What a result found, its tables and pictures, and its command; or why it is not shown."""
    try:
        result.check()
        lines = [escaped(result.sentence), ""] if result.sentence else []
        tables = [name for name in result.files if name.endswith(".md")]
        tables = tables or [name for name in result.files if name.endswith(".csv")]
        for name in tables:
            lines += [*shown_table(result.path.parent / name), ""]
        for name, place in pictures(result, out).items():
            lines += [f"![{escaped(f'{result.path.parent.name}: {Path(name).stem}')}]({place})", ""]
    except InputError as error:
        return left_out(str(error))
    runs = ", ".join(f"{escaped(name)}: {_code(source.model)}" for name, source in result.runs.items())
    return [*lines, f"{_code(result.command)}{f' ({runs})' if runs else ''}", ""]


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
            return _deeper(PLACED.sub(r"\\", path.read_text(encoding="utf-8")), 2)
        found = read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(found) > LONGEST:
        return [f"{_code(path.name)}: {len(found):,} rows, not shown."]
    return [f"{_code(path.name)}:", "", *from_frame(found.dropna(axis="columns", how="all"), "{:.4g}")]


def beside_paper(experiment: Experiment) -> list[str]:
    """The paper's figures for the experiment's benchmark, with their source."""
    figures = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    figures = figures[figures["benchmark"] == experiment.benchmark]
    if figures.empty:
        return []
    rows = [[r.model, r.setting, r.metric, r.value, r.note, f"{r.paper}, {r.source}"] for r in figures.itertuples()]
    header = ["model", "setting", "metric", "value", "note", "source"]
    return ["The paper's figures:", "", *markdown_table(header, rows), ""]


def _deeper(text: str, levels: int) -> list[str]:
    """Lines of a Markdown text, its headings so many levels further down."""
    return ["#" * levels + line if line.startswith("#") else line for line in text.rstrip().split("\n")]


def _code(text: str) -> str:
    text = " ".join(text.split())
    marks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{marks}{text}{marks}" if len(marks) == 1 else f"{marks} {text} {marks}"


def as_html(text: str, folder: Path, title: str, known: Collection[str] = ()) -> str:
    """The page as one HTML file, every cell with the heading of its column for narrow screens.

    The pictures at the `known` addresses are put inside; of others there is the name.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in walk(tokens):
        if token.type == "image":
            place = str(token.attrGet("src"))
            if place in known:
                content = base64.b64encode((folder / unquote(place)).read_bytes()).decode()
                token.attrSet("src", f"data:image/png;base64,{content}")
            else:
                token.type = "text"
    label_cells(tokens)
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def walk(tokens: Sequence[Token]) -> Iterator[Token]:
    """All tokens and those inside them."""
    for token in tokens:
        yield token
        yield from walk(token.children or [])


def label_cells(tokens: Sequence[Token]) -> None:
    """Give each cell its column's heading as `data-label`; tables with many columns and verdicts a class."""
    header, column, table = [], 0, None
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            header, table = [], token
        elif token.type == "thead_close" and len(header) > WIDE:
            table.attrSet("class", "wide")
        elif token.type == "th_open":
            header.append("".join(part.content for part in tokens[place + 1].children))
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("data-label", header[column])
            if header[column] == "verdict":
                token.attrSet("class", tokens[place + 1].content.split(":")[0].replace(" ", "-"))
            column += 1


def main() -> None:
    config = parse(Report)
    results, problems = find_results(comma_list(config.results))
    claims = read_claims(config.claims)
    claim(config.out, "report.md")
    verdicts = check(claims, results, config.seed)
    out = Path(config.out)
    spent = costs(results)
    text = page(config, results, problems, claims_table(verdicts), spent)
    write_csv_atomic(out / "claims.csv", frame(verdicts), float_format="%.6g")
    write_csv_atomic(out / "costs.csv", spent, float_format="%.6g")
    write_text_atomic(out / "report.md", text)
    known = {place for result in results for place in pictures(result, out).values()}
    write_text_atomic(out / "report.html", as_html(text, out, config.title, known))
    for verdict in verdicts:
        print(f"{verdict.verdict:16} {verdict.claim.claim}")
    print(f"The report: {out / 'report.html'}")


if __name__ == "__main__":
    run(main)
