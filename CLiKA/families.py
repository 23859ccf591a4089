"""Pairs of models that differ in how they were made, and what that changes."""

from pathlib import Path

import pandas as pd
import transfer_metrics as metrics
from rows import read_rows
from transfer_metrics import LANGUAGES

from common.cli import InputError
from common.reporting.stats import paired_bootstrap

FAMILIES = Path(__file__).with_name("data") / "families.csv"
VALUES = {"accuracy": "correct", "agreement with English": "same_as_en"}


def read_families(path: str) -> pd.DataFrame:
    """The table of pairs; InputError for a target that is no language of CLiKA's."""
    table = read_rows(path, ["comparison", "before", "after", "target"])
    wrong = ~table["target"].isin(["", *LANGUAGES])
    if wrong.any():
        row = int(wrong.idxmax())
        raise InputError(f"{path}, row {row + 1}: target {table['target'][row]!r} is none of {', '.join(LANGUAGES)}")
    return table


def compare_families(table: pd.DataFrame, families: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What changes from one model of a family to another, on the questions that both were asked.

    Columns comparison, before, after, target, task, measure, languages (en, the target, others: their mean for every
    question), n, value_before, value_after, difference, ci_low, ci_high (95%, paired bootstrap over questions).
    """
    rows = []
    groups = dict(list(table.groupby(["model", "task"], sort=False, observed=True)))
    for comparison, before, after, target in families.itertuples(index=False):
        for task in metrics.CLIKA:
            if (before, task) not in groups or (after, task) not in groups:
                continue
            two = [groups[model, task] for model in (before, after)]
            for measure, column in VALUES.items():
                wide = [one.pivot(index="id", columns="language", values=column).dropna() for one in two]
                if any(one.empty for one in wide):  # no English to agree with
                    continue
                codes = [code for code in LANGUAGES if all(code in one for one in wide)]
                parts = {"en": ["en"], target: [target], "others": [c for c in codes if c not in ("en", target)]}
                for name, own in parts.items():
                    own = [code for code in own if code in codes]
                    if not own or (measure != "accuracy" and own == ["en"]):
                        continue
                    here, there = (one[own].mean(axis=1) for one in wide)
                    if set(here.index) != set(there.index):
                        raise InputError(
                            f"{before} and {after} were asked other questions of {task}; compare the files"
                        )
                    found = paired_bootstrap(there.loc[here.index], here, seed=seed)
                    shown = (len(here), here.mean(), there.mean(), *found)
                    rows.append((comparison, before, after, target, task, measure, name, *shown))
    names = ["comparison", "before", "after", "target", "task", "measure", "languages", "n", "value_before"]
    return pd.DataFrame(rows, columns=[*names, "value_after", "difference", "ci_low", "ci_high"])


def in_families(models: list[str], families: pd.DataFrame) -> list[str]:
    """The models, members of one family side by side in the order of its table, the others behind."""
    named = dict.fromkeys(name for pair in families[["before", "after"]].to_numpy() for name in pair)
    return [*(name for name in named if name in models), *(name for name in models if name not in named)]
