"""Measures of barrier and transfer equal slow references, and have the properties that their docstrings promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripts import load_script

metrics = load_script("CLiKA/transfer_metrics.py")

CORRECT = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
LETTERS = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), min_size=1, max_size=40)
RATES = st.floats(0, 1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@given(LETTERS)
def test_agreement_and_kappa(pairs):
    a, b = zip(*pairs, strict=True)
    same = sum(x == y for x, y in pairs) / len(pairs)
    assert metrics.agreement(a, b) == pytest.approx(same) == metrics.agreement(b, a)
    expected = sum(a.count(letter) * b.count(letter) for letter in "ABCD") / len(pairs) ** 2
    kappa = metrics.agreement_kappa(a, b)
    if expected == 1:
        assert math.isnan(kappa)
    else:
        assert kappa == pytest.approx((same - expected) / (1 - expected)) and -1 <= kappa <= 1 + 1e-9
        assert math.isnan(metrics.agreement_kappa(a, a)) or metrics.agreement_kappa(a, a) == pytest.approx(1)


@given(CORRECT)
def test_jaccard(pairs):
    a, b = zip(*pairs, strict=True)
    both, either = sum(x and y for x, y in pairs), sum(x or y for x, y in pairs)
    value, above = metrics.correct_jaccard(a, b), metrics.correct_jaccard_kappa(a, b)
    if not either:
        assert math.isnan(value) and math.isnan(above)
        return
    assert value == pytest.approx(both / either) == metrics.correct_jaccard(b, a) and 0 <= value <= 1
    p, q = sum(a) / len(a), sum(b) / len(b)
    expected = p * q / (p + q - p * q)
    if expected < 1:
        assert above == pytest.approx((value - expected) / (1 - expected)) and above <= 1 + 1e-9
    assert math.isnan(metrics.correct_jaccard(a, a)) or metrics.correct_jaccard(a, a) == 1


def test_jaccard_above_chance_is_zero_for_independent_answers():
    a, b = [1, 1, 0, 0], [1, 0, 1, 0]
    assert metrics.correct_jaccard_kappa(a, b) == pytest.approx(0)


@given(CORRECT)
def test_transfer(pairs):
    source, target = zip(*pairs, strict=True)
    found = metrics.transfer(source, target)
    both = sum(x and y for x, y in pairs)
    assert found.both == pytest.approx(both / len(pairs)) and found.both <= 1
    if sum(source):
        assert found.given_source == pytest.approx(both / sum(source)) and found.given_source >= found.both
    else:
        assert math.isnan(found.given_source)


@given(RATES, st.floats(0, 0.5), st.floats(0.6, 1))
def test_rescaled_accuracy(accuracy, chance, reference):
    value = metrics.rescaled_accuracy(accuracy, chance, reference)
    assert value == pytest.approx(max(0, (accuracy - chance) / (reference - chance))) and value >= 0
    assert metrics.rescaled_accuracy(chance, chance, reference) == 0
    assert metrics.rescaled_accuracy(reference, chance, reference) == pytest.approx(1)


def test_clikas_constants():
    named = {task: (100 * own.reference, 100 * own.chance) for task, own in metrics.CLIKA.items()}
    expected = {"x_csqa": (74.6, 20), "x_copa": (96.4, 50), "x_name": (92.2, 25), "x_geo": (97.0, 25)}
    assert named == {task: pytest.approx(pair) for task, pair in expected.items()}


@pytest.mark.filterwarnings("default::RuntimeWarning")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: metrics.rescaled_accuracy(0.5, 0.5, 0.5), "no better than chance"),
        (lambda: metrics.agreement([], []), "no questions"),
        (lambda: metrics.agreement_kappa(["A"], ["A"]), "one and the same label"),
        (lambda: metrics.correct_jaccard([0], [0]), "right in either"),
        (lambda: metrics.correct_jaccard_kappa([1], [1]), "right in both"),
        (lambda: metrics.transfer([], []).both, "no questions"),
        (lambda: metrics.transfer([0], [1]).given_source, "right in the source"),
    ],
)
def test_what_does_not_exist_is_nan_with_a_reason(make, reason):
    with pytest.warns(RuntimeWarning, match=reason):
        assert math.isnan(make())


def test_unpaired_or_untrue_values_are_refused():
    with pytest.raises(ValueError, match="same length"):
        metrics.agreement([1], [1, 2])
    with pytest.raises(ValueError, match="0 or 1"):
        metrics.transfer([0.5], [1])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_weight_counts_a_question_as_often(questions):
    a, b, weights = map(np.array, zip(*questions, strict=True))
    if not weights.sum():
        return
    repeated = np.repeat(a, weights), np.repeat(b, weights)
    for measure in (metrics.agreement, metrics.agreement_kappa, metrics.correct_jaccard, metrics.correct_jaccard_kappa):
        expected = measure(*repeated)
        assert measure(a, b, weights) == pytest.approx(expected, nan_ok=True)
        assert measure(a, b, np.stack([weights, weights])) == pytest.approx([expected] * 2, nan_ok=True)
    assert metrics.transfer(a, b, weights) == pytest.approx(metrics.transfer(*repeated), nan_ok=True)
    with pytest.raises(ValueError, match="weights of shape"):
        metrics.agreement(a, b, [*weights, 1])


def test_home_advantage_is_what_fact_and_language_do_not_explain():
    rng = np.random.default_rng(1)
    home = rng.integers(0, 3, 40)
    alone = (rng.random((40, 1)) < 0.5) | np.array([[True, False, False]]).repeat(40, 0)  # of facts and languages alone
    always = np.ones((40, 3))
    assert metrics.home_advantage(always, home) == 0
    added = rng.random((40, 1)) + rng.random((1, 3))  # additive in fact and language
    assert metrics.home_advantage(added, home) == pytest.approx(0)
    at_home = np.eye(3)[home]
    assert metrics.home_advantage(added + 0.3 * at_home, home) == pytest.approx(0.3)
    correct, counts = alone.astype(float), rng.multinomial(40, np.full(40, 1 / 40), 5)
    for own, value in zip(counts, metrics.home_advantage(correct, home, counts), strict=True):
        rows = np.repeat(np.arange(40), own)  # least squares: a column a fact, a language, and at home
        facts, languages = np.eye(40).repeat(3, axis=0), np.tile(np.eye(3), (40, 1))
        design = np.hstack([facts, languages, at_home.reshape(-1, 1)]).reshape(40, 3, -1)[rows]
        effects = np.linalg.lstsq(design.reshape(-1, design.shape[-1]), correct[rows].reshape(-1), rcond=None)[0]
        assert value == pytest.approx(effects[-1])
    with pytest.warns(RuntimeWarning, match="at home in one language"):
        assert np.isnan(metrics.home_advantage(correct, np.zeros(40, int)))
