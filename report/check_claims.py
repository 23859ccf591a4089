"""Check which of the papers' claims hold for a model: each claim of claims.yaml is tested on its results.

    python report/check_claims.py --results DIR[,DIR] --out FILE

Results are found by their .provenance.json. Writes FILE.csv and FILE.md: claim, measured effect, 95% interval, and a
verdict. A claim holds if its whole interval lies on the claimed side at a level corrected for the number of tested
claims (Bonferroni).
"""

import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml
from jsonargparse import ArgumentParser
from read_results import Result, find_results

from common.cli import InputError, comma_list, parse, run
from common.evaluation.records import load_records
from common.reporting.files import read_csv
from common.reporting.results import write_result
from common.reporting.stats import LEVEL, conductivity, gap_closed, paired_bootstrap
from common.reporting.tables import interval
from common.reporting.tables import table as markdown_table

CLAIMS = Path(__file__).with_name("claims.yaml")
HOLDS, FAILS, NO_DATA = "holds", "does not hold", "not enough data"
UNITS = {"points": (100, "+.1f"), "percent": (100, ".1f"), "cosine": (1, "+.3f"), "chrF": (1, "+.1f")}


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


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim; the keys are explained in claims.yaml."""

    name: str
    claim: str
    where: str
    result: str
    measure: Literal["difference", "gap_closed", "conductivity"]
    of: dict[str, str]
    against: dict[str, str]
    holds: str
    minimum: int
    unit: str
    run: str | None = None
    records: str | None = None
    by: list[str] = field(default_factory=lambda: ["id"])
    value: str = "correct"
    english: dict[str, str] = field(default_factory=dict)
    prefer: dict[str, str] = field(default_factory=dict)
    chance: float = 0.0

    @property
    def bound(self) -> tuple[str, float]:
        """above or below, and what."""
        side, value = re.fullmatch(r"(above|below) (-?[\d.]+)", self.holds).groups()
        return side, float(value)


@dataclass(frozen=True)
class Verdict:
    """What was measured: `n` units, the effect, its 95% and its corrected interval; `note` says why it was not."""

    claim: Claim
    verdict: str
    note: str = ""
    model: str = ""
    n: int = 0
    effect: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    corrected_low: float = float("nan")
    corrected_high: float = float("nan")


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a YAML file; InputError naming file, claim and key for what is missing, unknown or of no use."""
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML in UTF-8: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: not a list of claims with their keys; write it as claims.yaml is written")
    parser, claims = ArgumentParser(exit_on_error=False), {}
    parser.add_class_arguments(Claim)
    for number, entry in enumerate(entries, 1):
        try:
            claim = Claim(**parser.parse_object(entry).as_dict())
        except (ArgumentError, TypeError, AttributeError) as error:
            said = " ".join(str(error).split())
            raise InputError(f"{path}, claim {number}: {said}; claims.yaml explains the keys") from error
        for key, right, needed in (
            ("name", claim.name not in claims, "a name of its own"),
            ("holds", re.fullmatch(r"(above|below) -?\d+(\.\d+)?", claim.holds), "`above` or `below` and a number"),
            ("unit", claim.unit in UNITS, f"one of {', '.join(UNITS)}"),
            ("by", claim.by, "one column or more"),
            ("minimum", claim.minimum > 0, "1 or more"),
            ("chance", 0 <= (claim.chance if claim.chance is not None else -1) < 1, "0 or a share below 1"),
            ("english", claim.english or claim.measure != "gap_closed", "rows, for gap_closed"),
        ):
            if not right:
                raise InputError(f"{path}, {claim.name}: {key} is {getattr(claim, key)!r}; it must be {needed}")
        claims[claim.name] = claim
    return list(claims.values())


class Rows:
    """The tables that claims are about; each is read once and checked."""

    def __init__(self, results: Sequence[Result]):
        self.results = results
        self._tables: dict[Path, pd.DataFrame] = {}

    def find(self, claim: Claim) -> list[Result]:
        """The results that have what the claim needs; InputError where there is none, or where they do not agree."""
        names = {name for part in (claim.of, claim.against, claim.english) if (name := part.get("run", claim.run))}
        fitting = [r for r in self.results if r.script == claim.result and names <= set(r.runs)]
        if not names:
            fitting = [result for result in fitting if len(result.runs) == 1]
        if not fitting:
            runs = f"with {', '.join(sorted(names))}" if names else "of one model"
            raise InputError(f"no result of {claim.result} {runs}")
        first = min(result.place for result in fitting)
        fitting = [result for result in fitting if result.place == first]
        behind = {tuple(r.runs[name].folder for name in names or r.runs) for r in fitting}
        if len(behind) > 1:
            raise InputError(
                f"several results fit, {' and '.join(str(r.path) for r in fitting)}: name one with --results"
            )
        for result in fitting:
            result.check()
        return fitting

    def table(self, claim: Claim, result: Result, name: str | None) -> pd.DataFrame:
        """The records of a run, or the table that the claim names."""
        folder = result.runs[name or next(iter(result.runs))].folder
        if claim.records and claim.records not in result.files:
            raise InputError(f"{result.path}: has no table {claim.records}; run `{result.command}` again")
        path = result.path.parent / claim.records if claim.records else folder
        if path not in self._tables:
            try:
                self._tables[path] = read_csv(path) if claim.records else load_records(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path}: cannot be read as tables of ours: {error!r}") from error
        return self._tables[path]

    def units(self, claim: Claim, result: Result, part: Mapping[str, str]) -> pd.Series:
        """Mean value of every unit among the rows that `part` selects."""
        value = part.get("value", claim.value)
        table = self.table(claim, result, part.get("run", claim.run))
        filters = {column: pattern for column, pattern in part.items() if column not in ("run", "value")}
        wanted = [*filters, *claim.by, value]
        missing = [column for column in wanted if column not in table]
        if missing:
            raise InputError(f"{result.path}: its records have no column {', '.join(missing)}")
        preferred = matching(table, {k: v for k, v in claim.prefer.items() if k in table}) if claim.prefer else []
        table = table[preferred] if np.any(preferred) else table
        values = pd.to_numeric(table[value], errors="coerce")[matching(table, filters)]
        if not np.isfinite(values).all():
            raise InputError(f"{result.path}: column {value} of its records has cells that are no numbers")
        return values.groupby([table[column] for column in claim.by]).mean()


def matching(table: pd.DataFrame, patterns: Mapping[str, str]) -> np.ndarray:
    """Which rows match the pattern of every column, bool [rows]."""
    kept = np.ones(len(table), bool)
    for column, pattern in patterns.items():
        kept &= table[column].map(lambda cell, pattern=pattern: fnmatchcase(str(cell), pattern)).to_numpy(bool)
    return kept


def difference(parts: Mapping[str, np.ndarray], claim: Claim, seed: int, level: float) -> tuple[float, float, float]:
    """Mean of `of` minus mean of `against`."""
    return paired_bootstrap(parts["of"], parts["against"], seed=seed, level=level)


def closed(parts: Mapping[str, np.ndarray], claim: Claim, seed: int, level: float) -> tuple[float, float, float]:
    """Share of the drop from `english` to `against` that `of` recovers."""
    return gap_closed(parts["english"], parts["against"], parts["of"], seed=seed, level=level)


def conducted(parts: Mapping[str, np.ndarray], claim: Claim, seed: int, level: float) -> tuple[float, float, float]:
    """What is known elsewhere over what is known where it was taught, above chance."""
    return conductivity(parts["against"], parts["of"], claim.chance, seed=seed, level=level)


MEASURES = {"difference": difference, "gap_closed": closed, "conductivity": conducted}


def gather(claim: Claim, rows: Rows) -> tuple[dict[str, np.ndarray], str]:
    """{part: [units]}, the same units in the same order, and the models; InputError where the data are not there."""
    result = rows.find(claim)[0]
    parts = {"of": claim.of, "against": claim.against} | ({"english": claim.english} if claim.english else {})
    found = {name: rows.units(claim, result, part) for name, part in parts.items()}
    for name, values in found.items():
        if values.empty:
            raise InputError(f"{result.path}: its runs have no rows with {_said(parts[name])}")
        if set(values.index) != set(found["of"].index):
            raise InputError(
                f"{result.path}: rows with {_said(parts[name])} and {_said(claim.of)} are of different units"
            )
    names = {part.get("run", claim.run) for part in parts.values()}
    models = dict.fromkeys(source.model for name, source in result.runs.items() if name in names or names == {None})
    return {name: values.loc[found["of"].index].to_numpy(float) for name, values in found.items()}, ", ".join(models)


def _said(part: Mapping[str, str]) -> str:
    return ", ".join(f"{column} {pattern}" for column, pattern in part.items())


def check(claims: Sequence[Claim], results: Sequence[Result], seed: int) -> list[Verdict]:
    """A verdict for each claim, in their order; for a claim that cannot be tested, a note says why."""
    rows, found = Rows(results), {}
    for claim in claims:
        try:
            parts, models = gather(claim, rows)
            n = len(parts["of"])
            if n < claim.minimum:
                raise InputError(f"{n} units where {claim.minimum} are needed")
            known = parts.get("english", parts["against"])
            if claim.chance and paired_bootstrap(known, np.full(n, claim.chance), seed=seed)[1] <= 0:
                raise InputError(f"{known.mean():.1%} right to begin with, which is not above chance")
            if np.isnan(MEASURES[claim.measure](parts, claim, seed, LEVEL)[0]):
                raise InputError("there is no drop to recover")
            found[claim.name] = parts, models
        except InputError as error:
            found[claim.name] = Verdict(claim, NO_DATA, str(error))
    tested = sum(not isinstance(value, Verdict) for value in found.values())
    return [
        value if isinstance(value := found[claim.name], Verdict) else decide(claim, *value, seed, tested)
        for claim in claims
    ]


def decide(claim: Claim, parts: Mapping[str, np.ndarray], model: str, seed: int, tested: int) -> Verdict:
    """The verdict on data that suffice, as one of `tested` claims."""
    n, measure = len(parts["of"]), MEASURES[claim.measure]
    effect, *interval = measure(parts, claim, seed, LEVEL)
    _, low, high = measure(parts, claim, seed, 1 - (1 - LEVEL) / tested)
    side, bound = claim.bound
    holds = low > bound if side == "above" else high < bound
    return Verdict(claim, HOLDS if holds else FAILS, "", model, n, effect, *interval, low, high)


def frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim: name, claim, where, result, measure, holds, unit, then what was measured as fractions."""
    rows = []
    for verdict in verdicts:
        claim = {
            key: getattr(verdict.claim, key) for key in ("name", "claim", "where", "result", "measure", "holds", "unit")
        }
        rows.append(claim | {key: value for key, value in asdict(verdict).items() if key != "claim"})
    return pd.DataFrame(rows)


def shown(verdict: Verdict) -> list[str]:
    """Claim, paper, measured effect with its interval, units, verdict, as texts."""
    claim = verdict.claim
    scale, form = UNITS[claim.unit]
    effect = interval(verdict, "effect", form, scale=scale)
    effect = f"{effect} {claim.unit}" if effect else ""
    side, bound = claim.bound
    n = f"{verdict.n:,}" if verdict.n else ""
    said = f"{verdict.verdict}: {verdict.note}" if verdict.note else verdict.verdict
    return [claim.claim, claim.where, effect, f"{side} {scale * bound:g}", n, said]


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The claims table."""
    tested = sum(verdict.verdict != NO_DATA for verdict in verdicts)
    counts = {word: sum(verdict.verdict == word for verdict in verdicts) for word in (HOLDS, FAILS, NO_DATA)}
    lines = ["# Which claims hold", "", f"{', '.join(f'{word}: {count}' for word, count in counts.items())}.", ""]
    lines += [
        "Effects with 95% bootstrap intervals over units. A claim holds if the whole interval lies on the claimed side"
        f" at the level {1 - (1 - LEVEL) / max(tested, 1):.4f}, corrected for {tested} tested claims (Bonferroni); that"
        " it does not hold means that it cannot be shown with these data.",
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
