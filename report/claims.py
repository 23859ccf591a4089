"""The claims of claims.yaml: what is compared, in which direction, and what makes the results."""

import re
from argparse import ArgumentError
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml
from jsonargparse import ArgumentParser

from common.cli import InputError

CLAIMS = Path(__file__).with_name("claims.yaml")
UNITS = {"points": (100, "+.1f"), "percent": (100, ".1f"), "cosine": (1, "+.3f"), "chrF": (1, "+.1f")}
UNITS |= {"correlation": (1, "+.2f")}
PARTS = ("of", "against", "english", "own")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim; the keys are explained in claims.yaml."""

    name: str
    claim: str
    where: str
    untested: str = ""
    script: str = ""
    needs: str = ""
    result: str = ""
    measure: Literal["difference", "gap_closed", "conductivity", "jaccard", "correlation"] = "difference"
    of: dict[str, str] = field(default_factory=dict)
    against: dict[str, str] = field(default_factory=dict)
    english: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    holds: str = ""
    minimum: int = 0
    unit: str = "points"
    run: str | None = None
    beside: list[str] = field(default_factory=list)
    folder: str | None = None
    trained: bool = False
    records: str | None = None
    by: list[str] = field(default_factory=lambda: ["id"])
    cluster: str | None = None
    common: bool = False
    each: str | None = None
    one: str | None = None
    value: str = "correct"
    tell: str | None = None
    prefer: dict[str, str] = field(default_factory=dict)
    chance: float = 0.0

    @property
    def bound(self) -> tuple[str, float]:
        """above or below, and what."""
        side, value = re.fullmatch(r"(above|below) (-?[\d.]+)", self.holds).groups()
        return side, float(value)

    @property
    def parts(self) -> dict[str, dict[str, str]]:
        """The rows that the claim compares, by the key that names them."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name)}

    @property
    def runs(self) -> set[str]:
        """Names of the runs that a result must have; none where any single run will do."""
        return {name for part in self.parts.values() if (name := part.get("run", self.run))} | set(self.beside)

    @property
    def alternatives(self) -> list["Claim"]:
        """The claim on each of the runs that `of` names, in their order, in every part that names the same ones."""
        runs = self.of.get("run", "")

        def renamed(part: dict[str, str], run: str) -> dict[str, str]:
            return part | {"run": run} if runs and part.get("run") == runs else part

        return [
            replace(self, **{name: renamed(part, run) for name, part in self.parts.items()}) for run in runs.split(",")
        ]


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
        if claim.name in claims:
            raise InputError(f"{path}, {claim.name}: name is {claim.name!r}; it must be a name of its own")
        for key, right, needed in _demands(claim) if not claim.untested else ():
            if not right:
                raise InputError(f"{path}, {claim.name}: {key} is {getattr(claim, key)!r}; it must be {needed}")
        claims[claim.name] = claim
    return list(claims.values())


def _demands(claim: Claim) -> tuple[tuple[str, object, str], ...]:
    """(key, whether it is right, what it must be) for the keys of a claim that is tested."""
    return (
        ("result", claim.result, "a script whose result is read"),
        ("script", claim.script, "a script that makes the result"),
        ("of", claim.of, "rows"),
        ("against", claim.against, "rows"),
        ("holds", re.fullmatch(r"(above|below) -?\d+(\.\d+)?", claim.holds), "`above` or `below` and a number"),
        ("unit", claim.unit in UNITS, f"one of {', '.join(UNITS)}"),
        ("by", claim.by, "one column or more"),
        ("cluster", claim.cluster is None or claim.cluster in claim.by, "one of the columns of `by`"),
        ("minimum", claim.minimum > 0, "1 or more"),
        ("chance", 0 <= (claim.chance if claim.chance is not None else -1) < 1, "0 or a share below 1"),
        ("english", claim.english or claim.measure != "gap_closed", "rows, for gap_closed"),
        ("own", claim.own or claim.measure != "gap_closed", "rows, for gap_closed"),
    )
