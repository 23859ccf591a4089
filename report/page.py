"""The report as one HTML page: what was found first, with pictures; numbers and commands are folded below.

    text = write_page("Report", studies, problems, spent, folders, out)

Figures are SVG, each drawn at the width of a paper's page and of its column; a narrow screen shows the second. The page
loads nothing from elsewhere.
"""

import ast
import base64
import html
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
from check_claims import FAILS, HOLDS, Verdict, shown, tests_in
from experiments import EXPERIMENTS, MMLU, draw_headline
from figures import svg
from markdown_it import MarkdownIt
from markdown_it.token import Token
from sections import beside_paper, left_out, made, not_run, numbers, pictures
from studies import Study, compare, headline, models_table
from words import ROOT, cell, heading, in_words, without_paths

from common.cli import InputError
from common.reporting.plots import COLORS, COLUMN, GRID, NEUTRAL, PAGE
from common.reporting.stats import LEVEL
from common.reporting.tables import escaped, from_frame

STYLE = Path(__file__).with_name("report.css")
WIDE = 10  # columns above which a table is set smaller
BAR = (150, 13)  # width of a claim's bar and height for each model, pixels


class Page:
    """The parts of a page, with its contents; `folders` are those of the results, `out` that of the page."""

    def __init__(self, studies: Sequence[Study], folders: Sequence[Path], out: Path):
        self.studies, self.folders, self.out = studies, folders, out
        self.known = {place for one in studies for result in one.results for place in pictures(result, out).values()}
        self.contents: list[tuple[str, str]] = []
        self.figures = 0

    def markdown(self, lines: Sequence[str]) -> str:
        """Markdown as HTML, in words and without paths."""
        return render("\n".join(lines), self.out, self.known, self.folders)

    def text(self, text: str) -> str:
        """A sentence as HTML, in words and without paths."""
        return html.escape(in_words(without_paths(text, self.folders)))

    def section(self, title: str, *parts: str) -> str:
        """A section with its anchor, which goes to the contents."""
        slug = re.sub(r"\W+", "-", title.lower()).strip("-")
        self.contents.append((slug, title))
        link = f'<a href="#{slug}">{html.escape(title)}</a>'
        return f'<section id="{slug}">\n<h2>{link}</h2>\n{"".join(parts)}</section>\n'

    def figure(self, title: str, draw: Callable, *arguments) -> str:
        """A figure at both widths."""
        drawn = []
        for name, width in (("page", PAGE), ("column", COLUMN)):
            self.figures += 1
            drawn.append(f'<div class="{name}">{inline(svg(draw, *arguments, width), f"f{self.figures}", title)}</div>')
        return f"<figure>{''.join(drawn)}</figure>\n"

    def found(self, sentences: dict[str, str]) -> str:
        """What was found, a sentence a model, with its name where there are several."""
        said = [
            f"<b>{html.escape(model)}</b>: {self.text(one)}" if len(self.studies) > 1 else self.text(one)
            for model, one in sentences.items()
            if one
        ]
        return "".join(f'<p class="found">{one}</p>\n' for one in said)

    def results(self, scripts: Collection[str], more: Sequence[str] = ()) -> str:
        """Numbers and commands of the scripts' results, folded; what cannot be shown is said."""
        shown_ones, commands, problems = [], [], []
        for one in self.studies:
            for result in [r for script in scripts for r in one.results if r.script == script]:
                try:
                    own = numbers(result, self.out)
                except InputError as error:
                    problems += left_out(str(error))
                    continue
                name = [f"**{escaped(one.model)}**", ""] if len(self.studies) > 1 else []
                shown_ones += [*name, *own]
                commands += made(result)
        folded = fold("Numbers", self.markdown([*shown_ones, *more])) if shown_ones else ""
        folded += fold("Commands and models", self.markdown(commands)) if commands else ""
        return self.markdown(problems) + folded


def write_page(
    title: str,
    studies: Sequence[Study],
    problems: Sequence[str],
    spent: pd.DataFrame,
    folders: Sequence[Path],
    out: Path,
) -> str:
    """The whole page."""
    page = Page(studies, folders, out)
    scripts = {script for one in EXPERIMENTS for script in one.scripts} | {"report/check_claims.py"}
    has = {result.script for one in studies for result in one.results}
    body = [page.markdown([line for problem in problems for line in left_out(problem)])]
    body.append(claims_section(page))
    missing = []
    for experiment in EXPERIMENTS:
        if not has.intersection(experiment.scripts):
            missing.append(experiment)
            continue
        tables = {one.model: one.tables[experiment.title] for one in studies if experiment.title in one.tables}
        drawn = page.figure(experiment.title, experiment.draw, tables) if tables else ""
        found = page.found({model: experiment.found(table) for model, table in tables.items()})
        beside = compare(experiment.title, tables) if len(studies) > 1 and tables else []
        parts = (asked(experiment.asked), found, drawn, page.markdown(beside))
        body.append(page.section(experiment.title, *parts, page.results(experiment.scripts, beside_paper(experiment))))
    for script in sorted(has - scripts):
        said = {one.model: next((r.sentence for r in one.results if r.script == script), "") for one in studies}
        body.append(page.section(title_of(script), asked(purpose(script)), page.found(said), page.results([script])))
    if len(spent):
        body.append(
            page.section(
                "What it took", fold("Time and memory of each run", page.markdown(from_frame(spent, "{:,.2f}")))
            )
        )
    if missing:
        body.append(page.section("Not run", page.markdown(not_run(missing))))
    links = "".join(f'<li><a href="#{slug}">{html.escape(name)}</a></li>' for slug, name in page.contents)
    top = [f"<h1>{html.escape(' '.join(title.split()))}</h1>\n"]
    models = ", ".join(f"<code>{html.escape(one.model)}</code>" for one in studies)
    top.append(f'<p class="models">{"Models" if len(studies) > 1 else "Model"}: {models}</p>\n')
    said = "".join(f"<li>{page.text(one)}</li>\n" for one in headline(studies) if one)
    top.append(f'<ol class="headline">\n{said}</ol>\n' if said else "")
    barrier = {one.model: one.tables[MMLU.title] for one in studies if MMLU.title in one.tables}
    top.append(
        page.figure("Accuracy by setting and difference from English", draw_headline, barrier) if barrier else ""
    )
    if len(studies) > 1:
        top.append(fold("The models in numbers", page.markdown(from_frame(models_table(studies), "{:.3f}"))))
    top.append(f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(top)}{''.join(body)}</main>\n</body>\n</html>\n"
    )


def asked(sentence: str) -> str:
    return f'<p class="asked">{html.escape(sentence)}</p>\n' if sentence else ""


def fold(summary: str, content: str) -> str:
    """Content that is hidden until it is asked for."""
    return f"<details><summary>{html.escape(summary)}</summary>\n{content}</details>\n"


def title_of(script: str) -> str:
    """A section's title for a script that no experiment names: "CLiKA/heat_map.py" -> "CLiKA: heat map"."""
    folder, _, name = script.rpartition("/")
    return ": ".join(filter(None, (folder, name.removesuffix(".py").replace("_", " "))))


def purpose(script: str) -> str:
    """The first sentence of a script's docstring; "" for one that is not in this repository."""
    path = ROOT / script
    if not (path.suffix == ".py" and path.is_file() and path.resolve().is_relative_to(ROOT)):
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def inline(drawing: str, key: str, title: str) -> str:
    """An SVG element for this page: ids of its own, colours of the page, a name, and the width it was drawn for."""
    drawing = re.sub(r'\bid="', f'id="{key}-', drawing)
    drawing = drawing.replace('href="#', f'href="#{key}-').replace("url(#", f"url(#{key}-")
    drawing = drawing.replace(NEUTRAL, "var(--ink)").replace(GRID, "var(--line)")
    points = float(re.search(r'width="([\d.]+)pt"', drawing)[1])
    start = f'<svg role="img" aria-label="{html.escape(title)}" style="--drawn: {points:g}pt"'
    return drawing.replace("<svg", start, 1).replace("xlink:href", "href").strip()


# The claims


def claims_section(page: Page) -> str:
    """A table of the claims that were tested, with bars; those that were not are folded."""
    lists = [one.verdicts for one in page.studies]
    rows = list(zip(*lists, strict=True))
    done = [row for row in rows if any(one.verdict in (HOLDS, FAILS) for one in row)]
    rest = [row for row in rows if row not in done]
    several = len(lists) > 1
    tested = tests_in(lists[0])
    note = (
        "<p>Effects with 95% bootstrap intervals over units, and over training seeds where there are several; the line"
        " marks the value that is claimed to be passed. A claim holds if the whole interval lies on the claimed side at"
        + (f" the level {1 - (1 - LEVEL) / tested:.4f}, corrected for {tested} tests" if tested and not several else "")
        + (" a level corrected for the model's number of tests" if several else "")
        + " (Bonferroni); that it does not hold means that it cannot be shown with these data.</p>\n"
    )
    table = compared if several else claims_table
    parts = [note, table(page, done)] if done else []
    if rest:
        parts.append(fold(f"Not tested, or not enough data: {len(rest)}", table(page, rest)))
    return page.section("Which claims hold", *parts)


def claims_table(page: Page, rows: Sequence[tuple[Verdict, ...]]) -> str:
    """One row a claim, of one model."""
    header, body = ["claim", "paper", "measured", "claimed", "n", "verdict"], []
    for (one,) in rows:
        claim, paper, measured, claimed, n, _ = map(page.text, shown(one))
        body.append([claim, paper, measured + bars((one,)), claimed, n, f"{verdict(one)}: {page.text(one.note)}"])
    return html_table("claims", header, body)


def compared(page: Page, rows: Sequence[tuple[Verdict, ...]]) -> str:
    """One row a claim, one column a model: verdict, effect and units."""
    header = ["claim", "effects", *(html.escape(one.model) for one in page.studies)]
    body = []
    for row in rows:
        texts = [list(map(page.text, shown(one))) for one in row]
        claimed = next((text[3] for text in texts if text[3]), "")
        cells = [
            f"{verdict(one)}<br>{text[2]}" + f"<br>n = {text[4]}" * bool(text[4])
            for one, text in zip(row, texts, strict=True)
        ]
        body.append([f"{texts[0][0]} Claimed: {claimed}." if claimed else texts[0][0], bars(row), *cells])
    return html_table("wide", header, body)


def verdict(one: Verdict) -> str:
    return f'<b class="{one.verdict.replace(" ", "-")}">{one.verdict}</b>'


def html_table(kind: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table from cells that are HTML; a cell has its column's heading for narrow screens."""
    head, body = "".join(f"<th>{name}</th>" for name in header), ""
    for row in rows:
        cells = [f'<td data-label="{name}">{one}</td>' for name, one in zip(header, row, strict=True)]
        body += f"<tr>{''.join(cells)}</tr>\n"
    return f'<table class="{kind}">\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>\n'


def bars(row: Sequence[Verdict]) -> str:
    """Effects and intervals of a claim as a small picture, one line a model; "" where nothing was measured."""
    known = [(place, one) for place, one in enumerate(row) if pd.notna(one.effect)]
    if not known:
        return ""
    bound = row[0].claim.bound[1]
    ends = [bound, *(value for _, one in known for value in (one.ci_low, one.ci_high, one.effect) if pd.notna(value))]
    low, high = min(ends), max(ends)
    width, step = BAR

    def x(value: float) -> float:
        return 6 + (width - 12) * (value - low) / ((high - low) or 1)

    marks = []
    for line, (place, one) in enumerate(known):
        y, color = step * (line + 0.5), COLORS[place % len(COLORS)]
        marks.append(
            f'<path d="M{x(one.ci_low):.1f} {y}H{x(one.ci_high):.1f}" stroke="{color}" stroke-width="3"/>'
            f'<circle cx="{x(one.effect):.1f}" cy="{y}" r="4" fill="{color}"/>'
        )
    tall = step * len(known)
    return (
        f'<svg class="bar" role="img" aria-label="effect and interval" width="{width}" height="{tall}"'
        f' viewBox="0 0 {width} {tall}"><path d="M{x(bound):.1f} 0V{tall}" stroke="var(--faint)"/>'
        f"{''.join(marks)}</svg>"
    )


# Markdown as HTML


def render(text: str, folder: Path, known: Collection[str] = (), folders: Sequence[Path] = ()) -> str:
    """Markdown as HTML: settings in words, no absolute paths, every cell with its column's heading for narrow screens.

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
        elif token.type in ("text", "code_inline"):
            token.content = without_paths(token.content, folders)
    label_cells(tokens)
    return parser.renderer.render(tokens, parser.options, {})


def walk(tokens: Sequence[Token]) -> Iterator[Token]:
    """All tokens and those inside them."""
    for token in tokens:
        yield token
        yield from walk(token.children or [])


def label_cells(tokens: Sequence[Token]) -> None:
    """Put texts into words, and give each cell its column's heading as `data-label`; many columns make a table wide."""
    header, column, table, inside = [], 0, None, ""
    for token in tokens:
        if token.type == "table_open":
            header, table = [], token
        elif token.type == "thead_close" and len(header) > WIDE:
            table.attrSet("class", "wide")
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("data-label", header[column])
            column += 1
        elif token.type == "inline":
            texts = [part for part in token.children if part.type == "text"]
            for part in texts:
                if inside == "th_open":
                    part.content = heading(part.content)
                elif inside == "td_open":
                    part.content = cell(part.content, header[column - 1])
                else:
                    part.content = in_words(part.content)
            if inside == "th_open":
                header.append("".join(part.content for part in token.children))
        inside = token.type
