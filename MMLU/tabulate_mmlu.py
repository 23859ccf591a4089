"""Tabulate accuracy by setting and language, beside the paper's figures, from the records of one or more runs.

    python MMLU/tabulate_mmlu.py --runs MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world/table

Writes <out>.csv (one row per run and setting, fractions) and <out>.md (percent, settings down, languages across). A run
in which labels have little of the probability is named: what the model would write may be another answer.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from categories import load_category, run_title
from statsmodels.stats.multitest import multipletests

from common.cli import InputError, comma_list, parse, run
from common.evaluation.records import logprobs_of, paired_correct, summarize
from common.languages import LANGUAGES
from common.reporting.provenance import read_run
from common.reporting.results import write_result
from common.reporting.stats import paired_bootstrap, wilson_by_question
from common.reporting.tables import crossed, escaped, interval
from common.reporting.tables import table as markdown_table
from common.settings import family, sort_settings

PAPER = Path(__file__).resolve().parents[1] / "report" / "paper_figures.csv"
NO_LANGUAGE = "-"  # the column of settings without one language: en, mixup
MEAN = "mean"  # the column of a family's mean over its languages
SELDOM = 0.5  # of the probability
WRITING = "METHODS=xlt bash MMLU/scripts/mitigation.sh"


@dataclass
class Tabulate:
    """Tabulate accuracy by setting and language.

    Attributes:
        runs: run folders of MMLU/evaluate_mmlu.py, a list or separated by commas; several are also set side by side.
        out: the table's file name without its ending.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        seed: of the bootstrap intervals of the differences from English.
    """

    runs: str | list[str]
    out: str
    category: str | None = None
    seed: int = 42


def table_of(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per setting in table order: family, language, the summary's columns, and the interval of the difference.

    delta_low and delta_high are the 95% paired bootstrap interval of delta_vs_en; fractions, NaN where there is none.
    p_holm is p_mcnemar corrected for all settings of the table. Then one row per family of several languages, their
    mean: n questions, intervals over questions.
    """
    table = summarize(records)
    names = [family(setting) for setting in table["setting"]]
    table.insert(1, "family", [name for name, _ in names])
    table.insert(2, "language", [code or NO_LANGUAGE for _, code in names])
    intervals = [
        paired_bootstrap(*paired_correct(records, setting, "en"), seed=seed)[1:] if pd.notna(delta) else (None, None)
        for setting, delta in zip(table["setting"], table["delta_vs_en"], strict=True)
    ]
    for place, name in enumerate(("delta_low", "delta_high")):
        table.insert(table.columns.get_loc("p_mcnemar"), name, [pair[place] for pair in intervals])
    table["p_holm"] = holm(table["p_mcnemar"])
    return pd.concat([table, pd.DataFrame(means(records, table, seed), columns=table.columns)], ignore_index=True)


def holm(p_values: pd.Series) -> pd.Series:
    """The p-values of one family after Holm's correction; NaN stay NaN and do not count."""
    tested = p_values.dropna()
    if tested.empty:
        return p_values
    return pd.Series(multipletests(tested, method="holm")[1], index=tested.index).reindex(p_values.index)


def means(records: pd.DataFrame, table: pd.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of the families' means."""
    correct = records.pivot(index="id", columns="setting", values="correct")
    for name, own in table.groupby("family", sort=False):
        if len(own) < 2:
            continue
        answers = correct[list(own["setting"])]
        row = {"setting": name, "family": name, "language": MEAN, "n": len(answers)}
        row |= {"accuracy": answers.to_numpy().mean()}
        row |= dict(zip(("ci_low", "ci_high"), wilson_by_question(answers), strict=True))
        if "en" in correct:
            change = paired_bootstrap(answers.mean(axis=1), correct["en"], seed=seed)
            row |= dict(zip(("delta_vs_en", "delta_low", "delta_high"), change, strict=True))
        yield row


def share_of_labels(folder: str, records: pd.DataFrame) -> float:
    """The probability that the labels have together, a mean over prompts; NaN where it is not known."""
    if read_run(Path(folder))["config"]["answer_format"] != "letter":
        return np.nan
    return float(np.exp(logprobs_of(records).dropna(how="all")).sum(axis=1).mean())


def markdown(
    tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str], shares: Mapping[str, float], only: str | None
) -> str:
    """Each run's table, the runs side by side where there are several, and the comparison with the paper."""
    parts = ["# Accuracy by setting and language", ""]
    parts += [f"Questions of category {only}." if only else "All questions.", "Percent, with 95% Wilson intervals.", ""]
    for name, table in tables.items():
        sizes = ", ".join(str(n) for n in sorted(set(table["n"])))
        parts += [f"## {escaped(name)}", "", f"{escaped(titles[name])}, n = {sizes}", "", *_wide(table), ""]
        if pd.notna(shares[name]):
            parts += [f"The labels have {shares[name]:.1%} of the probability, mean over prompts.", ""]
        if len(tests := table.dropna(subset=["p_mcnemar"])):
            parts += [f"Against English, McNemar's p; in brackets Holm's correction for these {len(tests)} tests.", ""]
            cells = {(r.family, r.language): f"{r.p_mcnemar:.2g} ({r.p_holm:.2g})" for r in tests.itertuples()}
            parts += [*crossed("setting", cells), ""]
    if len(tables) > 1:
        parts += ["## Side by side", "", "Accuracy (difference from English).", "", *_side_by_side(tables), ""]
    return "\n".join([*parts, *_beside_paper(tables)]) + "\n"


def _wide(table: pd.DataFrame) -> list[str]:
    present = set(table["language"])
    codes = [code for code in (NO_LANGUAGE, *LANGUAGES, MEAN) if code in present]
    renamed = table.rename(columns={"delta_vs_en": "delta"})
    cells = {(row.family, row.language): interval(row, form=".2f") for row in renamed.itertuples()}
    # A family's last row is its mean, or its only one.
    changes = {row.family: interval(row, "delta", "+.2f") for row in renamed.itertuples()}
    rows = [[name, *(cells.get((name, code), "") for code in codes), changes[name]] for name in changes]
    return markdown_table(["setting", *codes, "difference from English"], rows)


def _side_by_side(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    indexed = [table.set_index("setting") for table in tables.values()]
    rows = []
    single = {setting for table in indexed for setting in table.index[table["language"] != MEAN]}
    pooled = dict.fromkeys(setting for table in indexed for setting in table.index[table["language"] == MEAN])
    for setting in [*sort_settings(single), *pooled]:
        found = [table.loc[setting] if setting in table.index else None for table in indexed]
        rows.append([setting, *("" if row is None else f"{100 * row.accuracy:.2f}{_delta(row)}" for row in found)])
    return markdown_table(["setting", *tables], rows)


def _delta(row: pd.Series) -> str:
    return "" if pd.isna(row.delta_vs_en) else f" ({100 * row.delta_vs_en:+.2f})"


def _beside_paper(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Accuracy and difference from English of en and mixup: these runs, then what is known of the paper's."""
    rows = []
    for name, table in tables.items():
        for row in table[table["setting"].isin(["en", "mixup"])].rename(columns={"delta_vs_en": "delta"}).itertuples():
            delta = interval(row, "delta", "+.2f")
            rows.append([name, row.setting, interval(row, form=".2f"), delta, "this run"])
    paper = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    for row in paper[paper["benchmark"] == "MMLU"].itertuples():
        model = f"{row.model}, {row.note}" if row.note else row.model
        values = [row.value, ""] if row.metric == "accuracy" else ["", row.value]
        rows.append([model, row.setting, *values, f"{row.paper}, {row.source}"])
    return [
        "## Beside the paper: MMLU, 0-shot",
        "",
        *markdown_table(["run or model", "setting", "accuracy", "difference from English", "source"], rows),
    ]


def main() -> None:
    config = parse(Tabulate)
    runs = comma_list(config.runs)
    if not runs:
        raise InputError("runs is empty; name at least one run folder of MMLU/evaluate_mmlu.py")
    tables, shares = {}, {}
    for folder in runs:
        records = load_category(folder, config.category)
        tables[folder], shares[folder] = table_of(records, config.seed), share_of_labels(folder, records)
        if shares[folder] < SELDOM:
            said = (
                f"note: {folder}: the labels have {shares[folder]:.1%} of the probability, so that answers seldom begin"
            )
            print(
                f"{said} with one; let the model write ({WRITING}), or leave out --chat where it was given",
                file=sys.stderr,
            )
    long = pd.concat([table.assign(run=folder) for folder, table in tables.items()])
    long.insert(0, "run", long.pop("run"))
    text = markdown(tables, {folder: run_title(folder) for folder in runs}, shares, config.category)
    write_result(__file__, config.out, dict(zip(runs, runs, strict=True)), long, text=text)


if __name__ == "__main__":
    run(main)
