"""Check which of the papers' claims hold for a model: each claim of claims.yaml is tested on its results.

    python report/check_claims.py --results DIR[,DIR] --out FILE

Results are found by their .provenance.json. Writes FILE.csv and FILE.md: claim, measured effect, 95% interval, and a
verdict with what was found in words. A claim holds if its whole interval lies on the claimed side at a level corrected
for the number of different tests (Bonferroni).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from claims import CLAIMS, UNITS, Claim, read_claims
from gather import Data, NotThere, Rows, gather
from measures import measured, terms
from read_results import Result, find_results

from common.cli import InputError, comma_list, parse, run
from common.reporting.results import write_result
from common.reporting.stats import LEVEL, paired_bootstrap
from common.reporting.tables import interval
from common.reporting.tables import table as markdown_table

HOLDS, FAILS, NO_DATA, NOT_TESTED = "holds", "does not hold", "not enough data", "not tested"


@dataclass
class Check:
    """Test the papers' claims on results.

    Attributes:
        results: folders with results of the tasks' scripts, a list or separated by commas; of several results of a
            script, those of the folder named first count.
        out: the table's file name without its ending.
        claims: YAML file of claims; see report/claims.yaml.
        seed: of the bootstrap.
    """

    results: str | list[str]
    out: str
    claims: str = str(CLAIMS)
    seed: int = 42


@dataclass(frozen=True)
class Verdict:
    """What was measured on `n` units and so many training seeds: the effect, its 95% and its corrected interval.

    `note` says what was found in words, or why nothing was; `same_as` is an earlier claim that is the same test on the
    same data.
    """

    claim: Claim
    verdict: str
    note: str = ""
    same_as: str = ""
    model: str = ""
    seeds: int = 0
    n: int = 0
    effect: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    corrected_low: float = float("nan")
    corrected_high: float = float("nan")


def check(claims: Sequence[Claim], results: Sequence[Result], seed: int) -> list[Verdict]:
    """A verdict for each claim, in their order; for a claim that cannot be tested, a note says why."""
    rows, found = Rows(results, claims), {}
    for claim in claims:
        try:
            if claim.untested:
                raise NotThere(claim.untested)
            found[claim.name] = sufficient(claim, gather(claim, rows), seed)
        except NotThere as error:
            needs = f" with {claim.needs}" if claim.needs else ""
            todo = f": run `bash {claim.script}`{needs}" if claim.script else ""
            found[claim.name] = Verdict(claim, NOT_TESTED, f"{error}{todo}")
        except InputError as error:
            found[claim.name] = Verdict(claim, NO_DATA, str(error))
    same = repeated([(claim, data) for claim in claims if isinstance(data := found[claim.name], Data)])
    tested = sum(isinstance(data, Data) for data in found.values()) - len(same)
    return [
        decide(claim, data, seed, tested, same.get(claim.name, "")) if isinstance(data, Data) else data
        for claim, data in ((claim, found[claim.name]) for claim in claims)
    ]


def sufficient(claim: Claim, data: Data, seed: int) -> Data:
    """The data, where there are enough units, above chance, and something to measure; InputError otherwise."""
    n = data.shape[1]
    if n < claim.minimum:
        raise InputError(f"{n} units where {claim.minimum} are needed")
    known = {"english" if claim.english else "against": "to begin with", "own": "in English with the fix"}
    for parts in data.samples.values():
        for name in parts if claim.chance else ():
            right = parts[name].mean(axis=0)
            if name in known and paired_bootstrap(right, np.full(n, claim.chance), seed=seed)[1] <= 0:
                raise InputError(f"{right.mean():.1%} right {known[name]}, which is not above chance")
        effect = measured(claim, parts, seed, LEVEL)
        if np.isnan(effect[0]):
            raise InputError("there is no drop to recover" if claim.english else "there is nothing to compare with")
        if np.isnan(effect).any():
            raise InputError("the drop is so small that a share of it has no interval")
    return data


def repeated(tested: Sequence[tuple[Claim, Data]]) -> dict[str, str]:
    """{claim: the first claim that is the same test on the same data}, of those that are."""
    first, found = {}, {}
    for claim, data in tested:
        alike = first.setdefault((claim.measure, claim.holds, claim.chance), [])
        again = next((name for name, its in alike if data.same(its)), None)
        if again is None:
            alike.append((claim.name, data))
        else:
            found[claim.name] = again
    return found


def decide(claim: Claim, data: Data, seed: int, tested: int, same_as: str = "") -> Verdict:
    """The verdict on data that suffice, as one of `tested` claims.

    A claim with `each` holds if it holds for every value, each at the same level; what is reported is the weakest.
    """
    side, bound = claim.bound
    sign = 1 if side == "above" else -1
    level = 1 - (1 - LEVEL) / tested
    corrected = {label: measured(claim, parts, seed, level) for label, parts in data.samples.items()}
    if np.isnan(list(corrected.values())).any():
        note = f"the drop is so small that a share of it has no interval at {level:.2%}"
        return Verdict(claim, NO_DATA, note, same_as, data.model, *data.shape)
    nearest = {
        label: sign * ((low if side == "above" else high) - bound) for label, (_, low, high) in corrected.items()
    }
    weakest = min(nearest, key=nearest.get)
    parts = data.samples[weakest]
    effect, *interval = measured(claim, parts, seed, LEVEL)
    seeds, n = data.shape
    verdict = HOLDS if nearest[weakest] > 0 else FAILS
    note = sentence(claim, data, weakest, seed, same_as)
    return Verdict(claim, verdict, note, same_as, data.model, seeds, n, effect, *interval, *corrected[weakest][1:])


def sentence(claim: Claim, data: Data, label: str, seed: int, same_as: str) -> str:
    """What was found, in words and numbers."""
    values = data.samples[label]
    said = [compared(claim, values)]
    if claim.own:
        own, english, of, against = (values[name].mean(axis=0) for name in ("own", "english", "of", "against"))
        change, low, high = paired_bootstrap(own, english, seed=seed)
        moved = "falls" if high < 0 else "rises" if low > 0 else "shows no change"
        points = f"{100 * change:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        other = 100 * (of - against).mean()
        said.append(f"with the fix English itself {moved}, {points}, and the mixed questions change by {other:+.1f}")
    if claim.each:
        said.append(f"tested by {claim.each} ({len(data.samples)}), weakest in {claim.each} {label}")
    if claim.tell:
        shares = [f"{100 * share:.1f}%" for share in data.told if not np.isnan(share)]
        said.append(f"share of words {claim.tell}: {' and '.join(shares) or 'not recorded'}")
    if data.run:
        said.append(f"arm {data.run}")
    if claim.trained:
        seeds, units = data.shape
        several = f"{seeds} training seeds, resampled with the {units:,} units"
        said.append(several if seeds > 1 else "one training seed, so that the interval covers questions alone")
    if same_as:
        said.append(f"the same test on the same data as {same_as}, counted once")
    return "; ".join(said)


def compared(claim: Claim, values: Mapping[str, np.ndarray]) -> str:
    """The means that the claim compares, in words."""

    def mean(name: str) -> str:
        value = values[name].mean()
        if claim.unit == "points" or claim.of.get("value", claim.value) in ("correct", "gap"):
            return f"{100 * value:.1f}%"
        return f"{value:.3f}" if claim.unit in ("cosine", "correlation") else f"{value:.1f}"

    if claim.own:
        before = f"{mean('english')} in English and {mean('against')} in mixed languages without the fix"
        return f"{before}, {mean('own')} and {mean('of')} with it"
    if claim.measure == "jaccard":
        both, either = (100 * term.mean() for term in terms(claim, values))
        return f"{both:.1f}% right in both languages, {either:.1f}% in either"
    return f"{mean('of')} against {mean('against')}"


def tests_in(verdicts: Sequence[Verdict]) -> int:
    """Number of different tests, for which levels are corrected; of one the share may have an interval at 95% alone."""
    return sum(bool(verdict.seeds) and not verdict.same_as for verdict in verdicts)


def frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim: name, claim, where, result, measure, holds, unit, then what was measured as fractions."""
    keys = ("name", "claim", "where", "result", "measure", "holds", "unit")
    rows = []
    for verdict in verdicts:
        found = {key.name: getattr(verdict, key.name) for key in fields(verdict) if key.name != "claim"}
        known = keys[:3] if verdict.claim.untested else keys
        rows.append({key: getattr(verdict.claim, key) for key in known} | found)
    return pd.DataFrame(rows).reindex(columns=[*keys, *(key.name for key in fields(Verdict) if key.name != "claim")])


def shown(verdict: Verdict) -> list[str]:
    """Claim, paper, measured effect with its interval, units, verdict, as texts."""
    claim = verdict.claim
    scale, form = UNITS[claim.unit]
    effect = interval(verdict, "effect", form, scale=scale)
    effect = f"{effect} {claim.unit}" if effect else ""
    side, bound = ("", 0) if claim.untested else claim.bound
    n = f"{verdict.n:,}" if verdict.n else ""
    said = f"{verdict.verdict}: {verdict.note}"
    return [claim.claim, claim.where, effect, f"{side} {scale * bound:g}" if side else "", n, said]


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The claims table."""
    own = [verdict for verdict in verdicts if not verdict.same_as]
    words = (HOLDS, FAILS, NO_DATA, NOT_TESTED)
    counts = ", ".join(f"{word}: {sum(verdict.verdict == word for verdict in own)}" for word in words)
    tested, again = tests_in(verdicts), len(verdicts) - len(own)
    lines = [
        "# Which claims hold",
        "",
        f"{counts}.{f' Claims that repeat the test of another: {again}.' * bool(again)}",
        "",
    ]
    lines += [
        "Effects with 95% bootstrap intervals over units, and over training seeds where there are several. A claim"
        " holds if the whole interval lies on the claimed side at the level"
        f" {1 - (1 - LEVEL) / max(tested, 1):.4f}, corrected for {tested} tests (Bonferroni); that it does not hold"
        " means that it cannot be shown with these data.",
        "",
    ]
    header = ["claim", "paper", "measured", "claimed", "n", "verdict"]
    return "\n".join([*lines, *markdown_table(header, [shown(verdict) for verdict in verdicts])]) + "\n"


def main() -> None:
    config = parse(Check)
    results, problems = find_results(comma_list(config.results))
    for problem in problems:
        print(f"left out: {problem}")
    verdicts = check(read_claims(config.claims), results, config.seed)
    write_result(__file__, config.out, {}, frame(verdicts), text=markdown(verdicts))


if __name__ == "__main__":
    run(main)
