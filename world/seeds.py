"""Tabulate what synthetic-world models of several seeds know: the figures kept with each checkpoint, and their mean.

python -m world.seeds --models assets/world,results/world_43/model,results/world_44/model --out seeds.csv
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, comma_list, parse, run
from common.reporting.files import write_csv_atomic
from world.config import PROVENANCE


@dataclass
class Seeds:
    """Tabulate the figures of several world models.

    Attributes:
        models: checkpoint folders with world.json, a list or separated by commas.
        out: CSV file to write.
    """

    models: str | list[str]
    out: str


def seed_rows(folder: str) -> list[dict]:
    """One row per figure: seed, figure, n, accuracy, ci_low, ci_high."""
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        raise InputError(f"{path}: no such file; make the model with `python -m world.pretrain`")
    provenance = json.loads(path.read_text(encoding="utf-8"))
    columns = ("n", "accuracy", "ci_low", "ci_high")
    return [
        {"seed": str(provenance["seed"]), "figure": name} | {column: figure[column] for column in columns}
        for name, figure in provenance["figures"].items()
    ]


def main() -> None:
    config = parse(Seeds)
    table = pd.DataFrame([row for folder in comma_list(config.models) for row in seed_rows(folder)])
    if table.duplicated(["seed", "figure"]).any():
        raise InputError(f"models {config.models}: two of them have the same seed; name each seed once")
    mean = table.groupby("figure", sort=False).agg(n=("n", "sum"), accuracy=("accuracy", "mean")).reset_index()
    table = pd.concat([table, mean.assign(seed="mean")], ignore_index=True)
    write_csv_atomic(config.out, table, float_format="%.6f")
    print(table.to_string(index=False))


if __name__ == "__main__":
    run(main)
