"""Compare arms of training data with no fine-tuning and with English-only fine-tuning.

    python FT/tabulate_arms.py --arms none=DIR,en=DIR,words=DIR --out FT/results/world/arms

Each DIR is a run folder of MMLU/evaluate_mmlu.py or HP/evaluate_quiz.py with the same questions. Writes <out>.csv (one
row per arm and column), <out>.md and the plot <out>.png, <out>.pdf, from the records and logs alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, comma_list, named_list, parse, run
from common.evaluation.records import load_records
from common.languages import get
from common.reporting.plots import plot_arms
from common.reporting.results import write_result
from common.reporting.stats import chance_level, gap_closed, mcnemar, paired_bootstrap, wilson_by_question
from common.reporting.tables import from_frame, interval
from common.reporting.tables import table as markdown_table
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
        held_out: languages that no arm was fine-tuned on; they get columns of their own.
        subjects: only questions whose subject begins with this (english_only in the synthetic world); null for all.
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


def read(folder: Path, config: Tabulate) -> pd.DataFrame:
    """The records of a run, of the configured subjects."""
    records = load_records(folder)
    records = records[records["subject"].str.startswith(config.subjects or "")]
    if records.empty:
        raise InputError(f"{folder}: no subject begins with {config.subjects!r}")
    return records


def scores(arm: str, records: pd.DataFrame, config: Tabulate) -> dict[str, pd.DataFrame]:
    """`correct` of each column of the table, [questions, settings]: en, mixup, full, full_held_out, each full_*."""
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
        raise InputError(f"arm {arm}: setting en is missing; evaluate it with the others")
    incomplete = next((name for name, values in found.items() if values.isna().any(axis=None)), None)
    if incomplete:
        raise InputError(f"arm {arm}: setting {incomplete} has other questions than en; evaluate both on the same data")
    return found


def compare(arms: Mapping[str, dict[str, pd.DataFrame]], config: Tabulate) -> pd.DataFrame:
    """One row per arm and column.

    n counts answers; accuracies are fractions with 95% Wilson intervals. Where a column pools several languages, the
    interval is `common.reporting.stats.wilson_by_question`, differences are of a question's mean over the languages,
    resampled by question (paired bootstrap), and p_mcnemar is empty.
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
    """Last perplexity in each language, one row per arm."""
    rows = {}
    for arm, folder in logs.items():
        path = Path(folder) / "log.csv"
        try:
            log = pd.read_csv(path)
            names = [column for column in log if column.startswith("perplexity_")]
            found = log[names].dropna(how="all").astype(float)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as a log of FT/train.py: {error}") from error
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
    rows = [[arm, *(_cell(cells[arm, name]) for name in shown)] for arm in table["arm"].unique()]
    lines += markdown_table(["arm", *shown], rows)
    lines += ["", f"Against `{config.control}`, in points; and share of the drop from English that is recovered:", ""]
    rows = [
        [row.arm, row.column, interval(row, "vs_control", "+.1f"), interval(row, "gap_closed", "+.1f")]
        for row in table.itertuples()
        if row.column in COLUMNS and row.arm != config.base
    ]
    lines += markdown_table(["arm", "column", f"against {config.control}", "gap closed"], rows)
    if perplexity is not None and len(perplexity):
        lines += ["", "Perplexity on held-out text by language:", "", *from_frame(perplexity)]
    return "\n".join(lines) + "\n"


def _cell(row: tuple) -> str:
    change = getattr(row, "vs_base", float("nan"))
    return interval(row) if pd.isna(change) else f"{interval(row)} ({100 * change:+.1f})"


def main() -> None:
    config = parse(Tabulate)
    for code in comma_list(config.held_out):
        get(code)
    folders = {name: Path(folder) for name, folder in named_list(config.arms, "arms").items()}
    for name in (config.base, config.control):
        if name not in folders:
            raise InputError(f"arms has no {name}=folder; add it, or name another with --base and --control")
    records = {arm: read(folder, config) for arm, folder in folders.items()}
    table = compare({arm: scores(arm, own, config) for arm, own in records.items()}, config)
    perplexity = perplexities(named_list(config.logs, "logs")) if config.logs else None
    chance = chance_level(records[config.base]["option_languages"])
    plot = (plot_arms, table[table["column"].isin(COLUMNS)], chance)
    text = markdown(table, perplexity, config)
    write_result(__file__, config.out, folders, table, text=text, plot=plot, float_format="%.6f")


if __name__ == "__main__":
    run(main)
