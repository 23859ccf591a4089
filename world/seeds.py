"""Tabulate what synthetic-world models of several seeds know: the figures kept with each checkpoint, and their mean.

python -m world.seeds --models assets/world,results/world_43/model,results/world_44/model --out seeds.csv
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, comma_list, parse, run
from common.reporting.results import write_result
from world.config import PROVENANCE


@dataclass
class Seeds:
    """Tabulate the figures of several world models.

    Attributes:
        models: checkpoint folders with world.json, a list or separated by commas.
        out: CSV file to write; its provenance is written beside it.
    """

    models: str | list[str]
    out: str


def seed_rows(folder: str) -> list[dict]:
    """One row per figure: seed, figure, n, accuracy, ci_low, ci_high."""
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        raise InputError(f"{path}: no such file; make the model with `python -m world.pretrain`")
    columns = {"n": int, "accuracy": float, "ci_low": float, "ci_high": float}
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        return [
            {"seed": str(provenance["seed"]), "figure": name} | {key: kind(own[key]) for key, kind in columns.items()}
            for name, own in provenance["figures"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not as world.pretrain writes it ({error!r}); pretrain the model again") from error


def main() -> None:
    config = parse(Seeds)
    table = pd.DataFrame([row for folder in comma_list(config.models) for row in seed_rows(folder)])
    if table.empty:
        raise InputError("models is empty; name folders of models that world.pretrain made")
    if table.duplicated(["seed", "figure"]).any():
        raise InputError(f"models {config.models}: two of them have the same seed; name each seed once")
    mean = table.groupby("figure", sort=False).agg(n=("n", "sum"), accuracy=("accuracy", "mean")).reset_index()
    table = pd.concat([table, mean.assign(seed="mean")], ignore_index=True)
    write_result(__file__, config.out.removesuffix(".csv"), {}, table, float_format="%.6f")


if __name__ == "__main__":
    run(main)
