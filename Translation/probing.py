"""A linear probe on hidden states, trained in one language and tested in another; and what aligns the two languages.

    scores = cross_scores({"en": states, "de": other}, {"en": right, "de": other_right}, seed=42)  # of one layer

Every score is of a question that the probe, the means and the projection have not seen, in any language. A shift moves
all scores of a linear probe alike: it changes on which side of the threshold they are, and never their order.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from common.reporting.stats import LEVEL, paired_bootstrap

FOLDS = 5
METHODS = ("as_is", "shift", "projection")  # those of arXiv 2504.13816
SMALL = 1e-12  # of squared differences, beside the largest
ITERATIONS = 1000  # most of the optimizer, which needs some dozens

Estimate = tuple[float, float, float, np.ndarray]


def moved(states: np.ndarray, target: np.ndarray, source: np.ndarray, method: str) -> np.ndarray:
    """States of the target language, [n, size], moved to where those of the source language lie.

    Args:
        target, source: [m, size] states of the same other questions in both languages.
        method: `as_is`; `shift`, states + mean of source - mean of target; `projection`, the linear map from target to
            source with the least squares on the centred states (of several, that of the smallest norm).
    """
    if method == "as_is":
        return states
    from_mean, to_mean = target.mean(axis=0), source.mean(axis=0)
    centred = states - from_mean
    if method == "shift":
        return centred + to_mean
    # The map itself, [size, size], is never needed: there are far fewer questions than dimensions.
    return centred @ pseudoinverse(target - from_mean) @ (source - to_mean) + to_mean


def pseudoinverse(states: np.ndarray) -> np.ndarray:
    """That of Moore and Penrose, [size, m] of [m, size], from the smaller of the two products with the transpose.

    Faster than by singular values. Of directions in which states differ by less than a millionth of the
    largest difference, as that of the mean of centred states, nothing is made.
    """
    if states.shape[0] <= states.shape[1]:
        return states.T @ np.linalg.pinv(states @ states.T, rcond=SMALL, hermitian=True)
    return np.linalg.pinv(states.T @ states, rcond=SMALL, hermitian=True) @ states.T


@threadpool_limits.wrap(limits=1)  # products so small are slower with more threads, and far slower beside other work
def cross_scores(
    states: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], seed: int
) -> dict[tuple[str, str, str], np.ndarray]:
    """{(trained in, tested in, method): scores [questions, 2]}: log-odds of a right answer, and the same centred.

    A logistic regression (L2, scikit-learn's default strength; both classes weigh the same) on standardised states, in
    stratified folds. Scores are centred in each fold, since every fold's probe has a threshold of its own.

    Args:
        states: {language: [questions, size]} of one layer, the same questions in the same order.
        right: {language: bool [questions]}, whether the answer in this language was right.
    """
    found: dict[tuple[str, str, str], np.ndarray] = {}
    for source, labels in right.items():
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for train, test in folds.split(labels, labels):
            model = LogisticRegression(class_weight="balanced", max_iter=ITERATIONS)
            probe = make_pipeline(StandardScaler(), model).fit(states[source][train], labels[train])
            for target, own in states.items():
                for method in METHODS if target != source else METHODS[:1]:
                    scores = probe.decision_function(moved(own[test], own[train], states[source][train], method))
                    table = found.setdefault((source, target, method), np.empty((len(labels), 2)))
                    table[test] = np.stack([scores, scores - scores.mean()], axis=1)
    return found


def auroc(scores: np.ndarray, right: np.ndarray) -> Estimate:
    """Area under the ROC curve, its 95% interval (DeLong et al. 1988), and a number a question with it as their mean.

    A question's placement is the share of the questions of the other class that it is on the right side of, a tie being
    half of one. scores and right: [questions].
    """
    placements = np.empty(len(scores))
    for own, sign in ((right, 1), (~right, -1)):
        others = np.sort(sign * scores[~own])
        below, upto = (np.searchsorted(others, sign * scores[own], side) for side in ("left", "right"))
        placements[own] = (below + upto) / 2 / len(others)
    return _estimate(placements, right, 1.0)


def balanced_accuracy(scores: np.ndarray, right: np.ndarray) -> Estimate:
    """Mean of the shares of right and of wrong answers that are known as such, with the same as `auroc`."""
    return _estimate(((scores > 0) == right).astype(float), right, 0.5)


def _estimate(values: np.ndarray, right: np.ndarray, weight: float) -> Estimate:
    """Mean of the two classes' means, [low, high], and numbers [questions] with that mean and its sampling error.

    The numbers are the estimate plus each question's influence on it, `weight` times that on its class's mean; means
    of them over settings can be compared question by question.
    """
    means = [values[own].mean() for own in (right, ~right)]
    value, shares = float(np.mean(means)), np.where(right, right.mean(), 1 - right.mean())
    numbers = value + weight * (values - np.where(right, *means)) / shares
    return (*interval(numbers), numbers)


def interval(numbers: np.ndarray) -> tuple[float, float, float]:
    """The mean of the questions' numbers, and its 95% interval (normal) within 0 and 1."""
    value, error = float(numbers.mean()), norm.ppf((1 + LEVEL) / 2) * numbers.std(ddof=1) / np.sqrt(len(numbers))
    return value, max(0.0, value - error), min(1.0, value + error)


ESTIMATES = {"auroc": auroc, "balanced_accuracy": balanced_accuracy}


def at_chosen_layers(answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the questions at the layer where each language's probe has the largest AUROC in this language itself.

    The layer is chosen for a fifth of the questions at a time by the others, so that none helps to choose its own: the
    mean of the kept numbers is no better for the choice.
    """
    ids = answers["id"].unique()
    answers = answers.assign(part=answers["id"].map(dict(zip(ids, np.arange(len(ids)) % FOLDS, strict=True))))
    own = answers[answers["train"] == answers["test"]]
    sums = own.pivot_table("auroc", ["train", "part"], "layer", aggfunc="sum", sort=False)
    best = (sums.groupby("train").transform("sum") - sums).idxmax(axis=1).rename("layer")
    return answers.merge(best.reset_index(), on=["train", "part", "layer"]).drop(columns="part")


def by_pair(answers: pd.DataFrame) -> pd.DataFrame:
    """Means over the questions for each pair of languages and each method, with intervals."""
    rows = []
    for (train, test, method), own in answers.groupby(["train", "test", "method"], sort=False):
        row = {"train": train, "test": test, "method": method, "n": len(own)}
        for measure in ESTIMATES:
            names = (measure, f"{measure}_low", f"{measure}_high")
            row |= dict(zip(names, interval(own[measure].to_numpy()), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def pooled(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means over all languages of training and of testing: tested in the same language, and in others by each method.

    With the differences from `as_is`, vs_as_is and its interval: 95% bootstrap intervals over questions.
    """
    rows = []
    same = answers["train"] == answers["test"]
    for where, part in (("itself", answers[same]), ("others", answers[~same])):
        for method, own in part.groupby("method", sort=False):
            for measure in ESTIMATES:
                means, plain = (t.groupby("id")[measure].mean() for t in (own, part[part["method"] == METHODS[0]]))
                row = {"test": where, "method": method, "measure": measure, "n": len(means)}
                for name, other in (("value", 0 * means), ("vs_as_is", plain.loc[means.index])):
                    numbers = paired_bootstrap(means, other, seed=seed)
                    row |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)
