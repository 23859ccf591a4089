"""Intervals and paired tests for accuracies."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95
RESAMPLES = 10_000


def wilson(k: float, n: float) -> tuple[float, float]:
    """Wilson score interval of k successes in n trials, as fractions; (nan, nan) for n = 0.

    Raises ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes in {n} trials")
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(k, n, alpha=1 - LEVEL, method="wilson")
    # Rounding leaves 1e-17 instead of 0 where every trial went the same way.
    return (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))


def wilson_by_question(correct: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """Wilson score interval of the mean of `correct`, [questions, settings]: 0 or 1, or NaN where it was not asked.

    Answers to one question are alike, so that n is the number of independent answers that would vary as much as those
    to whole questions do (Franco et al. 2019, the effective sample size), at least one a question and at most all. With
    one setting it is `wilson`.
    """
    correct = np.asarray(correct, float)
    if correct.ndim != 2 or not np.isin(correct[~np.isnan(correct)], (0, 1)).all():
        raise ValueError(f"0 or 1 for every question in every setting, not values of shape {correct.shape}")
    if not (asked := int((~np.isnan(correct)).sum())):
        return float("nan"), float("nan")
    questions, mean = len(correct), np.nanmean(correct)
    spread = np.square(np.nansum(correct - mean, axis=1)).sum() / asked**2  # of the ratio of two sums
    n = min(max(mean * (1 - mean) * (1 - 1 / questions) / spread, questions), asked) if spread else questions
    return wilson(mean * n, n)


def mcnemar(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> float:
    """Exact two-sided McNemar p-value of two 0/1 sequences over the same questions, [n] each; 1.0 if none differs."""
    a, b = _paired(correct_a, correct_b)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("McNemar's test needs values that are 0 or 1")
    only_a, only_b = int((a > b).sum()), int((a < b).sum())
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float, float]:
    """Difference mean(a) - mean(b) of scores of the same items, [n] each, and its percentile bootstrap interval.

    Items are resampled in pairs. Returns (difference, low, high), all nan for n = 0. Same seed, same interval.
    """
    a, b = _paired(a, b)
    if not len(a):
        return float("nan"), float("nan"), float("nan")
    # Resampling items is drawing how often each distinct difference occurs: for 0/1 scores three numbers, not n.
    values, counts = np.unique(a - b, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = [rng.multinomial(len(a), counts / len(a), size=100) @ values for _ in range(-(-resamples // 100))]
    return float((a - b).mean()), *_percentiles(np.concatenate(draws)[:resamples] / len(a), level)


def gap_closed(
    english: Sequence[float], before: Sequence[float], after: Sequence[float], *, seed: int, level: float = LEVEL
) -> tuple[float, float, float]:
    """Share of the drop from English that a remedy recovers: (after - before) / (english - before), and its interval.

    Scores of the same questions, [n] each: in English and elsewhere before the remedy, elsewhere after it. The
    interval is a percentile bootstrap over questions, of the resamples with a drop. All nan where there is no drop;
    without an interval where it is so small that more resamples than 1 - level have none.
    """
    english, before = _paired(english, before)
    after, _ = _paired(after, before)
    drop, gain = english - before, after - before
    if not len(drop) or drop.mean() <= 0:
        return float("nan"), float("nan"), float("nan")
    # As above: for 0/1 scores there are a handful of distinct questions.
    values, counts = np.unique(np.stack([drop, gain]), axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = [rng.multinomial(len(drop), counts / len(drop), size=100) @ values.T for _ in range(RESAMPLES // 100)]
    drops, gains = np.concatenate(draws).T
    return float(gain.mean() / drop.mean()), *_of_ratio(gains, drops, level)


def conductivity(
    taught: Sequence[float], elsewhere: Sequence[float], chance: float, *, seed: int, level: float = LEVEL
) -> tuple[float, float, float]:
    """Share of what is taught in one language that is known in others: 0 none, 1 all; may lie below and above.

    (accuracy elsewhere - chance) / (accuracy where taught - chance), and its percentile bootstrap interval over facts.
    [facts] each, 0 or 1, or a fact's mean over languages. All NaN, with a RuntimeWarning, without facts or where what
    is taught is not known above chance; without an interval where that is so in more resamples than 1 - level.
    """
    taught, elsewhere = _paired(taught, elsewhere)
    if not len(taught) or taught.mean() <= chance:
        reason = "what was taught is not known above chance" if len(taught) else "no facts"
        warnings.warn(f"conductivity: {reason}", RuntimeWarning, stacklevel=2)
        return (float("nan"),) * 3
    draws = np.random.default_rng(seed).integers(0, len(taught), (RESAMPLES, len(taught)))
    above, known = elsewhere - chance, taught - chance
    return float(above.mean() / known.mean()), *_of_ratio(above[draws].mean(axis=1), known[draws].mean(axis=1), level)


def chance_level(option_languages: Iterable[str]) -> float:
    """Accuracy of guessing, a fraction: the mean of 1 / number of options over the records' column of that name."""
    return float(np.mean([1 / len(languages.split("|")) for languages in option_languages]))


def _of_ratio(over: np.ndarray, under: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of a resampled ratio; NaN where more resamples than 1 - level have nothing to divide by."""
    found = over[under > 0] / under[under > 0]
    return _percentiles(found, level) if len(found) >= level * len(over) else (float("nan"),) * 2


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """The ends of the central `level` of resampled values."""
    tail = 100 * (1 - level) / 2
    return tuple(np.percentile(values, [tail, 100 - tail]).tolist())


def _paired(a: Sequence[float], b: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [n]; a ValueError for other shapes, different lengths or missing values."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"paired scores need two lists of the same length, not shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("paired scores must be finite numbers; leave missing items out of both")
    return a, b
