"""The house style of figures, and what several tasks draw.

save_figure("results/gpt2/accuracy", plot_arms, table, chance)
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which would look for a screen
from matplotlib.image import AxesImage

from common.reporting.files import temporary_file

# Okabe and Ito's colours, which remain distinct with any common colour blindness; yellow is too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vP"
NEUTRAL = "#333333"

_STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
}


def save_figure(path: str | os.PathLike, plot: Callable[..., Figure], *arguments) -> list[Path]:
    """Draw `plot(*arguments)` in the house style and write `path`.png and `path`.pdf; returns the two paths.

    Each file is written whole or not at all. The same figure gives the same bytes.
    """
    path, written = Path(path), []
    with matplotlib.rc_context(_STYLE):
        figure = plot(*arguments)
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
            written.append(path.with_name(path.name + suffix))
            with temporary_file(written[-1], suffix) as temporary:
                figure.savefig(temporary, bbox_inches="tight", metadata=metadata)
    return written


def language_style(code: str, codes: Sequence[str]) -> dict[str, str]:
    """Colour and marker of one of a figure's languages; from the seventh on colours repeat with other markers."""
    place = list(codes).index(code)
    return {"color": COLORS[place % len(COLORS)], "marker": MARKERS[(place + place // len(COLORS)) % len(MARKERS)]}


def plot_arms(table: pd.DataFrame, chance: float) -> Figure:
    """Accuracy of each arm (a run, a method): columns of the table along x, one mark an arm, 95% intervals.

    `table` has arm, column, accuracy, ci_low, ci_high; these and `chance`, the accuracy of guessing, are fractions.
    """
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axis = figure.subplots()
    numbers = table.rename(columns={"accuracy": "value"}).set_index(["arm", "column"])
    draw_arms(axis, 100 * numbers[["value", "ci_low", "ci_high"]])
    draw_chance(axis, chance)
    axis.set_ylabel("accuracy (%)")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def draw_arms(axis: Axes, table: pd.DataFrame) -> None:
    """Draw value, ci_low, ci_high of a table whose index is the arm and what goes along x."""
    arms, columns = (list(table.index.unique(level)) for level in (0, 1))
    for place, arm in enumerate(arms):
        rows = table.loc[arm]
        x = [columns.index(name) + spread(place, len(arms)) for name in rows.index]
        draw_marks(axis, x, rows["value"], rows["ci_low"], rows["ci_high"], label=arm, **language_style(arm, arms))
    axis.set_xticks(range(len(columns)), [name.replace("_", "\n", 1) for name in columns])


def spread(place: int, count: int) -> float:
    """Distance from the middle of the `place`-th of `count` marks side by side, in units of the x axis."""
    return (place - (count - 1) / 2) * 0.7 / max(count, 1)


def draw_marks(axis: Axes, x, value, low, high, **style) -> None:
    """Draw marks with their intervals; numbers or sequences of the same length."""
    # Rounding can put the interval's end a hair inside the point; a negative length is an error.
    lengths = np.array([value - low, high - value]).clip(0).reshape(2, -1)
    axis.errorbar(x, value, yerr=lengths, linestyle="none", markersize=4.5, elinewidth=1, **style)


def draw_chance(axis: Axes, chance: float) -> None:
    """A dotted line at the accuracy of guessing, a fraction; the axis is in percent."""
    axis.axhline(100 * chance, color=NEUTRAL, linewidth=0.8, linestyle=":", label="chance")


def draw_heat_map(axis: Axes, grid: np.ndarray, codes: Sequence[str], highest: float, form: str, **text) -> AxesImage:
    """A heat map of values from 0 to `highest`, [languages, languages], each cell with its number as `form` (".2f")."""
    image = axis.imshow(grid, cmap="cividis", vmin=0, vmax=highest)
    for (down, across), value in np.ndenumerate(grid):
        if not np.isnan(value):
            color = "white" if value < highest / 2 else "black"
            axis.text(across, down, format(value, form), ha="center", va="center", color=color, **text)
    axis.set_xticks(range(len(codes)), codes)
    axis.set_yticks(range(len(codes)), codes)
    axis.grid(False)
    return image
