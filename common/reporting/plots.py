"""The house style of figures, and the few kinds that all tasks draw: rows, dumbbells, slopes, curves, heat maps.

save_figure("results/gpt2/accuracy", plot_arms, table, chance)

Figures are as wide as a paper's column or page, with text of 8 points. Words stand for code names, see `label`.
"""

import io
import os
import re
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
# Okabe and Ito's colours, which remain distinct with any common colour blindness; yellow is too pale on white. Then two
# more for models or languages beyond the sixth.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7570B3", "#999933")
MARKERS = "osD^vP"
NEUTRAL, GRID = "#333333", "#dddddd"

_STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a $ in a model's name is one
    "svg.fonttype": "none",
    "svg.hashsalt": "figure",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), NEUTRAL),
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
                figure.savefig(temporary, metadata=metadata)
    return written


def svg(plot: Callable[..., Figure], *arguments) -> str:
    """`plot(*arguments)` as an SVG element without background, for a page: text stays text."""
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        plot(*arguments).savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return re.sub(r"<metadata>.*?</metadata>", "", text.getvalue()[text.getvalue().index("<svg") :], flags=re.DOTALL)


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
    high = (
        0.9
        + 0.16 * (-(-series // (2 if width < PAGE else 4)))
        + rows * max(0.2 if width >= PAGE else 0.3, 0.09 * series)
    )
    down = panels if width < PAGE else 1
    figure = Figure(figsize=(width, high * down), layout="constrained")
    return figure, figure.subplots(down, panels // down, sharey=True) if panels > 1 else figure.subplots()


def draw_rows(axis: Axes, table: pd.DataFrame, joined: bool = False) -> None:
    """Draw value, ci_low, ci_high of a table whose index is the series and the row; rows from the top.

    With `joined` a line joins the marks of a row: a dumbbell, as of before and after.
    """
    series, rows = (list(table.index.unique(level)) for level in (0, 1))
    for row in rows if joined else ():
        values = table.xs(row, level=1)["value"]
        axis.plot([values.min(), values.max()], [rows.index(row)] * 2, color=NEUTRAL, linewidth=1, zorder=1)
    for name in series:
        own = table.loc[name]
        here = {row: [one for one in series if (one, row) in table.index] for row in own.index}
        y = [rows.index(r) + (0 if joined else spread(here[r].index(name), len(here[r]))) for r in own.index]
        lengths = np.array([own["value"] - own["ci_low"], own["ci_high"] - own["value"]]).clip(0)
        style = {"linestyle": "none", "markersize": 4.5, "elinewidth": 1} | language_style(name, series)
        axis.errorbar(own["value"], y, xerr=lengths, label=label(name), **style)
    length = 20 if axis.figure.get_figwidth() < PAGE else 40
    axis.set_yticks(range(len(rows)), [fill(label(row), length) for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def spread(place: int, count: int) -> float:
    """Distance from the middle of the `place`-th of `count` marks side by side, in units of the axis."""
    return (place - (count - 1) / 2) * 0.7 / max(count, 1)


def draw_line(axis: Axes, value: float, name: str, style: str = ":", side: str = "left") -> None:
    """A line at a value of the x axis of `draw_rows`, its name at its upper end, beginning or ending there (`side`)."""
    axis.axvline(value, color=NEUTRAL, linewidth=0.8, linestyle=style, zorder=1, gid=name)
    where, offset = axis.get_xaxis_transform(), (3 if side == "left" else -3, -1)
    axis.annotate(name, (value, 1), offset, where, "offset points", ha=side, va="top")
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
            layers = values.index.get_level_values("layer")
            axis.plot(layers, values, markersize=3, label=label(str(name)), **language_style(name, lines))
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
