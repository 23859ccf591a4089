"""Intervals and paired tests against values worked out by hand or by the exact formula."""

import math
import random

import numpy as np
import pytest
from scipy.stats import binom

from common.reporting.stats import (
    chance_level,
    conductivity,
    gap_closed,
    mcnemar,
    paired_bootstrap,
    wilson,
    wilson_by_question,
)


def test_wilson_follows_the_formula():
    k, n, z = 68, 100, 1.959963984540054
    centre = (k / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    assert wilson(k, n) == pytest.approx((centre - half, centre + half))


def test_wilson_at_the_borders():
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
    assert wilson(0, 10)[1] == pytest.approx(1 - wilson(10, 10)[0])
    assert all(math.isnan(value) for value in wilson(0, 0))
    with pytest.raises(ValueError):
        wilson(3, 2)


def test_questions_asked_several_times_count_for_what_they_are_worth():
    rng = np.random.default_rng(0)
    once = rng.random((80, 1)) < 0.4
    assert wilson_by_question(once) == wilson(int(once.sum()), 80)
    same = np.repeat(once, 5, axis=1)
    assert wilson_by_question(same) == pytest.approx(wilson(int(once.sum()), 80))
    every = np.ones((80, 5))
    assert wilson_by_question(every) == pytest.approx(wilson(80, 80))
    # By hand: means 0, 1/2, 1/2, 1 and 1 have a variance of 7/40, of their mean 7/200; 6/25 / (7/200) = 48/7 answers.
    few = [[0, 0], [0, 1], [1, 0], [1, 1], [1, 1]]
    n, z = 48 / 7, 1.959963984540054
    centre, half = (0.6 + z * z / (2 * n)) / (1 + z * z / n), math.sqrt(0.24 / n + z * z / (4 * n * n))
    half *= z / (1 + z * z / n)
    assert wilson_by_question(few) == pytest.approx((centre - half, centre + half))
    nan = float("nan")
    assert wilson_by_question([[*row, nan] for row in few]) == wilson_by_question(few)
    # 4 of 7 right: the questions have 6/7 more, 1/7 fewer and 5/7 fewer right than that share of them.
    n = (12 / 49) * (2 / 3) / (62 / 49 / 7**2)
    assert wilson_by_question([[1, 1, nan], [1, nan, 0], [1, 0, 0]]) == pytest.approx(wilson(4 * n / 7, n))
    assert all(math.isnan(value) for value in wilson_by_question(np.zeros((0, 4))))
    with pytest.raises(ValueError, match="0 or 1"):
        wilson_by_question([[0.5]])


def test_the_interval_by_question_covers_what_it_should():
    """Questions of different difficulty, each asked in six languages: plain Wilson intervals cover far too little."""
    rng = np.random.default_rng(1)
    samples = [rng.random((60, 6)) < rng.beta(0.2, 0.3, size=(60, 1)) for _ in range(600)]
    by_question = [wilson_by_question(sample) for sample in samples]
    by_answer = [wilson(int(sample.sum()), sample.size) for sample in samples]
    covered, too_little = (np.mean([low <= 0.4 <= high for low, high in found]) for found in (by_question, by_answer))
    assert 0.92 <= covered <= 0.98 and too_little < 0.8


def test_mcnemar_is_the_exact_binomial_test():
    a = np.array([1] * 9 + [0] * 2 + [1] * 5 + [0] * 4)
    b = np.array([0] * 9 + [1] * 2 + [1] * 5 + [0] * 4)
    assert mcnemar(a, b) == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_without_differences():
    assert mcnemar([1, 0, 1], [1, 0, 1]) == 1.0
    assert mcnemar([], []) == 1.0
    assert mcnemar([1, 0], [0, 1]) == 1.0


def test_paired_bootstrap_is_seeded_and_close_to_the_normal_interval():
    rng = np.random.default_rng(0)
    a, b = rng.random(2000) < 0.8, rng.random(2000) < 0.7
    first = paired_bootstrap(a, b, seed=1)
    assert first == paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)
    difference = a.astype(float) - b
    half = 1.96 * difference.std() / math.sqrt(len(a))
    assert first == pytest.approx((difference.mean(), difference.mean() - half, difference.mean() + half), abs=2e-3)


def test_paired_bootstrap_takes_real_scores_and_nothing():
    difference, low, high = paired_bootstrap([1.5, 2.5, 0.5], [1.0, 1.0, 1.0], seed=0)
    assert difference == pytest.approx(0.5) and low <= difference <= high
    assert all(math.isnan(value) for value in paired_bootstrap([], [], seed=0))


@pytest.mark.parametrize(("a", "b"), [([1, 0], [1]), ([1, math.nan], [1, 0]), ([[1]], [[0]])])
def test_unpaired_scores_are_refused(a, b):
    with pytest.raises(ValueError):
        mcnemar(a, b)
    with pytest.raises(ValueError):
        paired_bootstrap(a, b, seed=0)


def test_mcnemar_needs_right_or_wrong():
    with pytest.raises(ValueError):
        mcnemar([0.5], [1])


def test_gap_closed_is_the_share_of_the_drop_that_is_recovered():
    english, before = [1.0] * 200, [1.0, 0.0] * 100
    after = [1.0, 0.0, 1.0, 1.0] * 50
    share, low, high = gap_closed(english, before, after, seed=0)
    assert share == pytest.approx(0.5) and low < 0.5 < high and high - low < 0.4
    assert (
        gap_closed(english, before, english, seed=0)[0] == 1.0 and gap_closed(english, before, before, seed=0)[0] == 0.0
    )
    assert (share, low, high) == gap_closed(english, before, after, seed=0)


def test_gap_closed_of_a_small_gap_has_the_interval_of_the_resamples_with_one():
    """English 161 of 319 right and mixed up 139, with 45 and 23 that only one of them has; the fix is as English."""
    english, before = [1.0] * 161 + [0.0] * 158, [1.0] * 116 + [0.0] * 45 + [1.0] * 23 + [0.0] * 135
    share, low, high = gap_closed(english, before, english, seed=0)
    assert (share, low, high) == (1.0, 1.0, 1.0)
    after = [1.0] * 116 + [0.0] * 203
    share, low, high = gap_closed(english, before, after, seed=0)
    assert share == pytest.approx(-23 / 22) and low < -1 < high < 0
    weak = gap_closed([1, 1, 1, 0, 0] * 4, [1, 1, 0, 1, 0] * 4, [1, 1, 1, 1, 0] * 4, seed=0)
    assert all(math.isnan(value) for value in weak)
    share, low, high = gap_closed([1.0, 1, 1, 0], [1.0, 0, 0, 1], [1.0, 1, 1, 1], seed=0)
    assert share == 2 and math.isnan(low) and math.isnan(high)


def test_gap_closed_of_no_gap_is_not_a_number():
    assert all(math.isnan(value) for value in gap_closed([1, 0], [1, 0], [1, 1], seed=0))
    with pytest.raises(ValueError):
        gap_closed([1, 0], [1, 0], [1], seed=0)


def test_conductivity_equals_a_slow_bootstrap():
    rng = random.Random(1)
    taught = [int(rng.random() < 0.95) for _ in range(200)]
    elsewhere = [rng.random() * 0.6 for _ in range(200)]
    value, low, high = conductivity(taught, elsewhere, 0.25, seed=3)
    assert value == pytest.approx((np.mean(elsewhere) - 0.25) / (np.mean(taught) - 0.25)) and low < value < high
    slow = []
    for _ in range(2000):
        rows = [rng.randrange(200) for _ in range(200)]
        slow.append((np.mean([elsewhere[i] for i in rows]) - 0.25) / (np.mean([taught[i] for i in rows]) - 0.25))
    assert (low, high) == (
        pytest.approx(np.percentile(slow, 2.5), abs=0.02),
        pytest.approx(np.percentile(slow, 97.5), abs=0.02),
    )
    assert conductivity(taught, taught, 0.25, seed=3) == (1, 1, 1)


@pytest.mark.parametrize(("taught", "reason"), [([], "no facts"), ([0], "not known above chance")])
def test_conductivity_of_what_is_not_known_is_nan_with_a_reason(taught, reason):
    with pytest.warns(RuntimeWarning, match=reason):
        assert all(map(math.isnan, conductivity(taught, taught, 0.25, seed=1)))


def test_conductivity_of_what_may_not_be_known_has_no_interval():
    elsewhere = [1] * 20 + [0] * 40
    value, low, high = conductivity([1] * 17 + [0] * 43, elsewhere, 0.25, seed=1)
    assert value == pytest.approx((1 / 3 - 0.25) / (17 / 60 - 0.25)) and math.isnan(low) and math.isnan(high)
    assert not math.isnan(conductivity([1] * 50 + [0] * 10, elsewhere, 0.25, seed=1)[1])


def test_chance_is_the_mean_over_questions():
    assert chance_level(["en|de|fr|es"] * 7) == 0.25
    assert chance_level(["en|de", "en|de|fr|es", "en|en|en|en|en"]) == pytest.approx((1 / 2 + 1 / 4 + 1 / 5) / 3)
