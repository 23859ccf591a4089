"""The numbers that a claim compares, from the results of the tasks' scripts.

data = gather(claim, Rows(results, claims))
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from claims import Claim
from read_results import Result

from common.cli import InputError, comma_list
from common.evaluation.records import load_records
from common.reporting.files import read_csv
from common.settings import family

SEED = re.compile(r"seed_\d+")  # name of the folder of one training seed's results


class NotThere(InputError):
    """None of the results has what the claim is about."""


@dataclass(frozen=True)
class Data:
    """What a claim is tested on.

    Attributes:
        samples: by the value of the claim's `each` ("" without it), {part: [training seeds, units]}, the same units in
            the same order in every part.
        model: names of the models.
        run: the run that `of` is about, where the claim names several.
        told: mean of the column `tell` of each part, where the claim has one; NaN where the table has no such column.
    """

    samples: dict[str, dict[str, np.ndarray]]
    model: str = ""
    run: str = ""
    told: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Training seeds, and units."""
        return next(iter(self.samples.values()))["of"].shape

    def same(self, other: "Data") -> bool:
        """Whether both hold the same numbers."""
        return [*self.samples] == [*other.samples] and all(
            [*mine] == [*theirs] and all(np.array_equal(mine[name], theirs[name]) for name in mine)
            for mine, theirs in zip(self.samples.values(), other.samples.values(), strict=True)
        )


class Rows:
    """The tables that claims are about; each is read once and checked."""

    def __init__(self, results: Sequence[Result], claims: Sequence[Claim]):
        self.results = results
        self.folders = {claim.folder for claim in claims} - {None}
        self._tables: dict[Path, pd.DataFrame] = {}

    def find(self, claim: Claim) -> tuple[Claim, list[Result]]:
        """The claim on the run that there is, and a result of each training seed; NotThere where there is none.

        Of several runs that the claim names, one with several training seeds comes first. InputError where results
        that fit do not agree.
        """
        found = [(one, results) for one in claim.alternatives if (results := self._seeds(one))]
        if not found:
            names = f"with {' or '.join(dict.fromkeys(', '.join(sorted(one.runs)) for one in claim.alternatives))}"
            names = names if claim.runs else "of one model"
            inside = f" in a folder {claim.folder}" if claim.folder else ""
            raise NotThere(f"no result of {claim.result} {names}{inside}")
        chosen, results = max(found, key=lambda pair: len(pair[1]) > 1)
        for result in results:
            result.check()
        name = chosen.of.get("run", chosen.run)
        if len(results) > 1 and len({result.runs[name].hash for result in results}) < len(results):
            raise InputError(
                f"{results[0].path} and the results of other seeds beside it are of the same trained model"
            )
        return chosen, results

    def _seeds(self, claim: Claim) -> list[Result]:
        """A result of each training seed that has what the claim needs, of the folder named first."""
        names = claim.runs
        fitting = [
            r for r in self.results if r.script == claim.result and names <= set(r.runs) and self._is_in(r, claim)
        ]
        if not names and not claim.one:
            fitting = [r for r in fitting if len(r.runs) == 1 or (claim.records and not r.runs)]
        first = min((result.place for result in fitting), default=0)
        groups: dict[Path, dict[str, dict[tuple, Result]]] = {}
        for result in (result for result in fitting if result.place == first):
            folder = result.path.parent
            seed = folder.name if claim.trained and SEED.fullmatch(folder.name) else ""
            behind = tuple(result.runs[name].folder for name in sorted(names or result.runs))
            groups.setdefault(folder.parent if seed else folder, {}).setdefault(seed, {}).setdefault(behind, result)
        most = max((len(seeds) for seeds in groups.values()), default=0)
        experiments = {
            tuple(sorted(behind for ones in seeds.values() for behind in ones)): [
                result for ones in seeds.values() for result in ones.values()
            ]
            for seeds in groups.values()
            if len(seeds) == most
        }
        chosen = list(experiments.values())
        if len(chosen) > 1 or any(len(results) > most for results in chosen):
            paths = " and ".join(str(result.path) for results in chosen for result in results)
            raise InputError(f"several results fit, {paths}: name one with --results")
        return chosen[0] if chosen else []

    def _is_in(self, result: Result, claim: Claim) -> bool:
        """Whether a result lies in the claim's folder, or else in none of those that other claims name."""
        inside = self.folders.intersection(result.path.parts)
        return claim.folder in inside if claim.folder else not inside

    def table(self, claim: Claim, result: Result, name: str | None) -> pd.DataFrame:
        """The records of a run, or the table that the claim names."""
        if claim.records and claim.records not in result.files:
            raise InputError(f"{result.path}: has no table {claim.records}; run `{result.command}` again")
        if claim.records:
            path = result.path.parent / claim.records
        else:
            path = result.runs[name or next(iter(result.runs))].folder
        if path not in self._tables:
            try:
                self._tables[path] = read_csv(path) if claim.records else load_records(path)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path}: cannot be read as tables of ours: {error!r}") from error
        return self._tables[path]

    def rows(self, claim: Claim, result: Result, part: Mapping[str, str]) -> pd.DataFrame:
        """The rows that `part` selects: the columns that the claim names, and `value`; NotThere where there is none."""
        column = part.get("value", claim.value)
        table = self.table(claim, result, part.get("run", claim.run))
        if "held_out" in part:
            held_out = comma_list(result.option("held_out"))
            codes = table["setting"].map(lambda setting: family(setting)[1])
            table = table.assign(held_out=np.where(codes.isin(held_out), "yes", "no"))
        filters = {key: pattern for key, pattern in part.items() if key not in ("run", "value")}
        keys = [*claim.by, *([claim.each] if claim.each else [])]
        missing = [name for name in (*filters, *keys, column, *([claim.one] if claim.one else [])) if name not in table]
        if missing:
            raise InputError(f"{result.path}: its records have no column {', '.join(missing)}")
        preferred = matching(table, {k: v for k, v in claim.prefer.items() if k in table}) if claim.prefer else []
        table = table[preferred] if np.any(preferred) else table
        table = table[matching(table, filters)]
        if table.empty:
            raise NotThere(f"{result.path}: its runs have no rows with {_said(part)}")
        if claim.one and table[claim.one].nunique() > 1:
            several = ", ".join(sorted(table[claim.one].astype(str).unique()))
            raise InputError(f"{result.path}: rows with {_said(part)} are of several, {several}; leave one of them in")
        values = pd.to_numeric(table[column], errors="coerce")
        if not np.isfinite(values).all():
            raise InputError(f"{result.path}: column {column} of its records has cells that are no numbers")
        told = {"told": table.get(claim.tell, np.nan)} if claim.tell else {}
        return table[keys].assign(value=values, **told)


def matching(table: pd.DataFrame, patterns: Mapping[str, str]) -> np.ndarray:
    """Which rows match the pattern of every column, bool [rows]; claims.yaml explains patterns."""
    kept = np.ones(len(table), bool)
    for column, pattern in patterns.items():
        cells = table[column].astype(str)
        found = [
            cells.map(lambda cell, one=one: fnmatchcase(cell, one)).to_numpy(bool)
            for one in pattern.removeprefix("!").split(",")
        ]
        if pattern.startswith("!"):
            kept &= ~np.any(found, axis=0)
        else:
            kept &= next((one for one in found if one.any()), found[0])
    return kept


def gather(claim: Claim, rows: Rows) -> Data:
    """What the claim is tested on; NotThere or another InputError where the data are not there."""
    chosen, results = rows.find(claim)
    seeds = [_samples(chosen, rows, result) for result in results]
    for result, (samples, _) in zip(results, seeds, strict=True):
        if any(not _same_units(samples, other) for other, _ in seeds):
            raise InputError(f"{result.path}: has other units than the results of other seeds")
    first = seeds[0][0]
    stacked = {
        label: {name: np.stack([samples[label][name] for samples, _ in seeds]) for name in parts}
        for label, parts in first.items()
    }
    arrays = {label: {name: one.astype(float) for name, one in parts.items()} for label, parts in stacked.items()}
    names = {part.get("run", chosen.run) for part in chosen.parts.values()}
    models = dict.fromkeys(
        source.model for result in results for name, source in result.runs.items() if name in names or names == {None}
    )
    told = tuple(np.mean([one for _, one in seeds], axis=0)) if chosen.tell else ()
    run = chosen.of["run"] if len(claim.alternatives) > 1 else ""
    return Data(arrays, ", ".join(models), run, told)


def _samples(claim: Claim, rows: Rows, result: Result) -> tuple[dict[str, dict[str, pd.Series]], list[float]]:
    """A result's units by the value of `each` and by part, in one order, and the mean of `tell` of each part."""
    parts = {name: rows.rows(claim, result, part) for name, part in claim.parts.items()}
    keys = [*([claim.each] if claim.each else []), *claim.by]
    means = {name: table.groupby(keys)["value"].mean() for name, table in parts.items()}
    shared = means["of"].index
    for values in means.values():
        shared = shared.intersection(values.index)
    for name, values in means.items():
        if not claim.common and len(values) > len(shared) or shared.empty:
            said = f"rows with {_said(claim.parts[name])} and {_said(claim.of)}"
            raise InputError(f"{result.path}: {said} are of different units")
    within = [*([claim.each] if claim.each else []), *([claim.cluster] if claim.cluster else claim.by)]
    units = {name: values.loc[shared].groupby(level=within).mean() for name, values in means.items()}
    told = [table["told"].mean() for table in parts.values()] if claim.tell else []
    if not claim.each:
        return {"": units}, told
    labels = units["of"].index.get_level_values(claim.each).unique()
    return {
        str(label): {name: values.xs(label, level=claim.each) for name, values in units.items()} for label in labels
    }, told


def _same_units(one: Mapping[str, Mapping[str, pd.Series]], other: Mapping[str, Mapping[str, pd.Series]]) -> bool:
    return [*one] == [*other] and all(one[label]["of"].index.equals(other[label]["of"].index) for label in one)


def _said(part: Mapping[str, str]) -> str:
    return ", ".join(f"{column} {pattern}" for column, pattern in part.items())
