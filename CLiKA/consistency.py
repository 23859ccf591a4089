"""Measure performance and consistency across languages from predictions: CLiKA's rescaled accuracy, and agreement.

    python CLiKA/consistency.py --predictions FILE --out DIR
    python CLiKA/consistency.py --runs llama=MMLU/results/zero_shot/llama --out DIR --chance 0.25 --reference 0.9

FILE has the columns model,task,language,id,answer,prediction, one row per question and language; answers are letters or
any other labels that mean the same in every language. Runs are folders of MMLU/evaluate_mmlu.py, HP/evaluate_quiz.py or
TOFU/evaluate_tofu.py, of which the monolingual settings (en, full_*) are read. Writes <out>/accuracy.csv,
<out>/consistency.csv (every pair of languages) and a heat map <out>/<model>-<task>.png, .pdf.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import transfer_metrics as metrics
from heat_map import plot_consistency
from rows import read_rows

from common.cli import InputError, named_list, parse, run
from common.evaluation.records import load_records
from common.languages import LANGUAGES
from common.reporting.files import write_csv_atomic
from common.reporting.plots import save_figure
from common.reporting.results import begin_result, save_result
from common.reporting.stats import conductivity, wilson
from common.settings import family

COLUMNS = ["model", "task", "language", "id", "answer", "prediction"]
RECORDS = "records"  # name of the task of run folders
ENGLISH = "en"
LONGEST = 240  # characters in the name of a heat map


@dataclass
class Score:
    """Score predictions in several languages.

    Attributes:
        out: folder of the tables and heat maps.
        predictions: CSV file with model,task,language,id,answer,prediction; null where runs are named.
        runs: name=folder of evaluation runs, a list or separated by commas; llama/x_geo=folder names one of CLiKA's
            tasks too. null where predictions are named.
        chance: accuracy of guessing, a fraction, for tasks without constants of CLiKA's; null if unknown.
        reference: accuracy that counts as 1, a fraction, for the same tasks; null if unknown.
        taught: language in which the facts were taught; reports the conductivity of every other. null for none.
        seed: of the conductivity's intervals.
    """

    out: str
    predictions: str | None = None
    runs: str | list[str] | None = None
    chance: float | None = None
    reference: float | None = None
    taught: str | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        if (self.predictions is None) == (self.runs is None):
            raise InputError("name either --predictions FILE or --runs name=folder")
        chance, reference = self.chance or 0, 1 if self.reference is None else self.reference
        if not 0 <= chance < reference <= 1:
            raise InputError(f"chance {chance}, reference {reference}: fractions, the first below the second")


def read_predictions(path: Path) -> pd.DataFrame:
    """The long table; InputError naming file and row for a missing column, cell or a question given twice."""
    table = read_rows(path, COLUMNS)
    required = table[COLUMNS[:-1]]  # an empty prediction means no answer
    if (required == "").any(axis=None):
        row, column = next((r, c) for r, c in zip(*(required == "").to_numpy().nonzero(), strict=True))
        raise InputError(f"{path}, row {row + 1}: {COLUMNS[column]} is empty; fill it in")
    again = table.duplicated(["model", "task", "language", "id"])
    if again.any():
        row = int(again.to_numpy().argmax())
        raise InputError(f"{path}, row {row + 1}: question {table['id'][row]!r} is given twice; ids must be unique")
    return table


def read_runs(runs: dict[str, str]) -> pd.DataFrame:
    """The same table from records: settings en and full_*; one task, or CLiKA's that a name ends in (`llama/x_geo`)."""
    tables = []
    for name, folder in runs.items():
        records = load_records(Path(folder))
        records = records[records["setting"].map(lambda setting: family(setting)[0] in ("en", "full"))]
        if records.empty:
            raise InputError(f"{folder}: no setting en or full_*; evaluate them")
        languages = records["setting"].map(lambda setting: family(setting)[1] or ENGLISH)
        model, _, task = name.rpartition("/")
        if not model or task not in metrics.CLIKA:
            model, task = name, RECORDS
        tables.append(records.assign(model=model, task=task, language=languages)[COLUMNS])
    return pd.concat(tables, ignore_index=True)


def by_language(table: pd.DataFrame, where: str) -> dict[str, pd.DataFrame]:
    """A model's answers to a task by language, rows in one order; InputError where questions or answers differ."""
    found = {code: rows.set_index("id") for code, rows in table.groupby("language", sort=False)}
    codes = [*(code for code in LANGUAGES if code in found), *(code for code in found if code not in LANGUAGES)]
    first = found[codes[0]]
    for code in codes:
        different = first.index.symmetric_difference(found[code].index)
        if len(different):
            raise InputError(
                f"{where}: question {different[0]!r} is in one of {codes[0]} and {code} only; ask it in both"
            )
        other = found[code].loc[first.index]
        if (wrong := first["answer"] != other["answer"]).any():
            raise InputError(
                f"{where}: the answer to question {wrong.idxmax()!r} differs between {codes[0]} and {code}; give it the"
                " label that means the same"
            )
    return {code: found[code].loc[first.index] for code in codes}


def constants(task: str, config: Score) -> tuple[float | None, float | None]:
    """Chance and reference of a task: CLiKA's own, else those of the configuration; None where unknown."""
    return metrics.CLIKA.get(task, (config.chance, config.reference))


MEASURES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], float]] = {
    "agreement": lambda a, b: metrics.agreement(a["prediction"], b["prediction"]),
    "agreement_kappa": lambda a, b: metrics.agreement_kappa(a["prediction"], b["prediction"]),
    "correct_jaccard": lambda a, b: metrics.correct_jaccard(a["correct"], b["correct"]),
    "correct_jaccard_kappa": lambda a, b: metrics.correct_jaccard_kappa(a["correct"], b["correct"]),
    "both_correct": lambda a, b: metrics.transfer(a["correct"], b["correct"]).both,
    "correct_given_other": lambda a, b: metrics.transfer(b["correct"], a["correct"]).given_source,
}


def consistency(languages: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns measure, language_a, language_b, value: every pair; `correct_given_other` is a right, given b right."""
    rows = [
        (name, a, b, measure(languages[a], languages[b]))
        for name, measure in MEASURES.items()
        for a in languages
        for b in languages
    ]
    return pd.DataFrame(rows, columns=["measure", "language_a", "language_b", "value"])


def accuracy(
    languages: dict[str, pd.DataFrame], chance: float | None, reference: float | None, taught: str | None, seed: int
) -> pd.DataFrame:
    """Columns language, n, accuracy, ci_low, ci_high (95% Wilson), rescaled_accuracy, and the measures with English.

    With `taught`, also conductivity of every other language and its 95% bootstrap interval over facts.
    """
    rows = []
    for code, table in languages.items():
        share = table["correct"].mean()
        row = {"language": code, "n": len(table), "accuracy": share}
        row |= dict(zip(("ci_low", "ci_high"), wilson(int(table["correct"].sum()), len(table)), strict=True))
        known = chance is not None and reference is not None
        row["rescaled_accuracy"] = metrics.rescaled_accuracy(share, chance, reference) if known else float("nan")
        if taught is not None and code != taught:
            found = conductivity(languages[taught]["correct"], table["correct"], chance, seed=seed)
            row |= dict(zip(("conductivity", "conductivity_low", "conductivity_high"), found, strict=True))
        if ENGLISH in languages and code != ENGLISH:
            row |= {f"{name}_en": measure(table, languages[ENGLISH]) for name, measure in MEASURES.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    config = parse(Score)
    source = config.predictions if config.runs is None else str(config.runs)
    runs = {} if config.runs is None else named_list(config.runs, "runs")
    table = read_runs(runs) if runs else read_predictions(Path(source))
    table["correct"] = (table["prediction"] == table["answer"]).astype(int)
    scored, pairs, figures = [], [], {}
    for (model, task), rows in table.groupby(["model", "task"], sort=False):
        languages, (chance, reference) = by_language(rows, f"{source}, {model}, {task}"), constants(task, config)
        if config.taught is not None and (config.taught not in languages or chance is None):
            raise InputError(f"{source}, {model}, {task}: --taught {config.taught} needs answers in it, and --chance")
        if chance is None or reference is None:
            print(f"note: {task} has no rescaled accuracy, its chance and reference are unknown: --chance, --reference")
        with warnings.catch_warnings(record=True) as reasons:
            warnings.simplefilter("always")
            scored.append(
                accuracy(languages, chance, reference, config.taught, config.seed).assign(model=model, task=task)
            )
            pairs.append(consistency(languages).assign(model=model, task=task))
        for reason in sorted({str(one.message) for one in reasons}):
            print(f"note: {model}, {task}: some values are missing, {reason}")
        name = f"{quote(model, safe='')}-{quote(task, safe='')}"
        if len(name) > LONGEST:
            raise InputError(f"{source}: model and task {name[:40]}...: too long for the name of a file; shorten them")
        figures[name] = pairs[-1]
    first, out = ["model", "task"], Path(config.out)
    written = [out / "accuracy.csv", out / "consistency.csv"]
    written += [out / f"{name}{ending}" for name in figures for ending in (".png", ".pdf")]
    begin_result(__file__, out / "accuracy", runs, written)
    for name, tables in (("accuracy", scored), ("consistency", pairs)):
        joined = pd.concat(tables, ignore_index=True)
        joined = joined[[*first, *joined.columns.drop(first)]]
        write_csv_atomic(out / f"{name}.csv", joined, float_format="%.6g")
        if name == "accuracy":
            print(joined.to_string(index=False, float_format="{:.4f}".format))
    for name, table in figures.items():
        save_figure(out / name, plot_consistency, table[table["measure"].isin(["agreement", "correct_jaccard"])])
    save_result(__file__, out / "accuracy", runs, written)


if __name__ == "__main__":
    run(main)
