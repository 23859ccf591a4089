"""Knowledge or reasoning: how far English is ahead with no, one and two of the needed facts before the question.

    python MMLU/tabulate_facts.py --runs facts_0=DIR,facts_1=DIR,facts_2=DIR --out FILE

From records of questions of `build_variants.py --source knowledge_free`. gap(k) is accuracy in English minus accuracy
in L, both with k facts, over the same questions; gap(0) - gap(k) is what k facts close of it (Hu et al., arXiv
2406.16655: knowledge stays in its language, reasoning crosses). In the runs `english_facts` and `english_question` that
part is in English and the rest in L. Writes <out>.csv, <out>.units.csv (one row a question,
language and run) and the plot.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from categories import category
from gap_intervals import interval_of, points
from matplotlib.figure import Figure

from common.cli import InputError, named_list, parse, run
from common.evaluation.records import load_records
from common.reporting.files import write_csv_atomic
from common.reporting.plots import PAGE, add_legend, draw_line, draw_rows, rows_figure, save_figure
from common.reporting.results import begin_result, save_result
from common.reporting.stats import wilson_by_question
from common.settings import family

BASE = "facts_0"
NAMES = {  # of runs, and what a plot calls them
    BASE: "no fact", "facts_1": "one fact", "facts_2": "two facts",
    "english_facts": "facts in English", "english_question": "question in English",
}  # fmt: skip
FACTS = tuple(NAMES)[:3]
ALL, MEAN = "all", "mean"


@dataclass
class TabulateFacts:
    """Tabulate the gap to English by the number of facts that are given.

    Attributes:
        runs: NAME=FOLDER, a list or separated by commas, of run folders with en and full; the names are facts_0,
            facts_1, facts_2, english_facts and english_question, the first one is needed.
        out: the table's file name without its ending.
        seed: of the bootstrap intervals.
    """

    runs: str | list[str]
    out: str
    seed: int = 42


def units_of(records: pd.DataFrame, name: str, folder: str) -> pd.DataFrame:
    """One row a question and language but English: id, subject, category, language, given, english, correct, gap.

    InputError where English or every other language is missing, or the questions differ between them.
    """
    tables = {name: own.set_index("id") for name, own in records.groupby("setting")}
    codes = {setting: family(setting)[1] for setting in tables if family(setting)[0] == "full"}
    if "en" not in tables or not codes:
        raise InputError(f"{folder}: records of en and full are needed; evaluate with --settings en,full")
    english, rows = tables["en"], []
    for setting, code in codes.items():
        own = tables[setting]
        if set(own.index) != set(english.index):
            raise InputError(f"{folder}: en and {setting} have different questions; evaluate both on the same data")
        right = {"english": english["correct"], "correct": own.loc[english.index, "correct"]}
        rows.append(
            pd.DataFrame({"subject": english["subject"], "language": code, "given": name} | right).reset_index()
        )
    units = pd.concat(rows, ignore_index=True)
    units.insert(2, "category", units["subject"].map(category))
    return units.assign(gap=units["english"] - units["correct"])


def table_of(units: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per category (the first is all), language (the last is their mean) and what is given; fractions.

    n questions; english and accuracy, with its 95% Wilson interval; gap, and closed, gap(0) minus gap, on the questions
    of both, with 95% paired bootstrap intervals over questions.
    """
    rows = []
    parts = {ALL: units} | (dict(list(units.groupby("category"))) if units["category"].nunique() > 1 else {})
    for part, own in parts.items():
        for language in (*own["language"].unique(), MEAN):
            spoken = own if language == MEAN else own[own["language"] == language]
            wide = spoken.pivot(index="id", columns=["given", "language"], values="gap")
            gaps = {name: wide[name].mean(axis=1) for name in spoken["given"].unique()}
            for name, gap in gaps.items():
                answers = spoken[spoken["given"] == name].pivot(index="id", columns="language", values="correct")
                row = {"category": part, "language": language, "given": name, "n": len(answers)}
                row["english"] = spoken.loc[spoken["given"] == name, "english"].mean()
                row["accuracy"] = answers.to_numpy().mean()
                row |= dict(zip(("ci_low", "ci_high"), wilson_by_question(answers), strict=True))
                row |= interval_of("gap", gap.to_numpy(), seed)
                row |= interval_of("closed", (gaps[BASE] - gap).to_numpy(), seed) if name != BASE else {}
                rows.append(row)
    return pd.DataFrame(rows)


def told_of(table: pd.DataFrame) -> str:
    """The category that sentence and plot are of: facts that only English text states where a benchmark has such."""
    return "english_only" if "english_only" in set(table["category"]) else ALL


def sentence_of(table: pd.DataFrame) -> str:
    """The finding in words."""
    part = told_of(table)
    means = table[(table["category"] == part) & (table["language"] == MEAN)].set_index("given")
    languages = table[table["category"] == part]["language"].nunique() - 1
    most = [name for name in means.index if name.startswith("facts_")][-1]
    last, said = means.loc[most], {name: points(row, "gap") for name, row in means.iterrows()}
    if last["closed_low"] > 0:
        verdict = f"the facts close {points(last, 'closed')} of it"
    elif last["closed_high"] < 0:
        verdict = f"the facts widen it by {points(last, 'closed', -1)}"
    else:
        verdict = f"that the facts change it cannot be shown ({points(last, 'closed')} closed)"
    crossed = "; ".join(
        f"with {NAMES[name]} and the rest in the other language {said[name]}"
        for name in means.index
        if name not in FACTS
    )
    return (
        f"English is ahead by {said[BASE]} with no fact given and by {said[most]} with {NAMES[most]}: {verdict}"
        f" (n = {last['n']} questions, {languages} languages{', facts known in English only' if part != ALL else ''})"
        f"{f'; {crossed}' if crossed else ''}."
    )


def plot_gaps(table: pd.DataFrame) -> Figure:
    """The gap by what is given, one mark a language, 95% intervals; `table` is of one category."""
    table = table.assign(row=table["given"].map(NAMES)).set_index(["language", "row"])
    rows = table[["gap", "gap_low", "gap_high"]].set_axis(["value", "ci_low", "ci_high"], axis=1)
    figure, axis = rows_figure(rows.index, PAGE)
    draw_rows(axis, 100 * rows)
    draw_line(axis, 0, "English")
    axis.set_xlabel("behind English (points)")
    add_legend(figure, [axis])
    return figure


def main() -> None:
    config = parse(TabulateFacts)
    runs = named_list(config.runs, "runs")
    if unknown := [name for name in runs if name not in NAMES]:
        raise InputError(f"runs: {unknown[0]!r} is none of {', '.join(NAMES)}")
    if BASE not in runs or not set(runs) & set(FACTS[1:]):
        raise InputError(f"runs: {BASE} and a run with facts, facts_1 or facts_2, are needed")
    order = [name for name in NAMES if name in runs]
    units = pd.concat([units_of(load_records(Path(runs[name])), name, runs[name]) for name in order])
    asked = units.groupby("given")[["id", "language"]].agg(lambda column: tuple(sorted(set(column))))
    if different := next((name for name in order if not asked.loc[name].equals(asked.loc[BASE])), None):
        raise InputError(f"{runs[different]}: other questions or languages than {runs[BASE]}; evaluate both alike")
    table = table_of(units, config.seed)
    sentence = sentence_of(table)
    files = [Path(f"{config.out}{ending}") for ending in (".csv", ".units.csv", ".png", ".pdf")]
    begin_result(__file__, config.out, runs, files)
    write_csv_atomic(files[0], table, "%.6g")
    write_csv_atomic(files[1], units)
    save_figure(config.out, plot_gaps, table[table["category"] == told_of(table)])
    save_result(__file__, config.out, runs, files, sentence)
    print(sentence)


if __name__ == "__main__":
    run(main)
