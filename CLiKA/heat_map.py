"""Heat maps of a measure for every pair of languages."""

import pandas as pd
from matplotlib.figure import Figure

from common.reporting.plots import draw_heat_map


def plot_consistency(table: pd.DataFrame) -> Figure:
    """Heat maps, one per measure, of a table with measure, language_a, language_b, value; values from 0 to 1."""
    measures = list(table["measure"].unique())
    figure = Figure(figsize=(1.2 + 2.6 * len(measures), 2.8), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        rows = table[table["measure"] == measure]
        codes = list(rows["language_a"].unique())
        grid = rows.pivot(index="language_a", columns="language_b", values="value").loc[codes, codes]
        image = draw_heat_map(axis, grid.to_numpy(), codes, 1, ".2f", fontsize="small")
        axis.set_title(measure.replace("_", " "), loc="left")
    figure.colorbar(image, ax=list(axes))
    return figure
