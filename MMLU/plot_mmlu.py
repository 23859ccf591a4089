"""Plot the accuracy drop: every setting and language with its interval, and its distance from English.

    python MMLU/plot_mmlu.py --run MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world/accuracy

Writes <out>.png and <out>.pdf from the records alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from categories import load_category, run_title
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.cli import parse, run
from common.evaluation.records import summarize
from common.languages import LANGUAGES
from common.reporting.plots import NEUTRAL, draw_chance, draw_marks, language_style, save_figure, spread
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
    """Accuracy of every setting with its Wilson interval: families along x, one mark for each language.

    Args:
        summary: columns setting, accuracy, ci_low, ci_high as fractions (see `common.evaluation.records.summarize`).
        chance: accuracy of guessing, a fraction; the dotted line.
        title: above the figure.

    The dashed line is English; where it was asked, the right axis gives the distance from it in points. Reversed
    settings get a panel of their own.
    """
    rows = {row.setting: row for row in summary.itertuples()}
    present = {code for code in (family(setting)[1] for setting in rows) if code}
    codes = [code for code in LANGUAGES if code in present]
    forward = [setting for setting in sort_settings(rows) if not setting.startswith("rev_")]
    backward = [setting for setting in sort_settings(rows) if setting.startswith("rev_")]
    panels = [panel for panel in (forward, backward) if panel]
    figure = Figure(figsize=(8, 3.2 * len(panels)))
    axes = figure.subplots(len(panels), 1, sharey=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, [rows[setting] for setting in panel], codes, chance, rows.get("en"))
    axes[0].set_title(title, loc="left")
    # The axis is the same for all panels and always holds chance.
    low, high = 100 * min(*summary["ci_low"], chance), 100 * max(*summary["ci_high"], chance)
    axes[0].set_ylim(max(0, low - 5), min(101, high + 5))
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    return figure


def _draw_panel(axis: Axes, rows: list, codes: Sequence[str], chance: float, english: tuple | None) -> None:
    families = list(dict.fromkeys(family(row.setting)[0] for row in rows))
    for row in rows:
        name, code = family(row.setting)
        x = families.index(name) + (spread(codes.index(code), len(codes)) if code else 0)
        style = language_style(code, codes) if code else {"color": NEUTRAL, "marker": "o"}
        label = LANGUAGES[code].name if code else "_en or mixup"
        draw_marks(axis, x, 100 * row.accuracy, 100 * row.ci_low, 100 * row.ci_high, label=label, **style)
    draw_chance(axis, chance)
    axis.set_xticks(range(len(families)), [name.replace("_", "\n") for name in families])
    axis.set_xlim(-0.6, len(families) - 0.4)
    axis.set_ylabel("accuracy (%)")
    if english is not None:
        level = 100 * english.accuracy
        axis.axhline(level, color=NEUTRAL, linewidth=0.8, linestyle="--", label="English")
        right = axis.secondary_yaxis("right", functions=(lambda y: y - level, lambda d: d + level))
        right.set_ylabel("difference from English (points)")


def main() -> None:
    config = parse(Plot)
    records = load_category(config.run, config.category)
    summary, chance = summarize(records), chance_level(records["option_languages"])
    parts = [run_title(config.run), config.category, f"n = {summary['n'].max()}"]
    title = config.title or ", ".join(filter(None, parts))
    runs = {config.run: config.run}
    begin_result(__file__, config.out, runs, [f"{config.out}.png", f"{config.out}.pdf"])
    written = save_figure(config.out, plot_settings, summary, chance, title)
    save_result(__file__, config.out, runs, written)
    print(*written, sep="\n")


if __name__ == "__main__":
    run(main)
