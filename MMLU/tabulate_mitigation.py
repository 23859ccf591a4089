"""Compare inference-time mitigations with the plain prompt: the effect of each on every setting, and its cost.

    python MMLU/tabulate_mitigation.py --plain DIR --runs xlt=DIR,labels_lower=DIR --out MMLU/results/mitigation

Writes <out>.csv (one row per method and setting), <out>.md and the plot <out>.png, <out>.pdf from records alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from categories import load_category

from common.cli import InputError, named_list, parse, run
from common.reporting.plots import plot_arms
from common.reporting.provenance import read_run
from common.reporting.results import write_result
from common.reporting.stats import chance_level, gap_closed, mcnemar, paired_bootstrap, wilson_by_question
from common.reporting.tables import interval
from common.reporting.tables import table as markdown_table
from common.settings import family

PLAIN = "plain"
POOLED = ("full", "options", "question", "threewrong", "mixup")  # columns of the table in Markdown, after en


@dataclass
class TabulateMitigation:
    """Compare mitigation methods with the plain prompt.

    Attributes:
        plain: run folder of the plain prompt (MMLU/evaluate_mmlu.py, or MMLU/mitigate.py without a method).
        runs: name=folder of each method's run, a list or separated by commas.
        out: the table's file name without its ending.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        seed: of the bootstrap intervals.
    """

    plain: str
    runs: str | list[str]
    out: str
    category: str | None = None
    seed: int = 42


def columns_of(records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`correct` of every setting and of every family with several languages pooled, [questions, settings]."""
    table = records.pivot(index="id", columns="setting", values="correct")
    columns = {name: [name] for name in table}
    for name in table:
        columns.setdefault(family(name)[0], []).append(name) if family(name)[1] else None
    return {name: table[settings].dropna() for name, settings in columns.items()}


def tabulate(records: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """One row per method and setting, or family of settings, from the records of each; one method is the plain prompt.

    Columns method, setting, n, accuracy, ci_low, ci_high; extracted, the share of answers that name an option; vs_plain
    with its 95% paired bootstrap interval over questions; p_mcnemar where the column is one setting; gap_closed, the
    share of the plain prompt's drop from English that is recovered, with its interval.
    """
    correct = {name: columns_of(table) for name, table in records.items()}
    plain = correct[PLAIN]
    if "en" not in plain:
        raise InputError(f"run {PLAIN}: setting en is missing; evaluate the plain prompt in English too")
    rows = []
    for name, columns in correct.items():
        for setting, own in columns.items():
            row = {"method": name, "setting": setting, "n": own.size, "accuracy": own.to_numpy().mean()}
            row["ci_low"], row["ci_high"] = wilson_by_question(own)
            row["extracted"] = share_extracted(records[name], list(own))
            if name != PLAIN and setting in plain:
                base = plain[setting]
                if list(base) != list(own) or set(base.index) != set(own.index):
                    raise InputError(f"run {name}: setting {setting} has other questions than the plain prompt's")
                base, english = base.loc[own.index], plain["en"].loc[own.index].iloc[:, 0]
                means = own.mean(axis=1), base.mean(axis=1)
                change = paired_bootstrap(*means, seed=seed)
                row |= dict(zip(("vs_plain", "vs_plain_low", "vs_plain_high"), change, strict=True))
                if own.shape[1] == 1:
                    row["p_mcnemar"] = mcnemar(own.iloc[:, 0], base.iloc[:, 0])
                if setting != "en":
                    closed = gap_closed(english, means[1], means[0], seed=seed)
                    row |= dict(zip(("gap_closed", "gap_closed_low", "gap_closed_high"), closed, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def share_extracted(records: pd.DataFrame, settings: list[str]) -> float:
    """Share of the answers in these settings that name an option; 1 where letters were compared."""
    if "extracted" not in records:
        return 1.0
    return records.loc[records["setting"].isin(settings), "extracted"].astype(int).mean()


def costs(runs: Mapping[str, str]) -> pd.DataFrame:
    """Tokens computed and seconds of each method, summed over all sessions of its run and all settings.

    Where a model writes its answers, every prompt counts in full, including the prefix shared with other prompts, as a
    server counts it. Seconds include reading or translating the questions and scoring them, but not loading the model.
    NaN where a session was killed, since its cost is unknown.
    """
    rows = []
    for name, folder in runs.items():
        sessions = read_run(Path(folder))["sessions"]
        if any(session["end"] is None for session in sessions):
            rows.append((name, np.nan, np.nan))
            continue
        times = [[datetime.fromisoformat(session[key]) for key in ("start", "end")] for session in sessions]
        tokens = sum(session.get("computed_tokens", 0) for session in sessions)
        seconds = sum((end - start).total_seconds() for start, end in times)
        rows.append((name, tokens, seconds + sum(session.get("preparation_seconds", 0) for session in sessions)))
    return pd.DataFrame(rows, columns=["method", "tokens", "seconds"])


def markdown(table: pd.DataFrame, cost: pd.DataFrame, category: str | None) -> str:
    """Methods down, settings across; then the share of the drop from English that each recovers."""
    shown = ["en", *(name for name in POOLED if name in set(table["setting"]))]
    cells = {(row.method, row.setting): row for row in table.itertuples()}
    asked = ", ".join(f"{cells[PLAIN, name].n:,} in `{name}`" for name in shown if (PLAIN, name) in cells)
    lines = ["# Fixes that need no training", ""]
    lines += [f"{f'Questions of category {category}' if category else 'All questions'}, answers: {asked}.", ""]
    lines += ["Percent with 95% intervals; in brackets the difference from the plain prompt in points, paired."]
    rows, closed = [], []
    for row in cost.itertuples():
        extracted = min(one.extracted for (method, _), one in cells.items() if method == row.method)
        found = [cells.get((row.method, name)) for name in shown]
        spent = ["" if np.isnan(x) else f"{x:,.0f}" for x in (row.tokens, row.seconds)]
        rows.append([row.method, *(_cell(one) for one in found), f"{100 * extracted:.1f}", *spent])
        if row.method != PLAIN:
            closed.append([row.method, *(interval(one, "gap_closed", ".0f") for one in found[1:])])
    lines += ["", *markdown_table(["method", *shown, "extracted", "tokens", "seconds"], rows)]
    lines += ["", "Share of the plain prompt's drop from English that is recovered, percent:", ""]
    lines += markdown_table(["method", *shown[1:]], closed)
    return "\n".join(lines) + "\n"


def _cell(row: tuple | None) -> str:
    change = interval(row, "vs_plain", "+.1f")
    return f"{interval(row)} ({change})" if change else interval(row)


def main() -> None:
    config = parse(TabulateMitigation)
    runs = {PLAIN: config.plain} | named_list(config.runs, "runs")
    records = {name: load_category(folder, config.category) for name, folder in runs.items()}
    table, cost = tabulate(records, config.seed), costs(runs)
    pooled = table[table["setting"].isin(["en", *POOLED])].rename(columns={"method": "arm", "setting": "column"})
    chance = chance_level(records[PLAIN]["option_languages"])
    text, long = markdown(table, cost, config.category), table.merge(cost, on="method")
    write_result(__file__, config.out, runs, long, text=text, plot=(plot_arms, pooled, chance))


if __name__ == "__main__":
    run(main)
