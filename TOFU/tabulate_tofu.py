"""Tabulate TOFU by language, of one run or several, such as before and after each arm of fine-tuning.

    python TOFU/tabulate_tofu.py --runs taught=DIR,word=DIR --out TOFU/results/authors

Writes <out>.csv (one row per run, measure and language), <out>.md and the plot <out>.png, <out>.pdf from records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from answer_metrics import NAME, summarize
from matplotlib.figure import Figure

from common.cli import InputError, named_list, parse, run
from common.evaluation.records import by_language, load_records
from common.languages import LANGUAGES
from common.reporting.files import read_text
from common.reporting.plots import PAGE, add_legend, draw_rows, rows_figure
from common.reporting.provenance import file_digest, read_run
from common.reporting.results import write_result
from common.reporting.tables import crossed, interval, sizes
from common.settings import label

CHOICE = "choice"  # accuracy of the choice between the answer and three perturbations


@dataclass
class Tabulate:
    """Tabulate TOFU by language.

    Attributes:
        runs: name=folder of each run of TOFU/evaluate_tofu.py, a list or separated by commas.
        out: the table's file name without its ending.
        seed: of the bootstrap intervals.
    """

    runs: str | list[str]
    out: str
    seed: int = 42


def tabulate(runs: Mapping[str, str], seed: int) -> pd.DataFrame:
    """One row per run, measure and language: p_mcnemar is the choice's, delta_low and delta_high are the others'."""
    tables = []
    for name, folder in runs.items():
        if (Path(folder) / "run.json").exists():  # not where the data have no perturbed answers
            choice = by_language(load_records(Path(folder))).rename(columns={"accuracy": "value"})
            tables.append(choice.assign(arm=name, measure=CHOICE))
        tables.append(summarize(read_answers(Path(folder)), seed).assign(arm=name))
    table = pd.concat(tables, ignore_index=True)
    columns = ["arm", "measure", "language", "n", "value", "ci_low", "ci_high"]
    columns += ["delta_vs_en", "delta_low", "delta_high", "p_mcnemar"]
    return table.reindex(columns=columns)


def read_answers(folder: Path) -> dict[str, pd.DataFrame]:
    """The answers of a run by language; InputError for a file that is missing or was changed."""
    written = read_run(folder / NAME).get("languages", {})
    if "en" not in written:
        raise InputError(f"{folder / NAME}/en.csv: no such file; let TOFU/evaluate_tofu.py run to its end")
    found = {}
    for code in (code for code in LANGUAGES if code in written):
        path = folder / NAME / f"{code}.csv"
        if not path.exists() or file_digest(path) != written[code]["sha256"]:
            raise InputError(f"{path}: not the file that run.json describes; run TOFU/evaluate_tofu.py again")
        found[code] = read_text(path)
    return found


def markdown(table: pd.DataFrame) -> str:
    """A table for each measure: runs down, languages across."""
    lines = [
        "# TOFU by language",
        "",
        "Percent with 95% intervals; in brackets the difference from English, in points.",
    ]
    for measure, part in table.groupby("measure", sort=False):
        cells = {(row.arm, row.language): _cell(row) for row in part.itertuples()}
        lines += ["", f"## {measure.replace('_', ' ')}, {sizes(part)}", "", *crossed("run", cells)]
    return "\n".join(lines) + "\n"


def _cell(row: tuple) -> str:
    text = interval(row, "value")
    return text if pd.isna(row.delta_vs_en) else f"{text} ({100 * row.delta_vs_en:+.1f})"


def plot_measures(table: pd.DataFrame) -> Figure:
    """Several measures by language, a panel each, one mark a run with its interval.

    `table` has arm, measure, language, value, ci_low, ci_high; fractions.
    """
    measures = list(table["measure"].unique())
    figure, axes = rows_figure(table.set_index(["arm", "language"]).index, PAGE, len(measures))
    for axis, measure in zip(np.atleast_1d(axes), measures, strict=True):
        draw_rows(axis, table[table["measure"] == measure].set_index(["arm", "language"]))
        axis.set_title(label(measure))
        axis.set_xlabel("fraction")
    add_legend(figure, np.atleast_1d(axes))
    return figure


def main() -> None:
    config = parse(Tabulate)
    runs = named_list(config.runs, "runs")
    table = tabulate(runs, config.seed)
    # Without perturbed answers a run has no choice, and its run.json lies beside the answers.
    folders = {n: f if Path(f, "run.json").exists() else Path(f, NAME) for n, f in runs.items()}
    plot = (plot_measures, table.dropna(subset=["value"]))
    write_result(__file__, config.out, folders, table, text=markdown(table), plot=plot)


if __name__ == "__main__":
    run(main)
