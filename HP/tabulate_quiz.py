"""Tabulate the quiz by language, of one run or several, such as before and after each arm of fine-tuning.

    python HP/tabulate_quiz.py --runs none=DIR,en=DIR,word=DIR --out HP/results/quiz

Writes <out>.csv (one row per run, category and language), <out>.md and the plot <out>.png, <out>.pdf from records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from quiz import EVERYTHING

from common.cli import InputError, named_list, parse, run
from common.evaluation.records import by_language, load_records
from common.reporting.plots import plot_arms
from common.reporting.results import write_result
from common.reporting.stats import chance_level
from common.reporting.tables import crossed, escaped, interval, sizes


@dataclass
class Tabulate:
    """Tabulate the quiz by language.

    Attributes:
        runs: name=folder of each run of HP/evaluate_quiz.py, a list or separated by commas.
        out: the table's file name without its ending.
    """

    runs: str | list[str]
    out: str


def tabulate(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per run, category (all questions first) and language, from the records of each run.

    Columns arm (the run's name), category, and those of `common.evaluation.records.by_language`.
    """
    tables = []
    for name, records in runs.items():
        if "en" not in set(records["setting"]):
            raise InputError(f"run {name}: setting en is missing; evaluate it with the others")
        categories = {EVERYTHING: records} | dict(tuple(records.groupby("subject")))
        for category, rows in categories.items():
            tables.append(by_language(rows).assign(arm=name, category=category))
    table = pd.concat(tables, ignore_index=True)
    return table[["arm", "category", *table.columns.drop(["arm", "category"])]]


def markdown(table: pd.DataFrame) -> str:
    """A table for each category: runs down, languages across."""
    lines = ["# The domain quiz by language", ""]
    lines += [
        "Percent with 95% Wilson intervals; in brackets the difference from English, in points, and McNemar's p.",
        "",
    ]
    for category, part in table.groupby("category", sort=False):
        cells = {(row.arm, row.language): _cell(row) for row in part.itertuples()}
        lines += [f"## {escaped(category)}, {sizes(part)}", "", *crossed("run", cells), ""]
    return "\n".join(lines)


def _cell(row: tuple) -> str:
    text = interval(row)
    return text if pd.isna(row.delta_vs_en) else f"{text} ({100 * row.delta_vs_en:+.1f}, p = {row.p_mcnemar:.2g})"


def main() -> None:
    config = parse(Tabulate)
    runs = named_list(config.runs, "runs")
    records = {name: load_records(Path(folder)) for name, folder in runs.items()}
    table = tabulate(records)
    shown = table[table["category"] == EVERYTHING].rename(columns={"language": "column"})
    chance = chance_level(pd.concat(records.values())["option_languages"])
    write_result(__file__, config.out, runs, table, text=markdown(table), plot=(plot_arms, shown, chance))


if __name__ == "__main__":
    run(main)
