"""Whether a fact is right in a language, by frequency and by what it shares with English: a logistic regression.

    table = regression(rows)  # rows: fact, right, log_frequency, english_log_frequency, right_in_english, ...

Standard errors are clustered by fact (statsmodels), since a fact is asked in every language. Effects are average
changes of the predicted probability when one column is changed in all rows, with intervals by the delta method.
"""

import warnings

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import norm

from common.reporting.stats import LEVEL

TERMS = ("log_frequency", "right_in_english", "same_script", "same_answer")
COLUMNS = [
    "term",
    "change",
    "coefficient",
    "coef_low",
    "coef_high",
    "points",
    "points_low",
    "points_high",
    "rows",
    "facts",
]


def regression(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns COLUMNS, one row a term and change; the coefficient is per unit, the effect in percentage points.

    `rows` has a fact in a language each: fact, right, right_in_english, same_script and same_answer (0 or 1),
    log_frequency and english_log_frequency (log10 of 1 + documents). Changes: ten times as frequent, as frequent as in
    English, and 0 to 1. A column that never varies is left out; NaN where nothing can be estimated, since a column
    alone decides what is right or there are too few facts.
    """
    terms = [term for term in TERMS if rows[term].nunique() > 1]
    values = sm.add_constant(rows[terms].astype(float), has_constant="add")
    fit = _fit(rows["right"].astype(float), values, rows["fact"])
    changes = []
    for term in terms:
        if term == "log_frequency":
            changes.append((term, "ten times", values, values.assign(**{term: values[term] + 1})))
            english = values.assign(**{term: rows["english_log_frequency"].astype(float)})
            changes.append((term, "as in English", values, english))
        else:
            changes.append((term, "0 to 1", values.assign(**{term: 0.0}), values.assign(**{term: 1.0})))
    z = norm.ppf((1 + LEVEL) / 2)
    found = []
    for term, change, before, after in changes:
        if fit is None:
            numbers = [np.nan] * 6
        else:
            slope, error = fit.params[term], fit.bse[term]
            effect, spread = average_change(fit, before, after)
            numbers = [slope, slope - z * error, slope + z * error]
            numbers += [100 * effect, 100 * (effect - z * spread), 100 * (effect + z * spread)]
        found.append((term, change, *numbers, len(rows), rows["fact"].nunique()))
    return pd.DataFrame(found, columns=COLUMNS)


def _fit(right: pd.Series, values: pd.DataFrame, facts: pd.Series):
    """The fitted model; None where there is no finite maximum, or hardly more facts than coefficients."""
    groups = pd.factorize(facts)[0]
    if right.nunique() < 2 or groups.max() < values.shape[1]:  # with fewer facts the clusters' matrix is singular
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is asked below
            fit = sm.Logit(right, values).fit(disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": groups})
    except np.linalg.LinAlgError:
        return None
    # With a column that decides, coefficients grow until the change of the likelihood is small enough to stop.
    sound = fit.mle_retvals["converged"] and np.isfinite(fit.bse).all() and np.abs(fit.params).max() < 15
    return fit if sound else None


def average_change(fit, before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, float]:
    """Mean change of the predicted probability from the rows `before` to the rows `after`, and its standard error."""
    p, q = fit.predict(before).to_numpy(), fit.predict(after).to_numpy()
    gradient = ((q * (1 - q))[:, None] * after.to_numpy() - (p * (1 - p))[:, None] * before.to_numpy()).mean(axis=0)
    return float((q - p).mean()), float(np.sqrt(gradient @ fit.cov_params().to_numpy() @ gradient))
