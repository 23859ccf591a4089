"""One table of fine-tuning arms on several models: what each changes, in barrier and English, and what it costs.

    python report/tabulate_remedies.py --runs world=FT/results/world,270M=FT/results/gemma-3-270m --out FILE

Each folder is one that FT/scripts/remedy.sh wrote, with or without SEEDS. Changes are from no fine-tuning, on the same
questions, lines or sentences; intervals resample training seeds and questions (measures.py), with one seed questions
alone. Writes <out>.csv (one row per model, arm and column), <out>.md and the plot <out>.png, <out>.pdf.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measures import over_seeds

from common.cli import InputError, comma_list, named_list, parse, run
from common.evaluation.records import load_records
from common.languages import get
from common.reporting.files import read_csv
from common.reporting.plots import PAGE, add_legend, draw_line, draw_rows
from common.reporting.provenance import read_run
from common.reporting.results import write_result
from common.reporting.stats import LEVEL, gap_closed, paired_bootstrap
from common.reporting.tables import from_frame, interval
from common.reporting.tables import table as markdown_table
from common.settings import family

BASE, CONTROL = "none", "en"
ORDER = (
    CONTROL, "document", "sentence", "words", "word", "parallel", "interleaved", "middle", "pairs", "dpo", "anchor",
)  # fmt: skip
TITLES = {
    "mixup": "`mixup`",
    "full": "`full`",
    "en": "in English",
    "full_held_out": "held out",
    "quiz_en": "quiz, English",
    "quiz_full": "quiz, others",
    "x_geo_en": "x_geo, English",
    "x_geo_full": "x_geo, others",
    "perplexity_en": "perplexity, English",
    "perplexity_other": "perplexity, others",
    "perplexity_held_out": "perplexity, held out",
    "translation": "chrF++",
    "mexa": "MEXA",
}
SHOWN = tuple(TITLES)[:4]  # in the plot
BARRIER = ("mixup", "full")


@dataclass
class Tabulate:
    """Tabulate remedies.

    Attributes:
        runs: name=folder of each model's results of FT/scripts/remedy.sh, a list or separated by commas.
        out: the table's file name without its ending.
        held_out: languages that no arm was fine-tuned on; their `full` settings are a column of their own.
        subjects: name=prefix: of this model only MMLU questions whose subject begins so; null for none.
        arms: of these alone, a list or separated by commas; null is all that are there.
        seeds: training seeds, likewise; none are the arms beside their folders, null is what there is.
        seed: of the bootstrap.
    """

    runs: str | list[str]
    out: str
    held_out: str | list[str] = ""
    subjects: str | list[str] | None = None
    arms: str | list[str] | None = None
    seeds: str | list[str] | None = None
    seed: int = 42


def read_arm(place: Path, arm: str, held_out: list[str], subjects: str) -> tuple[dict[str, pd.Series], list[Path]]:
    """{column: value of each unit} of a trained arm or of none, and the runs behind it.

    Units are questions (0 or 1, or the mean over languages), lines of text (nats of log-probability, the mean over
    languages, by the mean number of tokens) or sentences (chrF++ as a fraction, the mean over directions; MEXA, the
    mean over languages and layers).
    """
    columns, runs = {}, []
    for folder, prefix in (("records", ""), ("quiz", "quiz_"), ("x_geo", "x_geo_")):
        path = place / folder / arm
        if not (path / "run.json").exists():
            continue
        records = load_records(path)
        runs.append(path)
        if not prefix:
            records = records[records["subject"].str.startswith(subjects)]
        codes = records["setting"].map(lambda setting: family(setting))
        outside = codes.map(lambda one: one[1] in held_out)
        full = codes.map(lambda one: one[0] == "full")
        parts = {"en": records["setting"] == "en", "full": full & ~outside}
        parts |= {} if prefix else {"mixup": records["setting"] == "mixup", "full_held_out": full & outside}
        for name, rows in parts.items():
            if rows.any():
                columns[prefix + name] = means(records[rows], "setting", "id", "correct", path)
    path = place / "perplexity" / arm
    if (path / "run.json").exists():
        runs.append(path)
        lines = read_csv(path / "lines.csv").astype({"tokens": int, "logprob": float})
        # Texts may be of different lengths: only lines that are there in every language count.
        english, outside = lines["language"] == "en", lines["language"].isin(held_out)
        for name, rows in (("en", english), ("other", ~english & ~outside), ("held_out", outside)):
            own = lines[rows]
            own = own[own.groupby("line")["language"].transform("size") == own["language"].nunique()]
            if len(own):
                per_token = own.assign(value=own["logprob"] / own.groupby("language")["tokens"].transform("mean"))
                columns[f"perplexity_{name}"] = means(per_token, "language", "line", "value", path)
    path = place / "translation" / arm
    if (path / "scores.sentences.csv").exists():
        runs.append(path / "systems" / arm)
        scores = read_csv(path / "scores.sentences.csv")
        scores["value"] = scores["chrf"].astype(float) / 100
        columns["translation"] = means(scores, "direction", "sentence", "value", path)
    path = place / "mexa" / arm
    if (path / "run.json").exists():
        runs.append(path)
        columns["mexa"] = aligned(path).mean(axis=1)
    return columns, runs


def aligned(folder: Path) -> pd.DataFrame:
    """The share of languages in which a sentence is aligned with English (Translation/mexa.py), [sentences, layers]."""
    rows = read_csv(folder / "sentences.csv")
    return rows.pivot_table("aligned", "sentence", "layer", "mean")


def means(rows: pd.DataFrame, column: str, unit: str, value: str, path: Path) -> pd.Series:
    """The mean of each unit over the column's values; InputError where these have other units, or one twice."""
    if rows.duplicated([column, unit]).any():
        raise InputError(f"{path}: has a {unit} twice in one {column}")
    table = rows.pivot(index=unit, columns=column, values=value)
    if table.isna().any(axis=None):
        raise InputError(f"{path}: not every {column} has the same {unit}s; evaluate all on the same data")
    return table.mean(axis=1)


def places_of(folder: Path, config: Tabulate) -> list[Path]:
    """Where the arms of each training seed are."""
    if config.seeds is not None:
        return [folder / f"seed_{number}" for number in comma_list(config.seeds)] or [folder]
    seeds = sorted(path for path in folder.glob("seed_*") if re.fullmatch(r"seed_\d+", path.name))
    return seeds or [folder]


def arms_of(places: list[Path], folder: Path, config: Tabulate) -> list[str]:
    """The trained arms, which must be the same for every seed."""
    found = [{path.parent.name for path in place.glob("records/*/run.json")} - {BASE} for place in places]
    wanted = {*comma_list(config.arms)} if config.arms else found[0]
    if not wanted or any((arms & wanted if config.arms else arms) != wanted for arms in found):
        raise InputError(f"{folder}: no trained arms, or not the same for every seed; run FT/scripts/remedy.sh again")
    return sorted(wanted, key=lambda arm: (ORDER.index(arm) if arm in ORDER else len(ORDER), arm))


def costs(place: Path, arm: str) -> dict[str, float]:
    """Tokens and seconds of training (of its last session), and the share of words not in the first language."""
    trained = place / "models" / arm
    cost = {}
    if (trained / "run.json").exists():
        made = read_run(trained)
        seconds = datetime.fromisoformat(made["end"]) - datetime.fromisoformat(made["start"])
        cost = {"tokens": float(read_csv(trained / "log.csv")["tokens"].astype(float).iloc[-1])}
        cost["seconds"] = seconds.total_seconds()
    summary = place / "corpora" / f"{arm}.jsonl.summary.csv"
    if summary.exists():
        table = read_csv(summary)
        table = table[table["language"] != "all"].iloc[1:]
        known = 1 - pd.to_numeric(table["untranslated_share"]).fillna(0)
        cost["translated"] = float((pd.to_numeric(table["word_share"]) * known).sum())
    return cost


def compare(model: str, folder: Path, config: Tabulate, runs: dict[str, Path]) -> pd.DataFrame:
    """One row per arm and column; adds the runs behind it to `runs`."""
    held_out, subjects = comma_list(config.held_out), named_list(config.subjects, "subjects") if config.subjects else {}
    places = places_of(folder, config)
    before, behind = read_arm(folder, BASE, held_out, subjects.get(model, ""))
    if "en" not in before:
        raise InputError(f"{folder}: no records of {BASE} in English; run FT/scripts/remedy.sh again")
    runs |= {f"{model} {BASE} {path.parent.name}": path for path in behind[:1]}
    after: dict[str, list[dict[str, pd.Series]]] = {}
    rows = []
    for arm in arms_of(places, folder, config):
        read = [read_arm(place, arm, held_out, subjects.get(model, "")) for place in places]
        after[arm] = [columns for columns, _ in read]
        runs |= {f"{model} {arm} {place.name}": own[0] for place, (_, own) in zip(places, read, strict=True)}
        spent = pd.DataFrame([costs(place, arm) for place in places]).mean().to_dict()
        for name in (name for name in TITLES if name in before):
            units = before[name].index
            base = np.tile(before[name].to_numpy(float), (len(places), 1))
            own = stacked(after[arm], name, units, f"{folder}, arm {arm}")
            row = {"model": model, "arm": arm, "column": name, "seeds": len(places), "n": len(units)}
            row |= {"before": base.mean(), "after": own.mean()}
            row |= named("change", changed(own - base, None, config.seed))
            if arm != CONTROL and CONTROL in after:
                control = stacked(after[CONTROL], name, units, f"{folder}, arm {CONTROL}")
                row |= named("against_en", changed(own - control, None, config.seed))
            if name in BARRIER:
                english = np.tile(before["en"].loc[units].to_numpy(float), (len(places), 1))
                row |= named("gap_closed", changed(own - base, english - base, config.seed))
            rows.append(row | spent)
    return pd.DataFrame(rows)


def stacked(columns: list[dict[str, pd.Series]], name: str, units: pd.Index, where: str) -> np.ndarray:
    """A column's values, [seeds, units], in the order of `units`; InputError where it has others."""
    if any(name not in own or set(own[name].index) != set(units) for own in columns):
        raise InputError(f"{where}: column {name} has other questions than {BASE}; evaluate all on the same data")
    return np.stack([own[name].loc[units].to_numpy(float) for own in columns])


def changed(gain: np.ndarray, drop: np.ndarray | None, seed: int) -> tuple[float, float, float]:
    """Mean of `gain`, over that of `drop`, and its interval; [seeds, units] each."""
    if len(gain) > 1:
        return over_seeds(gain, drop, seed, LEVEL)
    zeros = np.zeros_like(gain[0])
    return (
        paired_bootstrap(gain[0], zeros, seed=seed) if drop is None else gap_closed(drop[0], zeros, gain[0], seed=seed)
    )


def named(name: str, effect: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), effect, strict=True))


def verdict(table: pd.DataFrame) -> str:
    """Three sentences, computed from the table: the barrier, English-only text as the control, and English."""
    column = {name: own.set_index(["model", "arm"]) for name, own in table.groupby("column")}
    many = "an interval over seeds and questions" if (table["seeds"] > 1).all() else "an interval over questions"

    def those(rows: pd.DataFrame, wanted: pd.Series) -> str:
        names = [f"{arm} on {model}" for model, arm in rows.index[wanted]]
        return f"{len(names)} of {len(rows)}" + (f" ({', '.join(names)})" if names else "")

    narrower = [
        f"on {name} in {those(column[name], column[name]['change_low'] > 0)}" for name in BARRIER if name in column
    ]
    first = f"Fine-tuning raises accuracy, with {many} above 0, {' and '.join(narrower)} cases."
    name = "full" if "full" in column else next(name for name in column)
    mixed = column[name].dropna(subset=["against_en"]) if "against_en" in table else column[name].iloc[:0]
    second = (
        f"Against English-only text the same is so on {name} in {those(mixed, mixed['against_en_low'] > 0)} cases."
        if len(mixed)
        else "There is no arm to set against English-only text."
    )
    english = column["en"]
    worse = english["change_high"] < 0
    gaps = column[name].reindex(columns=["gap_closed", "gap_closed_low"])
    closed = (gaps["gap_closed"] > 0.5) & (gaps["gap_closed_low"] > 0)  # by more than chance would
    both = closed.reindex(english.index, fill_value=False) & ~worse
    third = (
        f"Accuracy in English falls in {those(english, worse)}, and more than half of the gap on {name} is closed with"
        f" no fall of English that can be shown in {those(english, both)}."
    )
    return " ".join((first, second, third))


def markdown(table: pd.DataFrame, said: str) -> str:
    """The verdict, and for each model arms down and columns across."""
    lines = ["# What fine-tuning changes", "", said, ""]
    lines += ["Change from no fine-tuning with its 95% interval: in points; of perplexities in percent.", ""]
    for model, own in table.groupby("model", sort=False):
        shown = list(dict.fromkeys(own["column"]))
        cells = {(row.arm, row.column): row for row in own.itertuples()}
        sizes = ", ".join(f"{cells[own['arm'].iloc[0], name].n:,} ({TITLES[name]})" for name in shown)
        seeds = int(own["seeds"].iloc[0])
        lines += [f"## {model}", "", f"{seeds} training seed{'s' * (seeds > 1)}; n = {sizes}.", ""]
        rows = [[arm, *(_cell(cells[arm, name]) for name in shown)] for arm in dict.fromkeys(own["arm"])]
        lines += markdown_table(["arm", *(TITLES[name].replace("`", "") for name in shown)], rows)
        spent = own.drop_duplicates("arm").reindex(columns=["arm", "tokens", "seconds", "translated"])
        spent = spent.assign(tokens=spent["tokens"].map(_number), seconds=spent["seconds"].map(_number))
        spent["translated"] = spent["translated"].map(lambda share: "" if pd.isna(share) else f"{100 * share:.1f}%")
        lines += ["", *from_frame(spent.rename(columns={"translated": "words translated"})), ""]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}"


def _cell(row) -> str:
    if not row.column.startswith("perplexity"):
        return interval(row, "change", "+.1f")
    # Nats a token, of which perplexity is the exponential: a rise of log-probability is a fall of perplexity.
    value, high, low = (100 * (math.exp(-one) - 1) for one in (row.change, row.change_low, row.change_high))
    return f"{value:+.1f}% [{low:+.1f}, {high:+.1f}]"


def plot_remedies(table: pd.DataFrame) -> Figure:
    """A panel for each model: columns as rows, one mark an arm, the change in points with its interval."""
    shown = table[table["column"].isin(SHOWN)].replace({"column": {"full_held_out": "everything, held-out languages"}})
    arms, models = list(dict.fromkeys(shown["arm"])), list(dict.fromkeys(shown["model"]))
    sizes = shown.groupby("model")[["column", "arm"]].nunique().loc[models]
    heights = 0.6 + sizes["column"] * (0.09 * sizes["arm"]).clip(0.25)
    figure = Figure(figsize=(PAGE, 0.8 + heights.sum()), layout="constrained")
    axes = figure.subplots(len(models), squeeze=False, height_ratios=heights)[:, 0]
    for axis, model in zip(axes, models, strict=True):
        own = shown[shown["model"] == model].set_index(["arm", "column"])
        marks = 100 * own[["change", "change_low", "change_high"]]
        draw_rows(axis, marks.set_axis(["value", "ci_low", "ci_high"], axis=1), names=arms)
        draw_line(axis, 0, "before", side="right")
        axis.set_title(model)
    axes[-1].set_xlabel("change (points)")
    add_legend(figure, axes)
    return figure


def main() -> None:
    config = parse(Tabulate)
    for code in comma_list(config.held_out):
        get(code)
    runs: dict[str, Path] = {}
    folders: Mapping[str, str] = named_list(config.runs, "runs")
    table = pd.concat([compare(model, Path(folder), config, runs) for model, folder in folders.items()])
    said = verdict(table)
    text, plot = markdown(table, said), (plot_remedies, table)
    write_result(__file__, config.out, runs, table, text=text, plot=plot, sentence=said, float_format="%.6f")


if __name__ == "__main__":
    run(main)
