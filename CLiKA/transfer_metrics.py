"""Measures of consistency and transfer between languages: pure functions of accuracies and predictions.

    correct_jaccard(correct_en, correct_de)  # of the same questions, [n] each

Where a measure does not exist (no questions, a zero denominator) it is NaN, with a RuntimeWarning that says why.
`weights` say how often each question counts, [n] or [resamples, n]: once where left out; with the latter the measure is
an array [resamples].
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Values = float | np.ndarray


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
LANGUAGES = ("en", "de", "fr", "it", "pl", "ru", "ja", "zh", "ar", "he")  # in which they are asked


def _missing(reason: str, stacklevel: int = 3) -> float:
    warnings.warn(reason, RuntimeWarning, stacklevel=stacklevel)
    return float("nan")


def rescaled_accuracy(accuracy: float, chance: float, reference: float) -> float:
    """CLiKA's RA: max(0, (accuracy - chance) / (reference - chance)), fractions; 0 is chance, 1 the reference.

    May exceed 1. NaN where the reference is no better than chance.
    """
    if reference <= chance:
        return _missing("rescaled accuracy: the reference is no better than chance")
    return max(0.0, (accuracy - chance) / (reference - chance))


def home_advantage(correct: np.ndarray, home: np.ndarray, weights: np.ndarray | None = None) -> Values:
    """How much better facts are known in the language of their country, beyond what fact and language explain.

    The least-squares effect of being at home, beside one effect for each fact and each language; -1 to 1, 0 where home
    does not matter. Asked by X-FaKT (arXiv 2502.17955); the measure is ours. `correct` is [facts, languages], 0 or 1;
    `home` [facts] is the column of a fact's country. NaN where all facts are at home in one language.
    """
    counts = np.ones(len(correct)) if weights is None else weights
    at_home, n = np.eye(correct.shape[1])[home], counts.sum(-1)
    shares = counts @ at_home  # n at_home - shares is what fact and language leave of at_home
    effect = n * (counts @ (correct * at_home)).sum(-1) - ((counts @ correct) * shares).sum(-1)
    return _share(effect, n**2 - (shares**2).sum(-1), "home advantage: all facts are at home in one language")


def agreement(predictions_a: Sequence, predictions_b: Sequence, weights: np.ndarray | None = None) -> Values:
    """Share of questions with the same prediction, 0 to 1; [n] each. NaN for n = 0."""
    a, b, counts = _pair(predictions_a, predictions_b, weights)
    return _share(counts @ (a == b), counts.sum(-1), "agreement: no questions")


def agreement_kappa(predictions_a: Sequence, predictions_b: Sequence, weights: np.ndarray | None = None) -> Values:
    """Agreement above chance, Cohen's kappa: (agreement - e) / (1 - e), -1 to 1; [n] each.

    e is what two that answer independently, each label as often as here, would agree on. NaN for n = 0 and for e = 1.
    """
    a, b, counts = _pair(predictions_a, predictions_b, weights)
    if not len(a):
        return _missing("kappa: no questions")
    labels = np.unique(np.concatenate([a, b]))
    expected = sum((counts @ (a == label)) * (counts @ (b == label)) for label in labels) / counts.sum(-1) ** 2
    reason = "kappa: both give one and the same label to every question"
    return _share(agreement(a, b, counts) - expected, 1 - expected, reason)


def correct_jaccard(correct_a: Sequence[bool], correct_b: Sequence[bool], weights: np.ndarray | None = None) -> Values:
    """Questions right in both over questions right in either, 0 to 1; [n] each. NaN where none is right."""
    a, b, counts = _truths(correct_a, correct_b, weights)
    return _share(counts @ (a & b), counts @ (a | b), "jaccard: no question is right in either")


def correct_jaccard_kappa(
    correct_a: Sequence[bool], correct_b: Sequence[bool], weights: np.ndarray | None = None
) -> Values:
    """`correct_jaccard` above chance: (J - e) / (1 - e), at most 1, 0 where the two are right independently; [n] each.

    e = pq / (p + q - pq) for accuracies p and q. NaN where none is right, and where both are right throughout.
    """
    a, b, counts = _truths(correct_a, correct_b, weights)
    jaccard = correct_jaccard(a, b, counts)
    p, q = (_divided(counts @ correct, counts.sum(-1)) for correct in (a, b))
    expected = _divided(p * q, p + q - p * q)
    return _share(jaccard - expected, 1 - expected, "jaccard above chance: every question is right in both")


class Transfer(NamedTuple):
    """Shares of questions: right in both languages, and right in the target of those right in the source."""

    both: Values
    given_source: Values


def transfer(
    correct_source: Sequence[bool], correct_target: Sequence[bool], weights: np.ndarray | None = None
) -> Transfer:
    """ECLeKTic's two readings of transfer, 0 to 1; [n] each.

    NaN for n = 0, the second also if none is right in the source.
    """
    source, target, counts = _truths(correct_source, correct_target, weights)
    if not len(source):
        return Transfer(_missing("transfer: no questions"), float("nan"))
    both = counts @ (source & target)
    given = _share(both, counts @ source, "transfer: no question is right in the source language")
    return Transfer(_share(both, counts.sum(-1), "transfer: no questions"), given)


def _pair(a: Sequence, b: Sequence, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both as arrays [n], and the weights, 1 where none are given; a ValueError for other shapes or lengths."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"two lists of the same length are needed, not shapes {a.shape} and {b.shape}")
    counts = np.ones(len(a)) if weights is None else np.asarray(weights, float)
    if counts.shape[-1:] != a.shape:
        raise ValueError(f"weights of shape {counts.shape} for {len(a)} questions")
    return a, b, counts


def _truths(
    a: Sequence[bool], b: Sequence[bool], weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same, both as bool; a ValueError for values that are neither true nor false."""
    a, b, counts = _pair(a, b, weights)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("values that are 0 or 1 are needed")
    return a.astype(bool), b.astype(bool), counts


def _divided(part: Values, whole: Values) -> Values:
    """part / whole, NaN where the whole is 0."""
    value = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) != 0)
    return value if value.ndim else float(value)


def _share(part: Values, whole: Values, reason: str) -> Values:
    """part / whole; NaN where the whole is 0, with a warning that says why."""
    if np.any(whole == 0):
        _missing(reason, stacklevel=4)
    return _divided(part, whole)
