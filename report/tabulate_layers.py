"""Alignment of sentences by layer before and after fine-tuning: does it rise where accuracy rises?

    python report/tabulate_layers.py --runs world=FT/results/world --out FILE

Each folder is one that FT/scripts/remedy.sh wrote with MEASURES=mexa. Alignment is MEXA with English, the mean over
languages (Translation/mexa.py); accuracy is that in other languages, `full`. Changes are from no fine-tuning, on the
same sentences and questions; intervals resample training seeds and units (measures.py). Writes <out>.csv (one row per
model, arm and layer, and one of all layers, with the change of accuracy) and the plot <out>.png, <out>.pdf.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import permutation_test, spearmanr
from tabulate_remedies import BASE, Tabulate, aligned, arms_of, changed, named, places_of, read_arm, stacked

from common.cli import InputError, comma_list, named_list, parse, run
from common.reporting.plots import PAGE, add_legend, language_style
from common.reporting.results import write_result

ALL = "all"  # layers
FEWEST = 4  # arms for a correlation


def compare(model: str, folder: Path, config: Tabulate, runs: dict[str, Path]) -> pd.DataFrame:
    """One row per arm and layer; adds the runs behind it to `runs`."""
    held_out, subjects = comma_list(config.held_out), named_list(config.subjects, "subjects") if config.subjects else {}
    places, prefix = places_of(folder, config), subjects.get(model, "")
    if not (folder / "mexa" / BASE / "run.json").exists():
        raise InputError(f"{folder}: no alignment of {BASE}; run FT/scripts/remedy.sh with MEASURES=mexa")
    before, (columns, _) = aligned(folder / "mexa" / BASE), read_arm(folder, BASE, held_out, prefix)
    if "full" not in columns:
        raise InputError(f"{folder}: no records of {BASE} in other languages; evaluate with settings en,full")
    behind = {f"{model} {BASE}": (folder, BASE)}
    rows = []
    for arm in arms_of(places, folder, config):
        own = [aligned(place / "mexa" / arm) for place in places]
        read = [read_arm(place, arm, held_out, prefix)[0] for place in places]
        behind |= {f"{model} {arm} {place.name}": (place, arm) for place in places}
        where, base = f"{folder}, arm {arm}", columns["full"]
        gain = stacked(read, "full", base.index, where) - base.to_numpy(float)
        accuracy = named("accuracy_change", changed(gain, None, config.seed))
        for layer in (ALL, *before):
            one, *after = (table.mean(axis=1) if layer == ALL else table[layer] for table in (before, *own))
            found = stacked([{"mexa": column} for column in after], "mexa", one.index, where)
            row = {"model": model, "arm": arm, "layer": layer, "seeds": len(places), "n": len(one)}
            row |= {"before": one.mean(), "after": found.mean()}
            row |= named("change", changed(found - one.to_numpy(float), None, config.seed))
            rows.append(row | (accuracy if layer == ALL else {}))
    for kind in ("mexa", "records"):
        runs |= {f"{name} {kind}": place / kind / arm for name, (place, arm) in behind.items()}
    return pd.DataFrame(rows)


def sentence_of(table: pd.DataFrame) -> str:
    """The finding for each model: where alignment rises, where accuracy does, and whether the two go together."""
    said = []
    for model, own in table[table["layer"] == ALL].groupby("model", sort=False):
        both = {name: set(own.loc[own[f"{name}_low"] > 0, "arm"]) for name in ("change", "accuracy_change")}
        parts = [", ".join(arm for arm in own["arm"] if arm in arms) or "no arm" for arms in both.values()]
        said.append(f"On {model} alignment rises, mean over layers, with {parts[0]}; accuracy with {parts[1]}.")
        if len(own) >= FEWEST and own["change"].nunique() > 1 and own["accuracy_change"].nunique() > 1:
            rho, p = ranks_together(own["change"], own["accuracy_change"])
            said.append(f"Over {len(own)} arms the ranks of the two correlate by {rho:.2f} (p = {p:.2g}).")
    return " ".join(said)


def ranks_together(one: pd.Series, other: pd.Series) -> tuple[float, float]:
    """Spearman's correlation, and p by exchanging the pairs: in every way for few arms, 9,999 times for many."""
    test = permutation_test(
        (one.to_numpy(),), lambda own: spearmanr(own, other).statistic, permutation_type="pairings", rng=0
    )
    return float(test.statistic), float(test.pvalue)


def plot_layers(table: pd.DataFrame) -> Figure:
    """For each model, MEXA by layer with a line an arm, and the change of accuracy against that of MEXA."""
    models, arms = list(dict.fromkeys(table["model"])), [BASE, *dict.fromkeys(table["arm"])]
    figure = Figure(figsize=(PAGE, 0.6 + 2.4 * len(models)), layout="constrained")
    axes = figure.subplots(len(models), 2, squeeze=False)
    for (left, right), model in zip(axes, models, strict=True):
        own = table[table["model"] == model]
        curves = own[own["layer"] != ALL]
        first = curves[curves["arm"] == curves["arm"].iloc[0]]
        lines = {BASE: first["before"], **{arm: rows["after"] for arm, rows in curves.groupby("arm", sort=False)}}
        for arm, values in lines.items():
            style = {"color": "black", "linestyle": "--"} if arm == BASE else language_style(arm, arms)
            left.plot(first["layer"].astype(int), values, markersize=3, label=arm, **style)
        for row in own[own["layer"] == ALL].itertuples():
            reach = [[100 * (row.change - row.change_low)], [100 * (row.change_high - row.change)]]
            high = [[100 * (row.accuracy_change - row.accuracy_change_low)]]
            high += [[100 * (row.accuracy_change_high - row.accuracy_change)]]
            style = {"markersize": 4.5, "elinewidth": 1} | language_style(row.arm, arms)
            right.errorbar(100 * row.change, 100 * row.accuracy_change, xerr=np.abs(reach), yerr=np.abs(high), **style)
        left.set_title(model)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_xlabel("layer")
        left.set_ylabel("MEXA with English")
        right.set_xlabel("change of MEXA, mean over layers (points)")
        right.set_ylabel("change of accuracy (points)")
    add_legend(figure, axes[:, 0])
    return figure


def main() -> None:
    config = parse(Tabulate)
    runs: dict[str, Path] = {}
    folders = named_list(config.runs, "runs")
    table = pd.concat([compare(model, Path(folder), config, runs) for model, folder in folders.items()])
    said = sentence_of(table)
    write_result(__file__, config.out, runs, table, plot=(plot_layers, table), sentence=said, float_format="%.6f")


if __name__ == "__main__":
    run(main)
