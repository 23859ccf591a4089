"""State the effect of mixed-language fine-tuning in one sentence, from one table of FT/tabulate_arms.py per seed.

    python FT/finding.py --tables 42=FT/results/world/remedy.csv --out FT/results/world/finding.csv

With one table the intervals are the table's own, over questions. With several, values are means over seeds with
Student's t intervals over seeds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from common.cli import InputError, named_list, parse, run
from common.reporting.files import read_csv
from common.reporting.results import write_result
from common.reporting.stats import LEVEL
from common.reporting.tables import interval

CHANGES = ("vs_base", "vs_control")


@dataclass
class Finding:
    """State the effect of mixed-language fine-tuning.

    Attributes:
        tables: such as 42=a/remedy.csv,43=b/remedy.csv; a list or separated by commas.
        out: CSV to write, one row per seed, arm and column, and the means over seeds.
        column: column of the tables that the sentence is about.
        arm: arm trained on mixed-language text that the sentence is about.
        control: arm trained on text in one language.
        subjects: those that the tables are of, known in one language alone; null is all.
    """

    tables: str | list[str]
    out: str
    column: str = "full"
    arm: str = "word"
    control: str = "en"
    subjects: str | None = None


def read_tables(tables: dict[str, str]) -> pd.DataFrame:
    """All tables below each other, with the seed in front."""
    changes = [f"{change}{end}" for change in CHANGES for end in ("", "_low", "_high")]
    numbers = ["n", "accuracy", *changes]
    found = []
    for seed, path in tables.items():
        try:
            table = read_csv(path).assign(seed=seed).reindex(columns=["seed", "arm", "column", *numbers])
            found.append(table.assign(**table[numbers].apply(pd.to_numeric)))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as a table of FT/tabulate_arms.py: {error}") from error
    return pd.concat(found)


def pool(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and t-interval over seeds of every arm and column; the table itself if it has one seed."""
    if table["seed"].nunique() == 1:
        return table
    rows = []
    for (arm, column), own in table.groupby(["arm", "column"], sort=False):
        row = {"seed": "mean", "arm": arm, "column": column, "n": own["n"].sum(), "accuracy": own["accuracy"].mean()}
        for change in CHANGES:
            mean, spread = own[change].mean(), own[change].std(ddof=1) / np.sqrt(len(own))
            half = student.ppf((1 + LEVEL) / 2, len(own) - 1) * spread
            row |= {change: mean, f"{change}_low": mean - half, f"{change}_high": mean + half}
        rows.append(row)
    return pd.DataFrame(rows)


def sentence(table: pd.DataFrame, config: Finding) -> str:
    """What was found, in words and with intervals."""
    rows = {row.arm: row for row in table[table["column"] == config.column].itertuples()}
    for arm in (config.arm, config.control):
        if arm not in rows:
            raise InputError(f"tables have no arm {arm} with a column {config.column}")
    mixed, control = rows[config.arm], rows[config.control]

    def say(row, change: str) -> str:
        return interval(row, change, "+.1f", " points")

    if mixed.vs_base_low > 0 and not mixed.vs_control_high < 0:
        verdict = "it narrows the barrier"
    elif mixed.vs_control_low > 0 and control.vs_base_high < 0:
        verdict = "it avoids what English-only text loses, but does not narrow the barrier"
    else:
        verdict = "no remedy can be shown"
    level = " (intervals over seeds, of these questions)" if mixed.seed == "mean" else ""
    asked = f"questions of column `{config.column}`"
    if config.subjects:
        asked = "facts asked in another language than they are known in"
    return (
        f"On {asked}, fine-tuning on English-only text changes accuracy by {say(control, 'vs_base')}, and the arm"
        f" `{config.arm}` by {say(mixed, 'vs_base')}, a difference of {say(mixed, 'vs_control')}: {verdict}{level}."
    )


def main() -> None:
    config = parse(Finding)
    table = read_tables(named_list(config.tables, "tables"))
    pooled = pool(table)
    said = sentence(pooled, config)
    everything = table if pooled is table else pd.concat([table, pooled])
    out = config.out.removesuffix(".csv")
    write_result(__file__, out, {}, everything, sentence=said, float_format="%.6f")


if __name__ == "__main__":
    run(main)
