"""Heat maps of a measure for every pair of languages."""

import pandas as pd
from matplotlib.figure import Figure

from common.reporting.plots import PAGE, draw_heat_map
from common.settings import label


def plot_consistency(table: pd.DataFrame) -> Figure:
    """Heat maps, one per measure, of a table with measure, language_a, language_b, value; values from 0 to 1."""
    measures = list(table["measure"].unique())
    figure = Figure(figsize=(PAGE, 0.9 + 5.2 / max(2, len(measures))), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for axis, measure in zip(axes, measures, strict=True):
        rows = table[table["measure"] == measure]
        codes = list(rows["language_a"].unique())
        grid = rows.pivot(index="language_a", columns="language_b", values="value").loc[codes, codes]
        image = draw_heat_map(axis, grid.to_numpy(), codes, 1, ".2f" if len(codes) < 7 else ".1f")
        axis.set_title(label(measure))
    figure.colorbar(image, ax=list(axes), label="share of questions, or kappa")
    return figure
