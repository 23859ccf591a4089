"""What an experiment of the report is, and what its readers, sentences and figures are made with.

A reader takes the results of one model and gives a table, or None where its script has not run or its files are not as
they were written. A figure takes {model: table} and a width in inches: models are columns or colours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from read_results import Result

from common.cli import InputError
from common.reporting.files import read_csv
from common.reporting.plots import PAGE, add_legend, draw_chance, draw_heat_map, draw_line, draw_rows, rows_figure
from common.settings import label

Tables = Mapping[str, pd.DataFrame]
SEED = 42  # of the bootstrap
CHANCE = 0.25  # of four options, as all of these experiments have
NAMES = {  # of arms and methods, in words
    "plain": "plain prompt", "none": "before fine-tuning", "en": "English text", "word": "text mixed by word",
    "words": "text mixed by eight words", "sentence": "text mixed by sentence", "document": "text mixed by document",
    "parallel": "text with each sentence translated", "interleaved": "text with each paragraph translated",
    "middle": "English text, sentences aligned", "pairs": "one word in 20 translated, words aligned",
    "dpo": "what most languages answer, preferred", "anchor": "words moved towards English ones",
    "hint_various": "hint: several languages", "hint_different": "hint: different languages",
    "shots_english": "examples in English", "shots_same": "examples in the same setting",
    "shots_mixed": "examples in mixed languages", "labels_cdef": "labels C to F", "labels_digits": "labels 1 to 4",
    "labels_lower": "labels a to d", "translate_self": "translated by the model first",
    "translate_test": "translated first", "xlt": "thinking in English (XLT)",
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A section of the report: title, the scripts whose results it shows, the command that makes them, what is asked.

    `benchmark` names the rows of paper_figures.csv to show, where the section's own tables do not have them.
    """

    title: str
    scripts: tuple[str, ...]
    command: str
    asked: str
    read: Callable[[Sequence[Result]], pd.DataFrame | None]
    found: Callable[[pd.DataFrame], str]
    draw: Callable[[Tables, float], Figure]
    benchmark: str = ""


def named(arm: str) -> str:
    """An arm of training or a method in words."""
    return NAMES.get(arm, arm.replace("_", " "))


def change(value: float, low: float, high: float, unit: str = "points", scale: float = 100) -> str:
    """ "falls by 6.9 points [1.9, 11.9]": a difference in words, hedged where its interval includes zero."""
    value, low, high = scale * value, scale * low, scale * high
    if low > 0:
        return f"rises by {value:.1f} {unit} [{low:.1f}, {high:.1f}]"
    if high < 0:
        return f"falls by {-value:.1f} {unit} [{-high:.1f}, {-low:.1f}]"
    return f"shows no clear change ({value:+.1f} {unit}, interval {low:+.1f} to {high:+.1f} includes zero)"


def percent(row: pd.Series, name: str = "accuracy") -> str:
    """ "47.8% [43.1, 52.5]"."""
    return f"{100 * row[name]:.1f}% [{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}]"


def tables_of(results: Sequence[Result], script: str, ending: str) -> list[tuple[Result, pd.DataFrame]]:
    """The tables with a name that ends so, of the script's results whose files are as they were written."""
    found = []
    for result in results:
        names = [name for name in result.files if name.endswith(ending)] if result.script == script else []
        try:
            if names:
                result.check()
                found.append((result, read_csv(result.path.parent / names[0])))
        except (InputError, OSError, ValueError):
            continue  # the report names it beside the numbers
    return found


def beside(tables: Tables, row: str) -> pd.DataFrame:
    """Tables of several models below each other, the model as series."""
    return pd.concat([table.assign(series=model, row=table[row]) for model, table in tables.items()])


def heat_map(grid: pd.DataFrame, title: str, form: str, width: float) -> Figure:
    """A heat map of one table, rows and columns named by its index and columns; a narrow one without colour bar."""
    names, narrow = [label(str(name)) for name in grid.columns], width < PAGE
    high = 1.3 + 0.25 * len(grid) + (0.1 * len(grid) + 0.06 * max(map(len, names)) if narrow else 0)
    figure = Figure(figsize=(width, high), layout="constrained")
    axis = figure.subplots()
    highest = max(float(np.nanmax(grid.to_numpy(float))), 1e-9)
    rows = [fill(label(str(name)), 20 if narrow else 40) for name in grid.index]
    image = draw_heat_map(axis, grid.to_numpy(float), names, highest, form, rows)
    if narrow:
        axis.set_xticks(axis.get_xticks(), names, rotation=90, ha="center", va="top", rotation_mode="default")
        axis.set_title(fill(title, 40))
    else:
        figure.colorbar(image, ax=axis, label=title)
    return figure


def draw_series(
    table: pd.DataFrame, title: str, width: float, *, joined: bool = False, chance: float = 0, zero: str = ""
) -> Figure:
    """Rows of value, ci_low, ci_high in percent, from a table with the columns series and row.

    With `chance`, a fraction, a line there; with `zero`, the name of a line at 0.
    """
    table = table.set_index(["series", "row"])[["value", "ci_low", "ci_high"]]
    figure, axis = rows_figure(table.index, width)
    draw_rows(axis, 100 * table, joined)
    if chance:
        draw_chance(axis, chance)
    if zero:
        draw_line(axis, 0, zero)
    axis.set_xlabel(title)
    add_legend(figure, [axis])
    return figure
