"""Measures of consistency and transfer between languages: pure functions of accuracies, predictions and scores.

    rank_consistency(scores_en, scores_de)  # RankC of two languages, [questions, candidates] each

Where a measure does not exist (no questions, a zero denominator) it is NaN, with a RuntimeWarning that says why.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Constants(NamedTuple):
    """Accuracy by chance and of the reference, as fractions."""

    chance: float
    reference: float


# CLiKA's tasks (Gao et al., arXiv 2404.04659), from its code in per cent.
CLIKA = {
    "x_csqa": Constants(0.20, 0.746),
    "x_copa": Constants(0.50, 0.964),
    "x_name": Constants(0.25, 0.922),
    "x_geo": Constants(0.25, 0.970),
}


def _missing(reason: str) -> float:
    warnings.warn(reason, RuntimeWarning, stacklevel=3)
    return float("nan")


def rescaled_accuracy(accuracy: float, chance: float, reference: float) -> float:
    """CLiKA's RA: max(0, (accuracy - chance) / (reference - chance)), fractions; 0 is chance, 1 the reference.

    May exceed 1. NaN where the reference is no better than chance.
    """
    if reference <= chance:
        return _missing("rescaled accuracy: the reference is no better than chance")
    return max(0.0, (accuracy - chance) / (reference - chance))


def agreement(predictions_a: Sequence, predictions_b: Sequence) -> float:
    """Share of questions with the same prediction, 0 to 1; [n] each. NaN for n = 0."""
    a, b = _pair(predictions_a, predictions_b)
    return float((a == b).mean()) if len(a) else _missing("agreement: no questions")


def agreement_kappa(predictions_a: Sequence, predictions_b: Sequence) -> float:
    """Agreement above chance, Cohen's kappa: (agreement - e) / (1 - e), -1 to 1; [n] each.

    e is what two that answer independently, each label as often as here, would agree on. NaN for n = 0 and for e = 1.
    """
    a, b = _pair(predictions_a, predictions_b)
    if not len(a):
        return _missing("kappa: no questions")
    expected = sum(float((a == label).mean() * (b == label).mean()) for label in np.unique(np.concatenate([a, b])))
    if expected >= 1:
        return _missing("kappa: both give one and the same label to every question")
    return (agreement(a, b) - expected) / (1 - expected)


def correct_jaccard(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> float:
    """Questions right in both over questions right in either, 0 to 1; [n] each. NaN where none is right."""
    a, b = _truths(correct_a, correct_b)
    either = (a | b).sum()
    return float((a & b).sum() / either) if either else _missing("jaccard: no question is right in either")


def correct_jaccard_kappa(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> float:
    """`correct_jaccard` above chance: (J - e) / (1 - e), at most 1, 0 where the two are right independently; [n] each.

    e = pq / (p + q - pq) for accuracies p and q. NaN where none is right, and where both are right throughout.
    """
    a, b = _truths(correct_a, correct_b)
    jaccard = correct_jaccard(a, b)
    if np.isnan(jaccard):
        return jaccard
    p, q = a.mean(), b.mean()
    expected = p * q / (p + q - p * q)
    if expected >= 1:
        return _missing("jaccard above chance: every question is right in both")
    return float((jaccard - expected) / (1 - expected))


def rank_consistency(scores_a: Sequence[Sequence[float]], scores_b: Sequence[Sequence[float]]) -> float:
    """RankC (Qi et al., arXiv 2310.10378): do two languages rank the candidates of each question alike? 0 to 1.

    Mean over questions of sum_j w_j P@j, with P@j = |top j of a and top j of b in common| / j and w_j = softmax over j
    of (N - j), for N candidates. [questions, candidates] each, larger scores rank higher, the first of equal ones;
    questions may differ in their number of candidates (lists of lists, or NaN at the end). NaN without questions.
    """
    if len(scores_a) != len(scores_b):
        raise ValueError(f"{len(scores_a)} and {len(scores_b)} questions")
    if not len(scores_a):
        return _missing("RankC: no questions")
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


class Transfer(NamedTuple):
    """Shares of questions: right in both languages, and right in the target of those right in the source."""

    both: float
    given_source: float


def transfer(correct_source: Sequence[bool], correct_target: Sequence[bool]) -> Transfer:
    """ECLeKTic's two readings of transfer, 0 to 1; [n] each.

    NaN for n = 0, the second also if none is right in the source.
    """
    source, target = _truths(correct_source, correct_target)
    if not len(source):
        return Transfer(_missing("transfer: no questions"), float("nan"))
    both = (source & target).sum()
    known = source.sum()
    given = both / known if known else _missing("transfer: no question is right in the source language")
    return Transfer(float(both / len(source)), float(given))


def _pair(a: Sequence, b: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays [n]; a ValueError for other shapes or different lengths."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"two lists of the same length are needed, not shapes {a.shape} and {b.shape}")
    return a, b


def _truths(a: Sequence[bool], b: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Both as bool [n]; a ValueError for values that are neither true nor false."""
    a, b = _pair(a, b)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("values that are 0 or 1 are needed")
    return a.astype(bool), b.astype(bool)
