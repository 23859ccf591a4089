"""Gaps between languages with their intervals, which two tables here have: in a row, and in words."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.reporting.stats import paired_bootstrap


def interval_of(name: str, values: Sequence[float], seed: int) -> dict[str, float]:
    """The mean of one value a question, and its 95% bootstrap interval: <name>, <name>_low, <name>_high."""
    found = paired_bootstrap(values, np.zeros(len(values)), seed=seed)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def points(row: Mapping, name: str, sign: int = 1) -> str:
    """ "6.9 points [1.9, 11.9]"."""
    low, high = sorted(sign * 100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{sign * 100 * row[name]:.1f} points [{low:.1f}, {high:.1f}]"
