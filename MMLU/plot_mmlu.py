"""The accuracy-drop plot: every setting and language with its interval, and its distance from English.

    python MMLU/plot_mmlu.py --run MMLU/results/world --out MMLU/results/world/accuracy

Writes <out>.png and <out>.pdf from the records alone.
"""

from dataclasses import dataclass

from categories import load_category, run_title

from common.cli import parse, run
from common.evaluation.records import summarize
from common.reporting.plots import house_style, plot_settings, save_figure
from common.reporting.results import save_result


@dataclass
class Plot:
    """Plot the records of evaluate.py.

    Attributes:
        run: run folder of evaluate.py.
        out: the figure's file name without its ending.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        title: above the figure; the model and how it was asked unless given.
    """

    run: str
    out: str
    category: str | None = None
    title: str | None = None


def main() -> None:
    config = parse(Plot)
    summary = summarize(load_category(config.run, config.category))
    title = config.title or ", ".join(
        filter(None, (run_title(config.run), config.category, f"n = {summary['n'].max()}"))
    )
    with house_style():
        written = save_figure(plot_settings(summary, title), config.out)
    save_result(__file__, config.out, {config.run: config.run}, written)
    print(*written, sep="\n")


if __name__ == "__main__":
    run(main)
