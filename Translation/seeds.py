"""Tabulate translation, embeddings and lens of several seeds of the synthetic world: one column per seed.

    python Translation/seeds.py --runs 42=DIR,43=DIR,44=DIR --out Translation/results/seeds.csv

DIR is a results folder of Translation/scripts/, with scores.summary.csv, embeddings/summary.csv and lens/summary.csv.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.cli import InputError, named_list, parse, run
from common.reporting.files import read_csv, write_csv_atomic


@dataclass
class Seeds:
    """Tabulate several seeds.

    Attributes:
        runs: such as 42=DIR,43=DIR, a list or separated by commas.
        out: CSV to write.
    """

    runs: str | list[str]
    out: str


def read(path: Path) -> pd.DataFrame:
    """A table of a run; InputError where it is missing."""
    if not path.exists():
        raise InputError(f"{path}: no such file; the scripts in Translation/scripts/ write it")
    try:
        return read_csv(path)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as a CSV file: {' '.join(str(error).split())}") from error


def figures(folder: Path) -> dict[str, float]:
    """The figures of one run by name; embeddings in the middle layer."""
    scores = read(folder / "scores.summary.csv").set_index("directions")
    found = {
        f"{metric} {way}": scores.loc[way, metric]
        for way in ("from English", "into English")
        for metric in ("bleu", "chrf")
    }
    embeddings = read(folder / "embeddings" / "summary.csv")
    for row in embeddings[embeddings["layer"] == embeddings["layer"].max() // 2].itertuples():
        found[f"cosine of mixed, rate {row.rate}"] = row.mixed
        found[f"mixed above {row.baseline}, rate {row.rate}"] = row.difference
        found[f"p against {row.baseline}, rate {row.rate}"] = row.p_holm
    return found | {"lens, words right": read(folder / "lens" / "summary.csv").set_index("source").loc["all", "right"]}


def main() -> None:
    config, columns = parse(Seeds), {}
    for seed, folder in named_list(config.runs, "runs").items():
        try:
            columns[seed] = figures(Path(folder))
        except (KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{folder}: its tables lack {error}; make them again with Translation/scripts/") from error
    table = pd.DataFrame(columns).rename_axis("figure").reset_index()
    write_csv_atomic(config.out, table, float_format="%.6g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    run(main)
