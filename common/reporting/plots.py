"""The house style of figures, and the few kinds that all tasks draw: rows, dumbbells, curves, heat maps.

Figures are as wide as a paper's column or page, with text of 8 points; words stand for code names (`label`).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure  # not pyplot, which would look for a screen
from matplotlib.ticker import MaxNLocator

from common.languages import LANGUAGES
from common.reporting.files import temporary_file
from common.settings import label

COLUMN, PAGE = 3.3, 6.8  # widths of figures in inches
# Okabe and Ito's colours but yellow, distinct with any common colour blindness, and two more.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7570B3", "#999933")
MARKERS = "osD^vP"
NEUTRAL, GRID = "#333333", "#dddddd"

STYLE = {
    "figure.dpi": 100, "savefig.dpi": 200, "font.size": 8, "axes.titlesize": 8, "axes.titlelocation": "left",
    "legend.fontsize": 8, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.6, "text.parse_math": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "figure",  # text stays text
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), NEUTRAL),
}  # fmt: skip


def save_figure(path: str | os.PathLike, plot: Callable[..., Figure], *arguments) -> list[Path]:
    """Draw `plot(*arguments)` in the house style and write `path`.png and `path`.pdf; returns the two paths.

    Each file is written whole or not at all. The same figure gives the same bytes.
    """
    path, written = Path(path), []
    with matplotlib.rc_context(STYLE):
        figure = plot(*arguments)
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
            written.append(path.with_name(path.name + suffix))
            with temporary_file(written[-1], suffix) as temporary:
                figure.savefig(temporary, metadata=metadata)
    return written


def language_style(code: str, codes: Sequence[str] = ()) -> dict[str, str]:
    """Colour and marker: of a language the same in every figure; of another name by its place in `codes`.

    English and mixup are dark. From the ninth on colours repeat with other markers.
    """
    if code in ("en", "mixup"):
        return {"color": NEUTRAL, "marker": "o"}
    place = list(LANGUAGES).index(code) - 1 if code in LANGUAGES else list(codes).index(code)
    return {"color": COLORS[place % len(COLORS)], "marker": MARKERS[(place + place // len(COLORS)) % len(MARKERS)]}


def plot_arms(table: pd.DataFrame, chance: float, width: float = PAGE) -> Figure:
    """Accuracy of each arm (a run, a method, a model): columns of the table as rows, one mark an arm, 95% intervals.

    `table` has arm, column, accuracy, ci_low, ci_high; these and `chance`, the accuracy of guessing, are fractions.
    """
    numbers = table.rename(columns={"accuracy": "value"}).set_index(["arm", "column"])
    figure, axis = rows_figure(numbers.index, width)
    draw_rows(axis, 100 * numbers[["value", "ci_low", "ci_high"]])
    draw_chance(axis, chance)
    axis.set_xlabel("accuracy (%)")
    add_legend(figure, [axis])
    return figure


def rows_figure(index: pd.MultiIndex, width: float, panels: int = 1) -> tuple[Figure, Axes | np.ndarray]:
    """A figure for `draw_rows` of an index of series and row: high enough, panels side by side where they fit."""
    series, rows = (len(index.unique(level)) for level in (0, 1))
    down, legend, least = (panels, series / 2, 0.3) if width < PAGE else (1, series / 4, 0.2)
    high = 0.9 + 0.16 * np.ceil(legend) + rows * max(least, 0.09 * series)
    figure = Figure(figsize=(width, high * down), layout="constrained")
    return figure, figure.subplots(down, panels // down, sharey=True) if panels > 1 else figure.subplots()


def draw_rows(axis: Axes, table: pd.DataFrame, joined: bool = False, names: Sequence[str] = ()) -> None:
    """Draw value, ci_low, ci_high of a table whose index is the series and the row; rows from the top.

    With `joined` a line joins the marks of a row: a dumbbell. `names`: all series of a figure with several panels.
    """
    series, rows = (list(table.index.unique(level)) for level in (0, 1))
    for row in rows if joined else ():
        values = table.xs(row, level=1)["value"]
        axis.plot([values.min(), values.max()], [rows.index(row)] * 2, color=NEUTRAL, linewidth=1, zorder=1)
    for name in series:
        own, y = table.loc[name], []
        for row in own.index:  # beside the other marks of the row
            here = [one for one in series if (one, row) in table.index]
            y.append(rows.index(row) + (0 if joined else 0.7 * ((here.index(name) + 0.5) / len(here) - 0.5)))
        lengths = np.array([own["value"] - own["ci_low"], own["ci_high"] - own["value"]]).clip(0)
        style = {"linestyle": "none", "markersize": 4.5, "elinewidth": 1} | language_style(name, names or series)
        axis.errorbar(own["value"], y, xerr=lengths, label=label(name), **style)
    length = 20 if axis.figure.get_figwidth() < PAGE else 40
    axis.set_yticks(range(len(rows)), [fill(label(row), length) for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def draw_line(axis: Axes, value: float, name: str, style: str = ":", side: str = "left") -> None:
    """A line at a value of the x axis of `draw_rows`, its name at its upper end, beginning or ending there (`side`)."""
    axis.axvline(value, color=NEUTRAL, linewidth=0.8, linestyle=style, zorder=1, gid=name)
    offset = 3 if side == "left" else -3, -1
    axis.annotate(name, (value, 1), offset, axis.get_xaxis_transform(), "offset points", ha=side, va="top")
    axis.set_ylim(top=-1.1)


def draw_chance(axis: Axes, chance: float) -> None:
    """A dotted line at the accuracy of guessing, a fraction; the axis is in percent."""
    draw_line(axis, 100 * chance, "chance")


def add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend above all axes, each name once, where there are several; in as many columns as fit."""
    found = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    if len(found) > 1:
        columns = max(1, int(figure.get_figwidth() / (0.5 + 0.075 * max(map(len, found)))))
        figure.legend(found.values(), found, loc="outside upper left", ncols=min(columns, len(found)))


def plot_curves(table: pd.DataFrame, value: str, line: str, panel: str, title: str, width: float = PAGE) -> Figure:
    """A measure by layer: means over the rows of each `line`; a panel for each model and value of `panel`.

    `table` has model, layer and the three named columns.
    """
    lines, panels = list(table[line].unique()), table[["model", panel]].drop_duplicates().to_numpy().tolist()
    across = table[panel].nunique() if width >= PAGE else 1
    down = -(-len(panels) // across)
    figure = Figure(figsize=(width, 0.6 + 1.7 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey=True).flatten()
    several = [table[name].nunique() > 1 for name in ("model", panel)]
    for axis, (model, shown) in zip(axes, panels, strict=False):
        own = table[(table["model"] == model) & (table[panel] == shown)]
        for name, values in own.groupby([line, "layer"], sort=False)[value].mean().groupby(level=line, sort=False):
            style = {"markersize": 3, "label": label(str(name))} | language_style(name, lines)
            axis.plot(values.index.get_level_values("layer"), values, **style)
        names = (str(model), f"{panel} {label(str(shown))}")
        axis.set_title(", ".join(name for name, needed in zip(names, several, strict=True) if needed))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supxlabel("layer", size="medium")
    figure.supylabel(title, size="medium")
    add_legend(figure, axes)
    return figure


def draw_heat_map(
    axis: Axes, grid: np.ndarray, codes: Sequence[str], highest: float, form: str, down: Sequence[str] = (), **text
) -> QuadMesh:
    """A heat map of values from 0 to `highest`, each cell with its number as `form` (".2f").

    `codes` name the columns of `grid`, and its rows too unless `down` does. Where all fit, languages are named in full.
    """
    down = down or codes
    image = axis.pcolormesh(grid, cmap="cividis", vmin=0, vmax=highest, edgecolors="white", linewidth=0.5)
    for (y, x), value in np.ndenumerate(grid):
        if not np.isnan(value):
            color = "white" if value < highest / 2 else "black"
            axis.text(x + 0.5, y + 0.5, format(value, form), ha="center", va="center", color=color, **text)
    axis.set_xticks(np.arange(len(codes)) + 0.5, map(label, codes), rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(np.arange(len(down)) + 0.5, map(label, down))
    axis.set_ylim(len(down), 0)
    axis.tick_params(length=0)
    axis.grid(False)
    return image
