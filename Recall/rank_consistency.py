"""RankC, whether two languages rank the candidates of a question alike (Qi et al., arXiv 2310.10378), and its heat map.

rank_consistency(scores_en, scores_de)  # [questions, candidates] each
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.reporting.plots import PAGE, draw_heat_map


def rank_consistency(scores_a: Sequence[Sequence[float]], scores_b: Sequence[Sequence[float]]) -> float:
    """RankC (Qi et al., arXiv 2310.10378): do two languages rank the candidates of each question alike? 0 to 1.

    Mean over questions of sum_j w_j P@j, with P@j = |top j of a and top j of b in common| / j and w_j = softmax over j
    of (N - j), for N candidates. [questions, candidates] each, larger scores rank higher, the first of equal ones;
    questions may differ in their number of candidates (lists of lists, or NaN at the end). NaN without questions.
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(f"{len(scores_a)} and {len(scores_b)} questions")
    if not len(scores_a):
        warnings.warn("RankC: no questions", RuntimeWarning, stacklevel=2)
        return float("nan")
    return float(np.mean([_rank_consistency(a, b) for a, b in zip(scores_a, scores_b, strict=True)]))


def _rank_consistency(a: Sequence[float], b: Sequence[float]) -> float:
    a, b = (np.asarray(scores, float) for scores in (a, b))
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if a.shape != b.shape or not len(a):
        raise ValueError(f"a question has {len(a)} and {len(b)} candidates")
    ranks = [np.argsort(np.argsort(-scores, kind="stable")) for scores in (a, b)]
    # A candidate is in both lists of the first j from the larger of its two ranks on.
    common = np.cumsum(np.bincount(np.maximum(*ranks), minlength=len(a)))
    places = np.arange(1, len(a) + 1)
    weights = np.exp(-places.astype(float))  # softmax does not change when N - 1 is taken from every value
    return float((weights / weights.sum() * common / places).sum())


def plot_rankings(table: pd.DataFrame) -> Figure:
    """Heat map of a table with language_a, language_b and value, from 0 to 1."""
    codes = list(table["language_a"].unique())
    grid = table.pivot(index="language_a", columns="language_b", values="value").loc[codes, codes]
    figure = Figure(figsize=(PAGE, 1.2 + 0.3 * len(codes)), layout="constrained")
    axis = figure.subplots()
    figure.colorbar(draw_heat_map(axis, grid.to_numpy(), codes, 1, ".2f"))
    axis.set_title("RankC")
    return figure
