"""The quiz by language, of one run or of several, such as before and after each arm of fine-tuning.

    python HP/tabulate_quiz.py --runs none=DIR,en=DIR,word=DIR --out HP/results/quiz

Writes <out>.csv (a row a run, category and language), <out>.md and the plot <out>.png, <out>.pdf, from records alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, named_list, parse, run
from common.evaluation.records import by_language, load_records
from common.reporting.files import write_csv_atomic, write_text_atomic
from common.reporting.plots import house_style, plot_arms, save_figure
from common.reporting.results import save_result
from common.reporting.tables import crossed, sizes

EVERYTHING = "all"  # the category of all questions


@dataclass
class Tabulate:
    """Tabulate the quiz by language.

    Attributes:
        runs: name=folder of each run of HP/evaluate_quiz.py, a list or separated by commas.
        out: the table's file name without its ending.
    """

    runs: str | list[str]
    out: str


def tabulate(runs: Mapping[str, str]) -> pd.DataFrame:
    """One row per run, category (all questions first) and language; columns as in `common.evaluation.records.by_language`."""
    tables = []
    for name, folder in runs.items():
        records = load_records(Path(folder))
        if "en" not in set(records["setting"]):
            raise InputError(f"{folder}: setting en is missing; evaluate it with the others")
        categories = {EVERYTHING: records} | dict(tuple(records.groupby("subject")))
        for category, rows in categories.items():
            tables.append(by_language(rows).assign(arm=name, category=category))
    table = pd.concat(tables, ignore_index=True)
    return table[["arm", "category", *table.columns.drop(["arm", "category"])]]


def markdown(table: pd.DataFrame) -> str:
    """A part for each category: runs down, languages across."""
    lines = ["# The domain quiz by language", ""]
    lines += [
        "Percent with 95% Wilson intervals; in brackets the difference from English, in points, and McNemar's p.",
        "",
    ]
    for category, part in table.groupby("category", sort=False):
        cells = {(row.arm, row.language): _cell(row) for row in part.itertuples()}
        lines += [f"## {category}, {sizes(part)}", "", *crossed("run", cells), ""]
    return "\n".join(lines)


def _cell(row: tuple) -> str:
    text = f"{100 * row.accuracy:.1f} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
    return text if pd.isna(row.delta_vs_en) else f"{text} ({100 * row.delta_vs_en:+.1f}, p = {row.p_mcnemar:.2g})"


def main() -> None:
    config = parse(Tabulate)
    runs = named_list(config.runs, "runs")
    table = tabulate(runs)
    write_csv_atomic(f"{config.out}.csv", table, float_format="%.6g")
    write_text_atomic(f"{config.out}.md", markdown(table))
    shown = table[table["category"] == EVERYTHING].rename(columns={"language": "column"})
    with house_style():
        pictures = save_figure(plot_arms(shown), config.out)
    save_result(__file__, config.out, runs, [f"{config.out}.md", f"{config.out}.csv", *pictures])
    print(markdown(table))


if __name__ == "__main__":
    run(main)
