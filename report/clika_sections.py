"""Experiments of CLiKA, cloze sentences and closed-book questions: what is known in one language, asked in another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from experiment import Experiment, Tables, beside, draw_series, heat_map, percent, tables_of
from matplotlib.figure import Figure
from read_results import Result

RECORDS = "records"  # the task of runs that no other is named for
ASKED = {  # closed-book questions, in the order of importance
    "accuracy": "its own questions",
    "in_english": "the same in English",
    "from_english": "English questions in it",
    "overall": "known in its own language and here",
    "transfer": "known here, of what is known there",
}
PARTS = {  # of the invented continents
    "translation": "names put into the other language",
    "english_0": "taught in both, asked in English",
    "english_1": "taught in English, asked in English",
    "target_0": "taught in both, asked in the other",
    "target_1": "taught in English, asked in the other",
}


def read_clika(results: Sequence[Result]) -> pd.DataFrame | None:
    """Agreement of right answers for each pair of languages; conductivity in `carried` where facts were taught."""
    found = tables_of(results, "CLiKA/consistency.py", "consistency.csv")
    accuracies = tables_of(results, "CLiKA/consistency.py", "accuracy.csv")
    taught = [one for _, one in accuracies if "conductivity" in one]
    found = [pair for pair in found if not pair[0].option("taught")] or found
    if not found:
        return None
    result, table = min(found, key=lambda pair: RECORDS not in set(pair[1]["task"]))  # which every model has
    chosen = last_model(table) if result.option("taught") else table["model"].iloc[0]
    table = table[(table["measure"] == "correct_jaccard") & (table["model"] == chosen)]
    task = RECORDS if RECORDS in set(table["task"]) else table["task"].iloc[0]
    table = table[table["task"] == task]
    own = [one for of, one in accuracies if of is result and {"task", "n"} <= set(one)]
    counts = [one[(one["model"] == chosen) & (one["task"] == task)]["n"].max() for one in own]
    carried = taught[0] if taught else pd.DataFrame(columns=["model", "conductivity"])
    carried = carried[carried["model"] == last_model(carried)].dropna(subset=["conductivity"])
    return table.assign(
        n=next(iter(counts), np.nan),
        carried=carried["conductivity"].mean() if len(carried) else np.nan,
        clear=int((carried["conductivity_low"] > 0).sum()) if len(carried) else 0,
        languages=len(carried),
    )


def last_model(table: pd.DataFrame) -> str | None:
    """Of models before and after they were taught, the one after: it is named last."""
    return table["model"].iloc[-1] if len(table) else None


def found_clika(table: pd.DataFrame) -> str:
    english = table[(table["language_a"] == "en") & (table["language_b"] != "en")]
    said, row = [], table.iloc[0]
    if len(english):
        span = f"{100 * english['value'].min():.0f}% to {100 * english['value'].max():.0f}%"
        of = "" if row["task"] == RECORDS else f" of {row['task']}"
        n = "" if pd.isna(row["n"]) else f" (n = {row['n']:,.0f})"
        said.append(f"Of the questions{of}{n} right in English or another language, {span} are right in both")
    if row["languages"]:
        clear = f"clearly above none in {row['clear']:.0f} of {row['languages']:.0f} languages"
        said.append(f"of what is taught in one language {100 * row['carried']:.0f}% reaches the others, {clear}")
    return "; ".join(said) + "." if said else ""


def draw_clika(tables: Tables, width: float) -> Figure:
    """One model: a heat map of languages; several: agreement with English by language."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        codes = list(table["language_a"].unique())
        grid = table.pivot(index="language_a", columns="language_b", values="value").loc[codes, codes]
        return heat_map(100 * grid, "right in both, % of right in either", ".0f", width)
    english = {m: t[(t["language_a"] == "en") & (t["language_b"] != "en")] for m, t in tables.items()}
    return draw_series(beside(english, "language_b"), "right in both, % of right in either", width)


def read_fictional(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy of every part that was taught or asked, by language, and the script's sentence."""
    for result, table in tables_of(results, "CLiKA/tabulate_fictional.py", "table.csv"):
        numbers = table.rename(columns={"taught": "series", "accuracy": "value"})
        return numbers.assign(row=table["part"].map(PARTS), sentence=result.sentence)
    return None


def draw_fictional(tables: Tables, width: float) -> Figure:
    """Parts as rows; languages as colours, or models, of which the test alone is shown."""
    if len(tables) == 1:
        table = next(iter(tables.values()))
        return draw_series(table, "accuracy (%), 95% interval", width, chance=table["chance"].max())
    tests = {model: table[table["part"] == "target_1"] for model, table in tables.items()}
    return draw_series(beside(tests, "series"), "taught in English, right in another language (%)", width)


def read_released(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy of each of the released models by language, a mean over the tasks."""
    for _, table in tables_of(results, "CLiKA/released.py", "accuracy.csv"):
        return table.groupby(["model", "language"], sort=False)["accuracy"].mean().reset_index()
    return None


def found_released(table: pd.DataFrame) -> str:
    grid = table.pivot(index="model", columns="language", values="accuracy")
    behind = 100 * (grid["en"] - grid.drop(columns="en").mean(axis=1))
    first, last = behind.idxmin(), behind.idxmax()
    return (
        f"{(behind > 0).sum()} of {len(behind)} models are better in English than on average in other languages: the"
        f" difference is {behind[first]:.1f} points ({first}) to {behind[last]:.1f} points ({last}), a mean over tasks."
    )


def draw_released(tables: Tables, width: float) -> Figure:
    """A heat map of models and languages."""
    grid = next(iter(tables.values())).pivot(index="model", columns="language", values="accuracy")
    codes = ["en", *grid.columns.drop("en")]
    return heat_map(100 * grid[codes], "accuracy (%), mean over tasks", ".0f", width)


def read_closed_book(results: Sequence[Result]) -> pd.DataFrame | None:
    """The measures of the first of the two data sets by language, and the script's sentence."""
    for result, table in tables_of(results, "Recall/closed_book.py", "scores.csv"):
        shown = table[table["measure"].isin(ASKED)].dropna()
        rows = shown["language"].replace("all", "all languages")
        return shown.assign(series=shown["measure"].map(ASKED), row=rows, sentence=result.sentence)
    return None


def draw_closed_book(tables: Tables, width: float) -> Figure:
    """Languages as rows; measures as colours, or models, of which the first measure alone is shown."""
    if len(tables) == 1:
        return draw_series(next(iter(tables.values())), "percent, 95% interval", width)
    first = {model: table[table["measure"] == table["measure"].iloc[0]] for model, table in tables.items()}
    name = next(iter(first.values()))["series"].iloc[0]
    return draw_series(beside(first, "row"), f"{name} (%), 95% interval", width)


def read_cloze(results: Sequence[Result]) -> pd.DataFrame | None:
    """Accuracy by language."""
    for _, table in tables_of(results, "Recall/cloze.py", "accuracy.csv"):
        return table.assign(series="all sentences", row=table["language"], value=table["accuracy"])
    return None


def found_cloze(table: pd.DataFrame) -> str:
    rows = table.set_index("language")
    others = 100 * rows["accuracy"].drop(index="en", errors="ignore")
    said = [f"Of {rows['n'].max():,} sentences"]
    if "en" in rows.index:
        said.append(f"{percent(rows.loc['en'])} are completed right in English{' and' * bool(len(others))}")
    if len(others):
        said.append(f"{others.min():.1f}% to {others.max():.1f}% in {len(others)} other languages")
    return f"{' '.join(said)}; chance is {100 * table['chance'].iloc[0]:.1f}%."


def draw_cloze(tables: Tables, width: float) -> Figure:
    """Languages as rows; models as colours."""
    shown = next(iter(tables.values())) if len(tables) == 1 else beside(tables, "language")
    return draw_series(shown, "accuracy (%), 95% interval", width, chance=shown["chance"].iloc[0])


CLIKA = (
    Experiment(
        "Consistency and conductivity",
        ("CLiKA/consistency.py",),
        "bash CLiKA/scripts/conductivity.sh",
        "Are the same questions answered right in two languages, and does what is taught in one reach the others?",
        read_clika,
        found_clika,
        draw_clika,
    ),
    Experiment(
        "Invented continents",
        ("CLiKA/tabulate_fictional.py",),
        "bash CLiKA/scripts/fictional.sh",
        "Are facts about places that do not exist, taught in English alone, known in another language?",
        read_fictional,
        lambda table: str(table["sentence"].iloc[0]),
        draw_fictional,
    ),
    Experiment(
        "Released answers",
        ("CLiKA/released.py",),
        "bash CLiKA/scripts/released.sh",
        "How do the models whose answers CLiKA's authors released do outside English?",
        read_released,
        found_released,
        draw_released,
    ),
    Experiment(
        "Cloze sentences",
        ("Recall/cloze.py",),
        "bash Recall/scripts/cloze.sh",
        "In which languages does a model complete a sentence with the right fact?",
        read_cloze,
        found_cloze,
        draw_cloze,
    ),
    Experiment(
        "What readers of one language know",
        ("Recall/closed_book.py",),
        "bash Recall/scripts/closed_book.sh",
        "Does the model know what is written about in one language alone when it is asked in another?",
        read_closed_book,
        lambda table: str(table["sentence"].iloc[0]),
        draw_closed_book,
    ),
)
