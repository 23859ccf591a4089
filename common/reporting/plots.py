"""The house style of figures, and the plot of accuracies by setting and language.

with house_style():
    save_figure(plot_settings(summarize(records), "gpt2, 0-shot"), "results/gpt2/accuracy")
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which would look for a screen
from matplotlib.ticker import MaxNLocator

from common.languages import LANGUAGES
from common.settings import family, sort_settings

# Okabe and Ito's colours, told apart with any common colour blindness; yellow, too pale on white, is left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vP"
NEUTRAL = "#333333"
CHANCE = 25.0

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


@contextmanager
def house_style() -> Iterator[None]:
    """Figures made inside have the house style; settings outside are left alone."""
    with matplotlib.rc_context(_STYLE):
        yield


def save_figure(figure: Figure, path: str | os.PathLike) -> list[Path]:
    """Write `path`.png and `path`.pdf, each whole or not at all; same figure, same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
        target = path.with_name(path.name + suffix)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
        try:
            figure.savefig(temporary, bbox_inches="tight", metadata=metadata)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(target)
    return written


def language_style(code: str, codes: Sequence[str]) -> dict[str, str]:
    """Colour and marker of one of a figure's languages; the seventh starts the colours over with other markers."""
    place = list(codes).index(code)
    return {"color": COLORS[place % len(COLORS)], "marker": MARKERS[(place + place // len(COLORS)) % len(MARKERS)]}


def plot_settings(summary: pd.DataFrame, title: str) -> Figure:
    """Accuracy of every setting with its Wilson interval: families along x, one mark for each language.

    Args:
        summary: columns setting, accuracy, ci_low, ci_high as fractions (see `common.evaluation.records.summarize`).
        title: above the figure.

    The dashed line is English, the dotted one chance; where English was asked, the right axis gives the distance
    from it in points. Reversed settings get a panel of their own.
    """
    rows = {row.setting: row for row in summary.itertuples()}
    present = {code for code in (family(setting)[1] for setting in rows) if code}
    codes = [code for code in LANGUAGES if code in present]
    forward = [setting for setting in sort_settings(rows) if not setting.startswith("rev_")]
    backward = [setting for setting in sort_settings(rows) if setting.startswith("rev_")]
    panels = [panel for panel in (forward, backward) if panel]
    figure = Figure(figsize=(8, 3.2 * len(panels)))
    axes = figure.subplots(len(panels), 1, sharey=True, squeeze=False)
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _draw_panel(axis, [rows[setting] for setting in panel], codes, rows.get("en"))
    axes[0, 0].set_title(title, loc="left")
    # The axis is the same for all panels and always holds chance.
    low, high = min(100 * summary["ci_low"].min(), CHANCE), max(100 * summary["ci_high"].max(), CHANCE)
    axes[0, 0].set_ylim(max(0, low - 5), min(101, high + 5))
    handles = {
        label: handle for axis in axes[:, 0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    return figure


def _draw_panel(axis: Axes, rows: list, codes: Sequence[str], english: tuple | None) -> None:
    families = list(dict.fromkeys(family(row.setting)[0] for row in rows))
    for row in rows:
        name, code = family(row.setting)
        style = language_style(code, codes) if code else {"color": NEUTRAL, "marker": "o"}
        shift = (codes.index(code) - (len(codes) - 1) / 2) * 0.7 / max(len(codes), 1) if code else 0.0
        axis.errorbar(
            families.index(name) + shift,
            100 * row.accuracy,
            # Rounding can put the interval's end a hair inside the point; a negative length is an error.
            yerr=[[max(0.0, 100 * (row.accuracy - row.ci_low))], [max(0.0, 100 * (row.ci_high - row.accuracy))]],
            label=LANGUAGES[code].name if code else "_en or mixup",
            linestyle="none",
            markersize=4.5,
            elinewidth=1,
            **style,
        )
    axis.axhline(CHANCE, color=NEUTRAL, linewidth=0.8, linestyle=":", label="chance")
    axis.set_xticks(range(len(families)), [name.replace("_", "\n") for name in families])
    axis.set_xlim(-0.6, len(families) - 0.4)
    axis.set_ylabel("accuracy (%)")
    if english is not None:
        level = 100 * english.accuracy
        axis.axhline(level, color=NEUTRAL, linewidth=0.8, linestyle="--", label="English")
        right = axis.secondary_yaxis("right", functions=(lambda y: y - level, lambda d: d + level))
        right.set_ylabel("difference from English (points)")


def plot_loss(log: pd.DataFrame) -> Figure:
    """Training loss, and below it the learning rate, over optimizer steps; columns `step`, `loss`, `learning_rate`."""
    logged = log.dropna(subset=["loss"])
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    top.plot(logged["step"], logged["loss"], color=COLORS[0])
    top.set_ylabel("loss (nats a token)")
    bottom.plot(logged["step"], logged["learning_rate"], color=NEUTRAL)
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("optimizer step")
    return figure


def plot_arms(table: pd.DataFrame) -> Figure:
    """Accuracy of each arm of training data: columns of the table along x, one mark an arm, Wilson intervals.

    `table` has arm, column, accuracy, ci_low, ci_high; fractions.
    """
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axis = figure.subplots()
    numbers = table.rename(columns={"accuracy": "value"}).set_index(["arm", "column"])
    _draw_arms(axis, 100 * numbers[["value", "ci_low", "ci_high"]])
    axis.axhline(CHANCE, color=NEUTRAL, linewidth=0.8, linestyle=":", label="chance")
    axis.set_ylabel("accuracy (%)")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_measures(table: pd.DataFrame) -> Figure:
    """Several measures by language, a panel each, one mark an arm with its interval.

    `table` has arm, measure, language, value, ci_low, ci_high; fractions.
    """
    measures = list(table["measure"].unique())
    figure = Figure(figsize=(3.4 * len(measures) + 0.8, 2.8), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for axis, measure in zip(axes, measures, strict=True):
        _draw_arms(axis, table[table["measure"] == measure].set_index(["arm", "language"]))
        axis.set_title(measure.replace("_", " "), loc="left")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _draw_arms(axis: Axes, table: pd.DataFrame) -> None:
    """`table` has value, ci_low, ci_high by arm and what goes along x."""
    arms, columns = (list(table.index.unique(level)) for level in (0, 1))
    for place, arm in enumerate(arms):
        rows = table.loc[arm]
        shift = (place - (len(arms) - 1) / 2) * 0.7 / len(arms)
        axis.errorbar(
            [columns.index(name) + shift for name in rows.index],
            rows["value"],
            # Rounding can put the interval's end a hair inside the point; a negative length is an error.
            yerr=np.array([rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]).clip(0),
            label=arm,
            linestyle="none",
            markersize=4.5,
            elinewidth=1,
            **language_style(arm, arms),
        )
    axis.set_xticks(range(len(columns)), [name.replace("_", "\n", 1) for name in columns])


def plot_layers(table: pd.DataFrame, value: str, line: str, panel: str) -> Figure:
    """A measure by layer: means over the rows of each `line`, one panel for each value of `panel`.

    `table` has model, layer and the three named columns. The first model's lines are solid, the second's dashed.
    """
    panels, lines, models = (list(table[column].unique()) for column in (panel, line, "model"))
    figure = Figure(figsize=(1.4 + 2.2 * len(panels), 2.8), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, shown in zip(axes, panels, strict=True):
        means = table[table[panel] == shown].groupby(["model", line, "layer"])[value].mean()
        for (model, name), values in means.groupby(level=["model", line]):
            axis.plot(
                values.index.get_level_values("layer"),
                values,
                linestyle=("-", "--", ":")[models.index(model) % 3],
                markersize=3,
                label=str(name).replace("_", " ") if len(models) == 1 else f"{name}, {model}".replace("_", " "),
                **language_style(name, lines),
            )
        axis.set_title(f"{panel} {shown}", loc="left")
        axis.set_xlabel("layer")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel(value)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[-1].legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_similarities(table: pd.DataFrame) -> Figure:
    """How cosine similarities to the original are distributed in the middle layer, a panel for each rate and model.

    `table` has model, rate, variant, layer, cosine.
    """
    variants = list(table["variant"].unique())
    middle = table[table["layer"] == table["layer"].max() // 2]
    groups = list(middle.groupby(["model", "rate"], sort=False))
    figure = Figure(figsize=(1.4 + 2.4 * len(groups), 2.6), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    edges = np.histogram_bin_edges(middle["cosine"], bins=60)
    for axis, ((model, rate), rows) in zip(axes, groups, strict=True):
        for variant in variants:
            own = rows.loc[rows["variant"] == variant, "cosine"]
            color = language_style(variant, variants)["color"]
            axis.hist(own, bins=edges, histtype="step", color=color, label=variant.replace("_", " "))
        axis.set_title(f"{model}, rate {rate}", loc="left")
        axis.set_xlabel("cosine")
    axes[0].set_ylabel("passages")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_directions(table: pd.DataFrame, metric: str) -> Figure:
    """Heat maps of a metric, one a system: source languages down, targets across.

    `table` has system, direction ("en-de") and the metric's column.
    """
    systems = list(table["system"].unique())
    codes = [code for code in LANGUAGES if any(code in name.split("-") for name in table["direction"])]
    figure = Figure(figsize=(1.2 + 2.6 * len(systems), 3.2), layout="constrained")
    axes = figure.subplots(1, len(systems), squeeze=False)[0]
    for axis, system in zip(axes, systems, strict=True):
        grid = np.full((len(codes), len(codes)), np.nan)
        for row in table[table["system"] == system].to_dict("records"):
            source, target = row["direction"].split("-")
            grid[codes.index(source), codes.index(target)] = row[metric]
        image = axis.imshow(grid, cmap="cividis", vmin=0, vmax=table[metric].max())
        middle = table[metric].max() / 2
        for (down, across), value in np.ndenumerate(grid):
            if not np.isnan(value):
                color = "white" if value < middle else "black"
                axis.text(across, down, f"{value:.1f}", ha="center", va="center", color=color)
        axis.set_xticks(range(len(codes)), codes)
        axis.set_yticks(range(len(codes)), codes)
        axis.set_title(system, loc="left")
        axis.grid(False)
    axes[0].set_ylabel("from")
    figure.supxlabel("into", size="medium")
    figure.colorbar(image, ax=list(axes), label=metric)
    return figure


def plot_consistency(table: pd.DataFrame) -> Figure:
    """Heat maps of measures for every pair of languages, one a measure.

    `table` has measure, language_a, language_b, value; values from 0 to 1.
    """
    measures = list(table["measure"].unique())
    figure = Figure(figsize=(1.2 + 2.6 * len(measures), 2.8), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        rows = table[table["measure"] == measure]
        codes = list(rows["language_a"].unique())
        grid = rows.pivot(index="language_a", columns="language_b", values="value").loc[codes, codes].to_numpy()
        image = axis.imshow(grid, cmap="cividis", vmin=0, vmax=1)
        for (down, across), value in np.ndenumerate(grid):
            if not np.isnan(value):
                color = "white" if value < 0.5 else "black"
                axis.text(across, down, f"{value:.2f}", ha="center", va="center", color=color, fontsize="small")
        axis.set_xticks(range(len(codes)), codes)
        axis.set_yticks(range(len(codes)), codes)
        axis.set_title(measure.replace("_", " "), loc="left")
        axis.grid(False)
    figure.colorbar(image, ax=list(axes))
    return figure


def plot_systems(table: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Mean of each metric over the directions of each system, as bars; one panel a metric."""
    systems = list(table["system"].unique())
    figure = Figure(figsize=(1.8 * len(metrics), 2.8), layout="constrained")
    for axis, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        means = [table.loc[table["system"] == system, metric].astype(float).mean() for system in systems]
        axis.bar(range(len(systems)), means, color=[COLORS[i % len(COLORS)] for i in range(len(systems))])
        axis.set_xticks(range(len(systems)), systems, rotation=30, ha="right")
        axis.set_title(metric, loc="left")
    return figure
