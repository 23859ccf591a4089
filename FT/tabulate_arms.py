"""What fine-tuning does to the barrier: arms of training data against no fine-tuning and English-only fine-tuning.

    python FT/tabulate_arms.py --arms none=DIR,en=DIR,words=DIR --out FT/results/world/arms

Each DIR is a run folder of MMLU/evaluate_mmlu.py (or HP/evaluate_quiz.py) with the same questions. Writes <out>.csv (long:
one row per arm and column), <out>.md and the plot <out>.png, <out>.pdf, from the records and logs alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.cli import InputError, comma_list, named_list, parse, run
from common.evaluation.records import load_records
from common.reporting.files import write_csv_atomic, write_text_atomic
from common.reporting.plots import house_style, plot_arms, save_figure
from common.reporting.results import save_result
from common.reporting.stats import gap_closed, mcnemar, paired_bootstrap, wilson_by_question
from common.settings import family

COLUMNS = ("en", "mixup", "full", "full_held_out")


@dataclass
class Tabulate:
    """Tabulate the records of several arms.

    Attributes:
        arms: name=folder of each arm, a list or separated by commas.
        out: the table's file name without its ending.
        base: the arm without fine-tuning.
        control: the arm of English-only fine-tuning.
        held_out: languages that no arm was fine-tuned on; they have columns of their own.
        subjects: only questions whose subject begins so (english_only in the world); null for all.
        logs: name=folder of each trained model, whose log.csv has the perplexities; null for none.
        seed: of the bootstrap intervals.
    """

    arms: str | list[str]
    out: str
    base: str = "none"
    control: str = "en"
    held_out: str | list[str] = ""
    subjects: str | None = None
    logs: str | list[str] | None = None
    seed: int = 42


def scores(folder: Path, config: Tabulate) -> dict[str, pd.DataFrame]:
    """`correct` of each column of the table, [questions, settings]: en, mixup, full, full_held_out, each full_*."""
    records = load_records(folder)
    if config.subjects:
        records = records[records["subject"].str.startswith(config.subjects)]
    if records.empty:
        raise InputError(f"{folder}: no subject begins with {config.subjects!r}")
    table = records.pivot(index="id", columns="setting", values="correct")
    held_out = comma_list(config.held_out)
    full = [setting for setting in table if family(setting)[0] == "full"]
    columns = {
        "en": [setting for setting in table if setting == "en"],
        "mixup": [setting for setting in table if setting == "mixup"],
        "full": [setting for setting in full if family(setting)[1] not in held_out],
        "full_held_out": [setting for setting in full if family(setting)[1] in held_out],
    } | {setting: [setting] for setting in full}
    found = {name: table[settings] for name, settings in columns.items() if settings}
    if "en" not in found or found["en"].isna().any(axis=None):
        raise InputError(f"{folder}: setting en is missing; evaluate it with the others")
    incomplete = next((name for name, values in found.items() if values.isna().any(axis=None)), None)
    if incomplete:
        raise InputError(f"{folder}: setting {incomplete} has other questions than en; evaluate both on the same data")
    return found


def compare(arms: Mapping[str, dict[str, pd.DataFrame]], config: Tabulate) -> pd.DataFrame:
    """One row per arm and column.

    n counts answers; accuracies are fractions with Wilson intervals. Where a column pools several languages, these are
    those of `common.reporting.stats.wilson_by_question`, the differences are of a question's mean over them, resampled by
    question (paired bootstrap), and p_mcnemar is empty.
    """
    rows = []
    for arm, columns in arms.items():
        for name, correct in columns.items():
            row = {"arm": arm, "column": name, "n": correct.size, "accuracy": correct.to_numpy().mean()}
            row["ci_low"], row["ci_high"] = wilson_by_question(correct)
            for label, other in (("base", config.base), ("control", config.control)):
                if other not in arms or arm == other:
                    continue
                reference = matching(arms[other], name, correct, other)
                difference = paired_bootstrap(correct.mean(axis=1), reference.mean(axis=1), seed=config.seed)
                row |= dict(zip((f"vs_{label}", f"vs_{label}_low", f"vs_{label}_high"), difference, strict=True))
                if correct.shape[1] == 1:
                    row[f"vs_{label}_p_mcnemar"] = mcnemar(correct.iloc[:, 0], reference.iloc[:, 0])
            if arm != config.base and config.base in arms and name != "en":
                base = arms[config.base]
                english = base["en"].loc[correct.index].mean(axis=1)
                before = matching(base, name, correct, config.base).mean(axis=1)
                closed = gap_closed(english, before, correct.mean(axis=1), seed=config.seed)
                row |= dict(zip(("gap_closed", "gap_closed_low", "gap_closed_high"), closed, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def matching(columns: dict[str, pd.DataFrame], name: str, correct: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Another arm's scores of the same questions and settings."""
    other = columns.get(name)
    if other is None or list(other) != list(correct) or set(other.index) != set(correct.index):
        raise InputError(f"arm {arm}: column {name} has other questions or settings; evaluate all arms alike")
    return other.loc[correct.index]


def perplexities(logs: Mapping[str, str]) -> pd.DataFrame:
    """Last perplexity in each language, one row an arm."""
    rows = {}
    for arm, folder in logs.items():
        path = Path(folder) / "log.csv"
        if not path.exists():
            raise InputError(f"{path}: no such file; FT/train.py writes it")
        log = pd.read_csv(path)
        found = log[[column for column in log if column.startswith("perplexity_")]].dropna(how="all")
        if len(found):
            rows[arm] = found.iloc[-1].rename(lambda name: name.removeprefix("perplexity_"))
    return pd.DataFrame(rows).T.rename_axis("arm").reset_index()


def markdown(table: pd.DataFrame, perplexity: pd.DataFrame | None, config: Tabulate) -> str:
    """Arms down, columns across: accuracy with interval, difference from the base, gap closed."""
    shown = [name for name in COLUMNS if name in set(table["column"])]
    shown += [name for name in table["column"].unique() if name not in shown]
    cells = {(row.arm, row.column): row for row in table.itertuples()}
    lines = ["# What fine-tuning does to the barrier", ""]
    lines += [f"Percent, 95% intervals; in brackets the difference from `{config.base}` in points.", ""]
    lines += _row(["arm", *shown]) + _row(["---"] * (len(shown) + 1))
    for arm in table["arm"].unique():
        lines += _row([arm, *(_cell(cells[arm, name]) for name in shown)])
    lines += ["", f"Against `{config.control}`, in points; and share of the drop from English that is recovered:", ""]
    lines += _row(["arm", "column", f"against {config.control}", "gap closed"]) + _row(["---"] * 4)
    for row in table.itertuples():
        if row.column in COLUMNS and row.arm != config.base:
            lines += _row([row.arm, row.column, _interval(row, "vs_control"), _interval(row, "gap_closed")])
    if perplexity is not None and len(perplexity):
        lines += ["", "Perplexity on held-out text by language:", "", *_row(list(perplexity))]
        lines += _row(["---"] * perplexity.shape[1])
        for row in perplexity.itertuples(index=False):
            lines += _row([row[0], *(f"{value:.2f}" for value in row[1:])])
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _cell(row) -> str:
    change = getattr(row, "vs_base", np.nan)
    text = f"{100 * row.accuracy:.1f} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
    return text if pd.isna(change) else f"{text} ({100 * change:+.1f})"


def _interval(row, name: str) -> str:
    value, low, high = (getattr(row, f"{name}{end}", np.nan) for end in ("", "_low", "_high"))
    return "" if pd.isna(value) else f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def main() -> None:
    config = parse(Tabulate)
    folders = {name: Path(folder) for name, folder in named_list(config.arms, "arms").items()}
    for name in (config.base, config.control):
        if name not in folders:
            raise InputError(f"arms has no {name}=folder; add it, or name another with --base and --control")
    arms = {arm: scores(folder, config) for arm, folder in folders.items()}
    table = compare(arms, config)
    perplexity = perplexities(named_list(config.logs, "logs")) if config.logs else None
    write_csv_atomic(f"{config.out}.csv", table, float_format="%.6f")
    write_text_atomic(f"{config.out}.md", markdown(table, perplexity, config))
    with house_style():
        pictures = save_figure(plot_arms(table[table["column"].isin(COLUMNS)]), config.out)
    save_result(__file__, config.out, folders, [f"{config.out}.md", f"{config.out}.csv", *pictures])
    print(markdown(table, perplexity, config))


if __name__ == "__main__":
    run(main)
