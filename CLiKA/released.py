"""Score the predictions that CLiKA released: performance, consistency, and what training changes in a family of models.

    git clone https://github.com/RiverGao/CLiKA DIR
    python CLiKA/released.py --data DIR --out CLiKA/results/released

Reads DIR/<task>/<language>/<model>_res.jsonl (ChatGPT) and <model>_res_bf16_add_simple_example.jsonl (the others), one
question a line: uuid, res, label. As in its code the first character of what was written, without blanks around it, is
the prediction (res_statistic.py); where that is no label of the task, there is none and the answer counts as wrong.
Writes predictions.csv (every question), accuracy.csv, consistency.csv, families.csv (the pairs of data/families.csv
whose two models are there), table.md, and heat maps of models and languages accuracy.png, consistency.png (.pdf).
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import transfer_metrics as metrics
from consistency import accuracy, by_language, compare
from families import FAMILIES, compare_families, in_families, read_families
from matplotlib.figure import Figure
from predictions import ENGLISH
from rows import json_rows
from transfer_metrics import LANGUAGES

from common.cli import InputError, parse, run
from common.questions import LETTERS
from common.reporting.files import write_csv_atomic, write_text_atomic
from common.reporting.plots import PAGE, draw_heat_map, save_figure
from common.reporting.results import begin_result, save_result
from common.reporting.tables import crossed, from_frame
from common.settings import label

NAME = re.compile(r"(.+?)_res(?:_bf16_add_simple_example)?\.jsonl")
LABELS = {task: LETTERS[: round(1 / known.chance)] for task, known in metrics.CLIKA.items()}
PAIRED = ("agreement", "agreement_kappa", "correct_jaccard", "correct_jaccard_kappa")
KEYS = ["model", "task", "language", "id"]


@dataclass
class Released:
    """Score the predictions that CLiKA released.

    Attributes:
        data: CLiKA's repository, or a folder in its layout with some of its tasks, languages and models.
        out: folder of the tables and heat maps.
        families: CSV file with comparison,before,after,target: pairs of models that differ in how they were made.
        seed: of the intervals.
    """

    data: str
    out: str
    families: str = str(FAMILIES)
    seed: int = 42


def find_files(data: Path) -> dict[tuple[str, str, str], Path]:
    """{(model, task, language): file}; InputError for an unknown language, two files of one, or none at all."""
    found, others = {}, []
    for task in LABELS:
        for path in sorted((data / task).glob("*/*_res*.jsonl")):
            match, language = NAME.fullmatch(path.name), path.parent.name.lower().removesuffix("_trans")
            if language not in LANGUAGES:
                raise InputError(f"{path.parent}: no language of CLiKA's ({', '.join(LANGUAGES)}); rename or remove it")
            if match is None:
                others.append(path)
            elif (key := (match[1], task, language)) in found:
                raise InputError(f"{path}: {task} in {language} of {match[1]} is in {found[key]} too; keep one of them")
            else:
                found[key] = path
    if not found:
        raise InputError(f"{data}: no <task>/<language>/<model>_res*.jsonl of {', '.join(LABELS)}; name CLiKA's folder")
    if others:
        print(
            f"note: left out {len(others)} files that are no model's answers to the usual prompt, such as {others[0]}"
        )
    return dict(sorted(found.items(), key=lambda item: (item[0][0].lower(), *item[0])))


def read_file(path: Path, labels: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(id, answer, prediction) of every question, prediction "" where there is none; and the outputs without one."""
    rows, seen, without = [], set(), []
    for where, row in json_rows(path, ("uuid", "res", "label")):
        name, label = str(row["uuid"]), row["label"]
        if not isinstance(label, str) or label not in labels or len(label) != 1:
            raise InputError(f"{where}: label is {label!r}, none of {', '.join(labels)}; correct it")
        if not isinstance(row["res"], str):
            raise InputError(f"{where}: res is {row['res']!r}; it must be the text that was written")
        if name in seen:
            raise InputError(f"{where}: uuid {name!r} is given twice; ids must be unique")
        seen.add(name)
        said = row["res"].strip()[:1]
        if said not in labels:  # "" is in every text
            said = ""
        if not said:
            without.append(f"{where}: {row['res']!r}")
        rows.append((name, label, said))
    return rows, without


def read_released(files: dict[tuple[str, str, str], Path]) -> pd.DataFrame:
    """The long table: model, task, language, id, answer, prediction; says how many outputs have no label."""
    parts, ids = [], {}
    without: dict[str, list[str]] = {}
    for (model, task, language), path in files.items():
        rows, own = read_file(path, LABELS[task])
        without.setdefault(model, []).extend(own)
        names, answers, predictions = zip(*rows, strict=True)
        names = [ids.setdefault(name, name) for name in names]  # one text for all files that have it
        parts.append((model, task, language, names, answers, predictions))
    columns = zip(*((*([value] * len(part[3]) for value in part[:3]), *part[3:]) for part in parts), strict=True)
    joined = [[cell for cells in column for cell in cells] for column in columns]
    table = pd.DataFrame(
        {name: pd.Categorical(cells) for name, cells in zip((*KEYS, "answer", "prediction"), joined, strict=True)}
    )
    asked = table["model"].value_counts()
    for model, own in without.items():
        if own:
            print(f"note: {model}: {len(own):,} of {asked[model]:,} outputs begin with no label, the first {own[0]}")
    return table


def pairs_of(languages: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Columns language_a, language_b, n, and of each measure its value, <measure>_low, <measure>_high."""
    rows = []
    codes = list(languages)
    for place, a in enumerate(codes):
        for b in codes[place + 1 :]:
            row = {"language_a": a, "language_b": b, "n": len(languages[a])}
            for name, values in compare(languages[a], languages[b], PAIRED, seed=seed).items():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def plot_models(table: pd.DataFrame, value: str, title: str, scale: float, form: str) -> Figure:
    """Heat maps of models and languages, one a task; `table` has model, task, language and `value`, from 0 to 1."""
    tasks, models = (list(table[name].unique()) for name in ("task", "model"))
    down = -(-len(tasks) // 2)
    figure = Figure(figsize=(PAGE, down * (0.9 + 0.21 * len(models))), layout="constrained")
    axes = figure.subplots(down, 2, squeeze=False).flatten()
    for axis in axes[len(tasks) :]:
        axis.remove()
    for place, (axis, task) in enumerate(zip(axes, tasks, strict=False)):
        grid = scale * table[table["task"] == task].pivot(index="model", columns="language", values=value)
        grid = grid.reindex(index=models, columns=[code for code in LANGUAGES if code in grid])
        down_names = [" "] * len(models) if place % 2 else models
        image = draw_heat_map(axis, grid.to_numpy(), list(grid.columns), scale, form, down_names)
        axis.set_title(label(task))
    figure.colorbar(image, ax=list(axes[: len(tasks)]), label=title, aspect=30)
    return figure


def markdown(scores: pd.DataFrame, families: pd.DataFrame) -> str:
    """The tables of models and languages, and of what changes in the families."""
    lines = ["# The predictions that CLiKA released", ""]
    shown = (("accuracy", 100, ".1f", "Accuracy, percent"), ("rescaled_accuracy", 1, ".2f", "Rescaled accuracy"),
             ("agreement_kappa_en", 1, ".2f", "Consistency with English: agreement above chance"))  # fmt: skip
    for value, scale, form, title in shown:
        for task, rows in scores.groupby("task", sort=False):
            rows = rows[rows[value].notna()].sort_values(
                "language", key=lambda c: c.map(LANGUAGES.index), kind="stable"
            )
            cells = {(row.model, row.language): f"{scale * getattr(row, value):{form}}" for row in rows.itertuples()}
            lines += [f"## {title}: {task} (n = {rows['n'].max():,})", "", *crossed("model", cells), ""]
    counts = scores.groupby(["model", "task"], sort=False)[["unlabelled", "n"]].sum().reset_index()
    cells = {(r.model, r.task): f"{100 * r.unlabelled / r.n:.1f}" for r in counts.itertuples()}
    lines += ["## Outputs that begin with no label, percent", "", *crossed("model", cells)]
    if len(families):
        lines += ["", "## What changes within families", "", *from_frame(families, "{:.3f}")]
    return "\n".join(lines) + "\n"


def main() -> None:
    config = parse(Released)
    families = read_families(config.families)
    table = read_released(find_files(Path(config.data)))
    table["correct"] = (table["prediction"].astype(object) == table["answer"].astype(object)).astype("int8")
    table["same_as_en"] = np.nan
    scored, pairs, missing = [], [], {}
    for (model, task), rows in table.groupby(["model", "task"], sort=False, observed=True):
        where = f"{config.data}, {model}, {task}"
        languages = by_language(rows.astype({name: object for name in (*KEYS, "answer", "prediction")}), where)
        with warnings.catch_warnings(record=True) as reasons:
            warnings.simplefilter("always")
            known = metrics.CLIKA[task]
            own = accuracy(languages, known.chance, known.reference, None, config.seed)
            pairs.append(pairs_of(languages, config.seed).assign(model=model, task=task))
        for reason in {str(one.message) for one in reasons}:
            missing.setdefault(reason, []).append(f"{model} {task}")
        own["unlabelled"] = [int((part["prediction"] == "").sum()) for part in languages.values()]
        scored.append(own.assign(model=model, task=task))
        if ENGLISH in languages:
            said = rows["id"].astype(object).map(languages[ENGLISH]["prediction"])
            table.loc[rows.index, "same_as_en"] = (rows["prediction"].astype(object) == said).astype(float)
    for reason, places in missing.items():
        print(f"note: some values are missing, {reason}: {', '.join(places)}")
    order = {name: place for place, name in enumerate(in_families(list(dict.fromkeys(table["model"])), families))}
    scores, pairs = (
        pd.concat(parts, ignore_index=True).sort_values("model", key=lambda names: names.map(order), kind="stable")
        for parts in (scored, pairs)
    )
    if "agreement_kappa_en" not in scores:
        raise InputError(f"{config.data}: no model has answers to a task in English and in another language")
    scores, pairs = (part[["model", "task", *part.columns.drop(["model", "task"])]] for part in (scores, pairs))
    changes = compare_families(table, families, config.seed)
    text = markdown(scores, changes)
    out = Path(config.out)
    tables = {"predictions": table, "accuracy": scores, "consistency": pairs}
    tables |= {"families": changes} if len(changes) else {}
    written = [*(out / f"{name}.csv" for name in tables), out / "table.md"]
    written += [out / f"{name}{ending}" for name in ("accuracy", "consistency") for ending in (".png", ".pdf")]
    begin_result(__file__, out / "released", {}, written)
    for name, one in tables.items():
        write_csv_atomic(out / f"{name}.csv", one, float_format="%.6g")
    write_text_atomic(out / "table.md", text)
    save_figure(out / "accuracy", plot_models, scores, "accuracy", "accuracy (%)", 100, ".0f")
    consistent = scores[scores["language"] != ENGLISH].assign(kappa=scores["agreement_kappa_en"].clip(0))
    save_figure(out / "consistency", plot_models, consistent, "kappa", "agreement with English, kappa", 1, ".2f")
    save_result(__file__, out / "released", {}, written)
    print(f"{len(order)} models, {len(table):,} answers: {out / 'table.md'}")


if __name__ == "__main__":
    run(main)
