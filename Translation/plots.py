"""Plots of translation quality by direction and system, and of measures by layer."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.languages import LANGUAGES
from common.reporting.plots import COLORS, draw_heat_map, language_style


def plot_layers(table: pd.DataFrame, value: str, line: str, panel: str) -> Figure:
    """A measure by layer: means over the rows of each `line`, one panel for each value of `panel`.

    `table` has model, layer and the three named columns. The first model's lines are solid, the second's dashed.
    """
    panels, lines, models = (list(table[column].unique()) for column in (panel, line, "model"))
    figure = Figure(figsize=(1.4 + 2.2 * len(panels), 2.8), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, shown in zip(axes, panels, strict=True):
        means = table[table[panel] == shown].groupby(["model", line, "layer"])[value].mean()
        for (model, name), values in means.groupby(level=["model", line]):
            axis.plot(
                values.index.get_level_values("layer"),
                values,
                linestyle=("-", "--", ":")[models.index(model) % 3],
                markersize=3,
                label=str(name).replace("_", " ") if len(models) == 1 else f"{name}, {model}".replace("_", " "),
                **language_style(name, lines),
            )
        axis.set_title(f"{panel} {shown}", loc="left")
        axis.set_xlabel("layer")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel(value)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[-1].legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_similarities(table: pd.DataFrame) -> Figure:
    """Histograms of the cosine similarity to the original in the middle layer, a panel for each rate and model.

    `table` has model, rate, variant, layer, cosine.
    """
    variants = list(table["variant"].unique())
    middle = table[table["layer"] == table["layer"].max() // 2]
    groups = list(middle.groupby(["model", "rate"], sort=False))
    figure = Figure(figsize=(1.4 + 2.4 * len(groups), 2.6), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    edges = np.histogram_bin_edges(middle["cosine"], bins=60)
    for axis, ((model, rate), rows) in zip(axes, groups, strict=True):
        for variant in variants:
            own = rows.loc[rows["variant"] == variant, "cosine"]
            color = language_style(variant, variants)["color"]
            axis.hist(own, bins=edges, histtype="step", color=color, label=variant.replace("_", " "))
        axis.set_title(f"{model}, rate {rate}", loc="left")
        axis.set_xlabel("cosine")
    axes[0].set_ylabel("passages")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_directions(table: pd.DataFrame, metric: str) -> Figure:
    """Heat maps of a metric, one a system: source languages down, targets across.

    `table` has system, direction ("en-de") and the metric's column.
    """
    systems = list(table["system"].unique())
    codes = [code for code in LANGUAGES if any(code in name.split("-") for name in table["direction"])]
    figure = Figure(figsize=(1.2 + 2.6 * len(systems), 3.2), layout="constrained")
    axes = figure.subplots(1, len(systems), squeeze=False)[0]
    for axis, system in zip(axes, systems, strict=True):
        grid = np.full((len(codes), len(codes)), np.nan)
        for row in table[table["system"] == system].to_dict("records"):
            source, target = row["direction"].split("-")
            grid[codes.index(source), codes.index(target)] = row[metric]
        image = draw_heat_map(axis, grid, codes, table[metric].max(), ".1f")
        axis.set_title(system, loc="left")
    axes[0].set_ylabel("from")
    figure.supxlabel("into", size="medium")
    figure.colorbar(image, ax=list(axes), label=metric)
    return figure


def plot_systems(table: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Mean of each metric over the directions of each system, as bars; one panel a metric."""
    systems = list(table["system"].unique())
    figure = Figure(figsize=(1.8 * len(metrics), 2.8), layout="constrained")
    for axis, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        means = [table.loc[table["system"] == system, metric].astype(float).mean() for system in systems]
        axis.bar(range(len(systems)), means, color=[COLORS[i % len(COLORS)] for i in range(len(systems))])
        axis.set_xticks(range(len(systems)), systems, rotation=30, ha="right")
        axis.set_title(metric, loc="left")
    return figure
