"""Plot the accuracy drop: every setting and language with its interval, and its distance from English.

    python MMLU/plot_mmlu.py --run MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world/accuracy

Writes <out>.png and <out>.pdf from the records alone.
"""

import sys
from dataclasses import dataclass

import pandas as pd
from categories import load_category, run_title
from matplotlib.figure import Figure

from common.cli import parse, run
from common.evaluation.records import summarize
from common.languages import LANGUAGES
from common.reporting.plots import (
    NEUTRAL,
    PAGE,
    add_legend,
    draw_chance,
    draw_line,
    draw_rows,
    rows_figure,
    save_figure,
)
from common.reporting.results import begin_result, save_result
from common.reporting.stats import chance_level
from common.settings import family, sort_settings


@dataclass
class Plot:
    """Plot accuracy by setting and language.

    Attributes:
        run: run folder of MMLU/evaluate_mmlu.py.
        out: the figure's file name without its ending.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        title: above the figure; the model and its prompt unless given.
    """

    run: str
    out: str
    category: str | None = None
    title: str | None = None


def plot_settings(summary: pd.DataFrame, chance: float, title: str) -> Figure:
    """Accuracy of every setting with its Wilson interval: families as rows, one mark for each language.

    Args:
        summary: columns setting, accuracy, ci_low, ci_high as fractions (see `common.evaluation.records.summarize`).
        chance: accuracy of guessing, a fraction; the dotted line.
        title: above the figure.

    The dashed line is English; where it was asked, the upper axis gives the distance from it in points. Reversed
    settings are the last rows.
    """
    table = 100 * summary.set_index("setting").rename(columns={"accuracy": "value"})[["value", "ci_low", "ci_high"]]
    names = [name for name in sort_settings(table.index) if name != "en"]
    parts = {name: (family(name)[1] or "en", family(name)[0]) for name in names}
    codes = [code for code in LANGUAGES if code in {code for code, _ in parts.values()}]
    rows = list(dict.fromkeys(row for _, row in parts.values()))
    index = pd.MultiIndex.from_tuples([parts[name] for name in names])
    shown = table.loc[names].set_axis(index).sort_index(key=lambda level: level.map([*codes, *rows].index))
    figure, axis = rows_figure(index, PAGE)
    figure.set_figheight(figure.get_figheight() + 0.4)
    draw_rows(axis, shown.rename({"en": "mixup"}, level=0))
    draw_chance(axis, chance)
    axis.set_xlabel("accuracy (%)")
    if "en" in table.index:
        level = table.loc["en", "value"]
        axis.axvspan(*table.loc["en", ["ci_low", "ci_high"]], color=NEUTRAL, alpha=0.12, linewidth=0)
        draw_line(axis, level, "English", "--", "right")
        upper = axis.secondary_xaxis("top", functions=(lambda x: x - level, lambda d: d + level))
        upper.set_xlabel("difference from English (points)")
    add_legend(figure, [axis])
    axis.set_title(title)
    return figure


def main() -> None:
    config = parse(Plot)
    records = load_category(config.run, config.category)
    summary, chance = summarize(records), chance_level(records["option_languages"])
    if set(summary["setting"]) == {"en"}:
        print(f"note: {config.run} has English alone, so there is no figure", file=sys.stderr)
        return
    parts = [run_title(config.run), config.category, f"n = {summary['n'].max()}"]
    title = config.title or ", ".join(filter(None, parts))
    runs = {config.run: config.run}
    begin_result(__file__, config.out, runs, [f"{config.out}.png", f"{config.out}.pdf"])
    written = save_figure(config.out, plot_settings, summary, chance, title)
    save_result(__file__, config.out, runs, written)
    print(*written, sep="\n")


if __name__ == "__main__":
    run(main)
