"""Plots of translation quality by direction and system, and of similarities."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.languages import LANGUAGES
from common.reporting.plots import COLORS, PAGE, add_legend, draw_heat_map, language_style
from common.settings import label


def plot_similarities(table: pd.DataFrame) -> Figure:
    """Histograms of the cosine similarity to the original in the middle layer, a panel for each rate and model.

    `table` has model, rate, variant, layer, cosine.
    """
    variants = list(table["variant"].unique())
    middle = table[table["layer"] == table["layer"].max() // 2]
    groups = list(middle.groupby(["model", "rate"], sort=False))
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    edges = np.histogram_bin_edges(middle["cosine"], bins=60)
    for axis, ((model, rate), rows) in zip(axes, groups, strict=True):
        for variant in variants:
            own = rows.loc[rows["variant"] == variant, "cosine"]
            color = language_style(variant, variants)["color"]
            axis.hist(own, bins=edges, histtype="step", color=color, label=label(variant))
        axis.set_title(f"{model}, rate {rate}")
        axis.set_xlabel("cosine similarity")
    axes[0].set_ylabel("passages")
    add_legend(figure, axes)
    return figure


def plot_directions(table: pd.DataFrame, metric: str) -> Figure:
    """Heat maps of a metric, one a system: source languages down, targets across.

    `table` has system, direction ("en-de") and the metric's column.
    """
    systems = list(table["system"].unique())
    codes = [code for code in LANGUAGES if any(code in name.split("-") for name in table["direction"])]
    figure = Figure(figsize=(PAGE, 1.2 + 4 / max(2, len(systems))), layout="constrained")
    axes = figure.subplots(1, len(systems), squeeze=False, sharey=True)[0]
    for axis, system in zip(axes, systems, strict=True):
        grid = np.full((len(codes), len(codes)), np.nan)
        for row in table[table["system"] == system].to_dict("records"):
            source, target = row["direction"].split("-")
            grid[codes.index(source), codes.index(target)] = row[metric]
        image = draw_heat_map(axis, grid, codes, table[metric].max(), ".1f")
        axis.set_title(system)
    axes[0].set_ylabel("from")
    figure.supxlabel("into", size="medium")
    figure.colorbar(image, ax=list(axes), label=metric.upper())
    return figure


def plot_systems(table: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Mean of each metric over the directions of each system: systems as rows, one panel a metric."""
    means = table.groupby("system", sort=False)[list(metrics)].mean()
    figure = Figure(figsize=(PAGE, 0.7 + 0.25 * len(means)), layout="constrained")
    for axis, metric in zip(figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0], metrics, strict=True):
        axis.plot(means[metric].astype(float), range(len(means)), "o", color=COLORS[0])
        axis.set_yticks(range(len(means)), means.index)
        axis.set_ylim(len(means) - 0.5, -0.5)
        axis.set_xlabel(metric.upper())
    return figure
