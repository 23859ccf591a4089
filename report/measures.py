"""What a claim measures on the numbers of its parts, with a bootstrap interval over units, or over training seeds too.

effect, low, high = measured(claim, {"of": [[1, 0, 1]], "against": [[1, 1, 1]]}, seed=42, level=0.95)
"""

from collections.abc import Mapping

import numpy as np
from claims import Claim
from scipy.stats import norm, pearsonr, t

from common.reporting.stats import conductivity, gap_closed, paired_bootstrap

RESAMPLES = 10_000
Effect = tuple[float, float, float]


def measured(claim: Claim, parts: Mapping[str, np.ndarray], seed: int, level: float) -> Effect:
    """Effect and interval of the claim's measure; `parts` are [training seeds, units] each. NaN where there is none.

    Of one seed the intervals are those of common/reporting/stats.py, as in the tasks' tables.
    """
    if claim.measure == "correlation":
        return correlation(*(parts[name].mean(axis=0) for name in ("of", "against")), level)
    if len(parts["of"]) > 1:
        return over_seeds(*terms(claim, parts), seed, level)
    gain, drop = (one if one is None else one[0] for one in terms(claim, parts))
    if claim.measure == "conductivity":
        return conductivity(parts["against"][0], parts["of"][0], claim.chance, seed=seed, level=level)
    if drop is None:
        return paired_bootstrap(gain, np.zeros_like(gain), seed=seed, level=level)
    return gap_closed(drop, np.zeros_like(drop), gain, seed=seed, level=level)


def correlation(of: np.ndarray, against: np.ndarray, level: float) -> Effect:
    """Pearson's correlation over units and its interval (Fisher); NaN where one side is the same everywhere."""
    if len(of) < 4 or np.ptp(of) == 0 or np.ptp(against) == 0:
        return float("nan"), float("nan"), float("nan")
    found = pearsonr(of, against)
    return float(found.statistic), *map(float, found.confidence_interval(level))


def terms(claim: Claim, parts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """What is averaged, and what its mean is divided by (None: nothing), of every unit; shapes as in `parts`."""
    of, against = parts["of"], parts["against"]
    match claim.measure:
        case "difference":
            return of - against, None
        case "gap_closed":  # the drop is that from English under the same prompt
            before = parts["english"] - against
            return before - (parts["own"] - of), before
        case "conductivity":
            return of - claim.chance, against - claim.chance
        case "jaccard":  # right in both over right in either; `against` is 0 or 1, `of` a mean over languages
            return of * against, of + against - of * against


def over_seeds(gain: np.ndarray, drop: np.ndarray | None, seed: int, level: float) -> Effect:
    """Mean of `gain`, over that of `drop` if there is one, and its interval over seeds and units; [seeds, units] each.

    A hierarchical bootstrap: seeds are resampled, then the units within them. Every seed has the same units (the same
    questions), so that a draw of units is one for all drawn seeds (Owen 2007, the pigeonhole bootstrap); drawn for each
    seed anew, their variance would count as that many times smaller. NaN where the mean of `drop` is not above 0;
    without an interval where that is so in more resamples than 1 - level.
    """
    values = np.stack([gain] if drop is None else [gain, drop], axis=-1)
    seeds, units, _ = values.shape
    mean = values.mean(axis=(0, 1))
    if drop is not None and mean[1] <= 0:
        return float("nan"), float("nan"), float("nan")
    effect = float(mean[0] if drop is None else mean[0] / mean[1])
    spread_seeds, spread_units = spreads(gain if drop is None else gain - effect * drop, level)
    by_seed, by_unit = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rng, draws = np.random.default_rng(seed), []
    for _ in range(RESAMPLES // 100):
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=100) @ by_seed / seeds
        within = rng.multinomial(units, np.full(units, 1 / units), size=100) @ by_unit / units
        draws.append(mean + spread_seeds * drawn + spread_units * within)
    means = np.concatenate(draws)
    resampled = means[:, 0]
    if drop is not None:
        means = means[means[:, 1] > 0]
        resampled = means[:, 0] / means[:, 1]
        if len(resampled) < level * RESAMPLES:
            return effect, float("nan"), float("nan")
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return effect, float(low), float(high)


def spreads(values: np.ndarray, level: float) -> tuple[float, float]:
    """By what the resampled deviations of seeds and of units are multiplied, for values [seeds, units].

    A few resampled seeds vary too little: by (seeds - 1) / seeds, and not as Student's t does, here with
    Satterthwaite's degrees of freedom. What varies with seed and unit together is in the deviations of both, and counts
    with the seeds.
    """
    seeds, units = values.shape
    of_seeds, of_units = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = ((values - of_seeds - of_units + values.mean()) ** 2).sum() / ((seeds - 1) * (units - 1))
    from_seeds, from_units = of_seeds.var(ddof=1) / seeds, of_units.var(ddof=1) / units
    own = max(from_units - rest / values.size, 0.0)
    if not from_seeds + own:
        return 1.0, 1.0
    freedom = (from_seeds + own) ** 2 / (from_seeds**2 / (seeds - 1) + own**2 / (units - 1))
    heavier = t.ppf((1 + level) / 2, freedom) / norm.ppf((1 + level) / 2)
    return heavier * np.sqrt(seeds / (seeds - 1)), heavier * np.sqrt(own / from_units if own else 0.0)
