"""Draw the pictures of the READMEs from the tables in the `expected/` folders.

python assets/figures.py --out assets
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from common.cli import parse, run
from common.languages import LANGUAGES
from common.reporting.plots import (
    NEUTRAL,
    PAGE,
    add_legend,
    draw_chance,
    draw_heat_map,
    draw_line,
    draw_rows,
    plot_arms,
    plot_curves,
    rows_figure,
    save_figure,
)
from common.settings import label

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "report")]
from tabulate_layers import plot_layers  # noqa: E402
from tabulate_remedies import plot_remedies  # noqa: E402

FORWARD = ["en", "full", "mixup", "question", "options", "gt", "gt_question", "onewrong", "threewrong"]
REAL, WORLD = "Qwen2.5-Coder-1.5B-Instruct", "synthetic world"
CHANCE = 0.25
DIFFERENCE = "difference from English (points)"
ARMS = {"none": "before", "en": "English text", "document": "mixed by document", "sentence": "mixed by sentence"}
ARMS |= {"words": "mixed by eight words", "word": "mixed by word"}
KNOWN = {
    "shared_in_language": "read in every language, asked in it",
    "english_only_in_english": "read in English, asked in English",
    "english_only_mixup": "read in English, mixed languages",
    "english_only_elsewhere": "read in English, asked elsewhere",
}
WORDINGS = {"within": "two wordings, one language", "across": "one wording in each of two languages"}


@dataclass
class Pictures:
    """Draw the pictures of the READMEs.

    Attributes:
        out: folder of the PNG files.
    """

    out: str = str(ROOT / "assets")


def expected(name: str) -> pd.DataFrame:
    """A table that is kept, such as "MMLU/expected/zero_shot_world_42.csv"."""
    return pd.read_csv(ROOT / name)


def by_setting(name: str) -> pd.DataFrame:
    """Rows over all languages by family of settings, in the order of the figures."""
    table = expected(name)
    alone = table.groupby("family")["language"].transform("size") == 1
    means = table[alone | (table["language"] == "mean")].set_index("family")
    return means.loc[[family for family in FORWARD if family in means.index]]


def in_rows(shown: pd.DataFrame, title: str, joined: bool = False) -> Figure:
    """Fractions with their intervals as percent, from a table whose index is the series and the row."""
    figure, axis = rows_figure(shown.index, PAGE)
    draw_rows(axis, 100 * shown.set_axis(["value", "ci_low", "ci_high"], axis=1), joined)
    axis.set_xlabel(title)
    add_legend(figure, [axis])
    return figure


def barrier() -> Figure:
    """Accuracy and difference from English by setting of the real model, beside the paper's differences."""
    table = by_setting("MMLU/expected/zero_shot_qwen2.5-coder-1.5b.csv")
    paper = expected("report/paper_figures.csv")
    paper = paper[paper["metric"] == "delta_vs_en"]
    rows = [*table.index, *(f"mixed: {model}, the paper" for model in paper["model"])]
    index = pd.MultiIndex.from_product([[REAL], rows])
    figure, axes = rows_figure(index, PAGE, 2)
    measures = (("accuracy", "ci_low", "ci_high"), ("delta_vs_en", "delta_low", "delta_high"))
    for axis, columns in zip(axes, measures, strict=True):
        shown = 100 * table[list(columns)].set_axis(["value", "ci_low", "ci_high"], axis=1)
        draw_rows(axis, shown.reindex(rows).set_axis(index))
    axes[1].plot(paper["value"], range(len(table), len(rows)), "D", color=NEUTRAL, markersize=4.5)
    draw_chance(axes[0], CHANCE)
    axes[0].set_xlabel("accuracy (%), 95% interval")
    draw_line(axes[1], 0, "English", "--", "right")
    axes[1].set_xlabel(DIFFERENCE)
    return figure


def mmlu() -> Figure:
    """Difference from English of the real model by setting and language."""
    table = expected("MMLU/expected/zero_shot_qwen2.5-coder-1.5b.csv")
    table = table[table["family"].isin(FORWARD[1:]) & (table["language"] != "mean")]
    table = table.assign(language=table["language"].replace("-", "mixup"))
    table = table.sort_values("language", key=ordered, kind="stable")
    shown = table.set_index(["language", "family"])[["delta_vs_en", "delta_low", "delta_high"]]
    figure = in_rows(shown, f"{DIFFERENCE}, 95% interval")
    draw_line(figure.axes[0], 0, "English", "--", "right")
    return figure


def ordered(codes: pd.Series) -> pd.Series:
    """A sort key: mixup, then languages as in LANGUAGES."""
    return codes.map(["mixup", *LANGUAGES].index)


def quiz() -> Figure:
    """The domain quiz by language."""
    real = expected("HP/expected/quiz_qwen2.5-coder-1.5b.csv")
    real = real[real["family"].isin(["en", "full"]) & (real["language"] != "mean")]
    real = real.assign(arm=REAL, column=real["language"].where(real["family"] == "full", "en"))
    world = expected("HP/expected/seeds.csv")
    world = world[(world["arm"].astype(str) == "42") & (world["category"] == "all")]
    world = world.assign(arm=WORLD, column=world["language"])
    columns = ["arm", "column", "accuracy", "ci_low", "ci_high"]
    return plot_arms(pd.concat([real[columns], world[columns]]), CHANCE)


def taught() -> Figure:
    """Facts taught in English by language, before and after fine-tuning on other text."""
    table = expected("TOFU/expected/remedy.csv")
    table = table[table["measure"] == "choice"].rename(columns={"value": "accuracy", "language": "column"})
    arms = {"taught": "taught in English", "en": "then English text", "word": "then text mixed by word"}
    return plot_arms(table.assign(arm=table["arm"].map(lambda arm: arms.get(arm, arm))), CHANCE)


def tuning() -> Figure:
    """Fine-tuning on text mixed in several ways."""
    table = expected("FT/expected/arms.csv")
    table = table[table["column"].isin(["en", "mixup", "full"]) & table["arm"].isin(ARMS)]
    return plot_arms(table.assign(arm=table["arm"].map(ARMS)), CHANCE)


def lens() -> Figure:
    """The logit lens on word translation of the real model."""
    table = expected("Translation/expected/lens_layers_qwen2.5-coder-1.5b.csv")
    table = table.melt("layer", var_name="words", value_name="probability").assign(model=REAL, mean="")
    return plot_curves(table, "probability", "words", "mean", "probability of the word")


def clika() -> Figure:
    """Accuracy of CLiKA's models by task and language."""
    table = expected("CLiKA/expected/released_accuracy.csv")
    tasks, models, codes = (list(table[name].unique()) for name in ("task", "model", "language"))
    down = -(-len(tasks) // 2)
    figure = Figure(figsize=(PAGE, 0.5 + down * (0.9 + 0.2 * len(models))), layout="constrained")
    axes = figure.subplots(down, 2, squeeze=False, sharey=True, sharex=True).flatten()
    for axis, task in zip(axes, tasks, strict=False):
        grid = table[table["task"] == task].pivot(index="model", columns="language", values="accuracy")
        image = draw_heat_map(axis, 100 * grid.reindex(models)[codes].to_numpy(), codes, 100, ".0f", models)
        axis.set_title(task.replace("_", " "))
    for axis in axes[len(tasks) :]:
        axis.remove()
    figure.colorbar(image, ax=list(axes[: len(tasks)]), label="accuracy (%)", aspect=30)
    return figure


def world() -> Figure:
    """What three synthetic worlds know, by how the facts were read and are asked."""
    table = expected("world/expected/seeds.csv")
    table = table[(table["seed"] != "mean") & table["figure"].isin(KNOWN)]
    table = table.assign(series="seed " + table["seed"], row=table["figure"].map(KNOWN))
    shown = table.set_index(["series", "row"])[["accuracy", "ci_low", "ci_high"]]
    figure = in_rows(shown, "accuracy (%), 95% interval")
    draw_chance(figure.axes[0], CHANCE)
    return figure


def recall() -> Figure:
    """Agreement of two wordings of a fact, in one language and in two."""
    table = expected("Recall/expected/wording_seed_42.csv")
    table = table[table["measure"].isin(WORDINGS) & (table["language_a"] == "en")]
    table = table.assign(series=table["measure"].map(WORDINGS), row="English and " + table["language_b"].map(label))
    shown = table.set_index(["series", "row"])[["value", "ci_low", "ci_high"]]
    return in_rows(shown, "same prediction (%), 95% interval", joined=True)


def remedies() -> Figure:
    """What fine-tuning changes, on each model."""
    names = ("world", "qwen2.5-coder-1.5b")
    table = pd.concat(expected(f"FT/expected/remedies_{name}.csv") for name in names)
    arms = table["arm"].map(lambda arm: ARMS.get(arm, arm))
    return plot_remedies(table.assign(arm=arms, model=table["model"].replace("world", WORLD)))


def layers() -> Figure:
    """Alignment by layer of fine-tuned models, and what it does for accuracy."""
    return plot_layers(expected("FT/expected/layers_world_42.csv"))


PICTURES = {
    "barrier": barrier, "mmlu": mmlu, "quiz": quiz, "taught": taught, "tuning": tuning, "remedies": remedies,
    "layers": layers, "lens": lens, "clika": clika, "world": world, "recall": recall,
}  # fmt: skip


def main() -> None:
    config = parse(Pictures)
    for name, draw in PICTURES.items():
        png, pdf = save_figure(Path(config.out) / name, draw)
        pdf.unlink()  # READMEs show PNG
        with Image.open(png) as picture:
            picture.convert("RGB").quantize(128).save(png, optimize=True)
        print(png)


if __name__ == "__main__":
    run(main)
