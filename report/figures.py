"""Figures of the report alone: SVG for its page, and slopes.

text = svg(plot_slopes, table, "in English", "elsewhere", "accuracy (%)")
"""

import io
import re
from collections.abc import Callable

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from common.reporting.plots import COLUMN, STYLE, language_style
from common.settings import label


def svg(plot: Callable[..., Figure], *arguments) -> str:
    """`plot(*arguments)` as an SVG element without background, for a page: text stays text."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        plot(*arguments).savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return re.sub(r"<metadata>.*?</metadata>", "", text.getvalue()[text.getvalue().index("<svg") :], flags=re.DOTALL)


def plot_slopes(table: pd.DataFrame, left: str, right: str, title: str, width: float = COLUMN) -> Figure:
    """A line for each row from its value at `left` to that at `right`, named at its right end; in percent.

    `table` has row, left, right; fractions.
    """
    figure = Figure(figsize=(width, 2.6), layout="constrained")
    axis = figure.subplots()
    ends = table.sort_values("right")["right"].to_numpy() * 100
    apart = 0.06 * max(100 * table[["left", "right"]].to_numpy().max() - min(ends), 1)
    for place, row in enumerate(table.sort_values("right").itertuples()):
        axis.plot((0, 1), (100 * row.left, 100 * row.right), markersize=4.5, **language_style(row.row, table["row"]))
        height = ends[place] = max(ends[place], ends[place - 1] + apart) if place else ends[place]
        axis.annotate(
            f"{label(row.row)} {100 * row.right:.0f}", (1, height), (6, 0), "data", "offset points", va="center"
        )
    axis.set_xticks((0, 1), (left, right))
    axis.set_xlim(-0.1, 1.7)
    axis.set_ylabel(title)
    return figure
