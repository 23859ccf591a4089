"""Draw the README's picture: how far a real model falls when parts of MMLU's questions are translated.

    python assets/barrier.py --out assets/barrier

From MMLU/expected/zero_shot_qwen2.5-coder-1.5b.csv and report/paper_figures.csv.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from common.cli import parse, run
from common.languages import LANGUAGES
from common.reporting.plots import NEUTRAL, draw_marks, language_style, save_figure, spread

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    "threewrong": "all wrong\noptions",
    "onewrong": "one wrong\noption",
    "question": "the question",
    "options": "all options",
    "full": "everything",
    "gt_question": "question and\ncorrect option",
    "gt": "the correct\noption",
    "mixup": "all five\nlanguages",
}


@dataclass
class Barrier:
    """Draw the README's picture.

    Attributes:
        out: the figure's file name without its ending.
    """

    out: str = str(ROOT / "assets" / "barrier")


def plot(table: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Differences from English in points, of the real model by setting and of the paper's models on mixed questions."""
    figure = Figure(figsize=(6.8, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    codes = [code for code in LANGUAGES if code in set(table["language"])]
    for place, name in enumerate(WORDS):
        for row in table[table["family"] == name].itertuples():
            values = (100 * row.delta_vs_en, 100 * row.delta_low, 100 * row.delta_high)
            if row.language in codes:
                x = place + spread(codes.index(row.language), len(codes))
                style = language_style(row.language, codes)
                left.plot(x, values[0], linestyle="", markersize=3, label=LANGUAGES[row.language].name, **style)
            else:
                draw_marks(left, place, *values, label="mean, 95% interval", color=NEUTRAL, marker="o")
    left.set_xticks(range(len(WORDS)), WORDS.values(), fontsize=8, rotation=35, ha="right", rotation_mode="anchor")
    left.set_ylabel("difference from English\n(points of accuracy)")
    left.set_title(f"Qwen2.5-Coder-1.5B, {table['n'].max()} questions; translated:", loc="left", fontsize=9)
    handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    left.legend(handles.values(), handles.keys(), fontsize=7, ncols=3, loc="lower left")

    right.plot(range(len(paper)), paper["value"], "D", color=NEUTRAL, markersize=4)
    right.set_xticks(range(len(paper)), paper["model"], fontsize=8, rotation=35, ha="right", rotation_mode="anchor")
    right.set_xlim(-0.6, len(paper) - 0.4)
    right.set_title("the paper; five languages", loc="left", fontsize=9)
    for axis in (left, right):
        axis.axhline(0, color=NEUTRAL, linewidth=0.8)
    return figure


def main() -> None:
    config = parse(Barrier)
    table = pd.read_csv(ROOT / "MMLU" / "expected" / "zero_shot_qwen2.5-coder-1.5b.csv")
    figures = pd.read_csv(ROOT / "report" / "paper_figures.csv")
    drops = figures[figures["metric"] == "delta_vs_en"]
    print(*save_figure(config.out, plot, table, drops), sep="\n")


if __name__ == "__main__":
    run(main)
