"""Measure performance and consistency across languages from predictions: CLiKA's rescaled accuracy, and agreement.

    python CLiKA/consistency.py --predictions FILE --out DIR
    python CLiKA/consistency.py --runs llama@mmlu=MMLU/results/zero_shot/llama --reference mmlu=0.9 --out DIR
    python CLiKA/consistency.py --logs llama@xcopa=LOGS/samples_xcopa_{language} --reference 0.964 --out DIR

FILE has the columns model,task,language,id,answer,prediction, one row per question and language; answers are letters or
any other labels that mean the same in every language. Runs are folders of MMLU/evaluate_mmlu.py, HP/evaluate_quiz.py or
TOFU/evaluate_tofu.py, of which the monolingual settings (en, full_*) are read; logs are those of lm-evaluation-harness
(harness_logs.py). Writes <out>/accuracy.csv, <out>/consistency.csv (every pair of languages) and a heat map
<out>/<model>-<task>.png, .pdf; where the subjects of records are languages, those of the countries that facts are on,
<out>/home.csv says how much better facts are known in them.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import transfer_metrics as metrics
from heat_map import plot_consistency
from predictions import ENGLISH, labelled, read_predictions, read_runs

from common.cli import InputError, named_list, parse, run
from common.languages import LANGUAGES
from common.reporting.files import write_csv_atomic
from common.reporting.plots import save_figure
from common.reporting.results import begin_result, save_result
from common.reporting.stats import LEVEL, conductivity, wilson

LONGEST = 240  # characters in the name of a heat map


@dataclass
class Score:
    """Score predictions in several languages.

    Attributes:
        out: folder of the tables and heat maps.
        predictions: CSV file with model,task,language,id,answer,prediction.
        runs: model=folder or model@task=folder of evaluation runs, a list or separated by commas.
        logs: sample logs of lm-evaluation-harness in the same form; a folder holds tasks of MMLU/export_lm_eval.py, of
            others a path names the language (xcopa@..=DIR/samples_xcopa_{language}), or model@task@language does.
        log_id: fields of a logged question that name it in every language, separated by commas; null where the
            languages have the same questions in the same order.
        chance: accuracy of guessing, a fraction, or task=fraction separated by commas; null for CLiKA's own of its
            tasks, and elsewhere one over the number of options of a run or log.
        reference: accuracy that counts as 1, in the same form; null for CLiKA's own, and elsewhere unknown.
        taught: language in which the facts were taught; reports the conductivity of every other. null for none.
        seed: of the intervals.
    """

    out: str
    predictions: str | None = None
    runs: str | list[str] | None = None
    logs: str | list[str] | None = None
    log_id: str | None = None
    chance: float | str | list[str] | None = None
    reference: float | str | list[str] | None = None
    taught: str | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        if (self.predictions is None) == (self.runs is None and self.logs is None):
            raise InputError("name either --predictions FILE, or --runs and --logs with name=folder")
        for task in ("", *fractions(self.chance, "chance"), *fractions(self.reference, "reference")):
            known = zip(self.known(task), (0, 1), strict=True)
            chance, reference = (other if value is None else value for value, other in known)
            if not 0 <= chance < reference <= 1:
                raise InputError(f"chance {chance}, reference {reference}: fractions, the first below the second")

    def known(self, task: str) -> tuple[float | None, float | None]:
        """Chance and reference of a task: the task's own, else CLiKA's, else what is given for all; None if unknown."""
        own = metrics.CLIKA.get(task, (None, None))
        given = [fractions(getattr(self, key), key) for key in ("chance", "reference")]
        return tuple(named.get(task, own[place] or named.get("")) for place, named in enumerate(given))


def fractions(value: float | str | list[str] | None, key: str) -> dict[str, float]:
    """{task: fraction}, under "" what holds for every task; InputError for what is no number."""
    if value is None or isinstance(value, float):
        return {} if value is None else {"": value}
    try:
        return {task: float(text) for task, text in named_list(value, key).items()}
    except ValueError as error:
        raise InputError(f"{key} {value}: write a fraction, or task=fraction ({error})") from error


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


MEASURES: dict[str, tuple[str, Callable]] = {  # the column compared, and how
    "agreement": ("prediction", metrics.agreement),
    "agreement_kappa": ("prediction", metrics.agreement_kappa),
    "correct_jaccard": ("correct", metrics.correct_jaccard),
    "correct_jaccard_kappa": ("correct", metrics.correct_jaccard_kappa),
    "both_correct": ("correct", lambda a, b, weights: metrics.transfer(a, b, weights).both),
    "correct_given_other": ("correct", lambda a, b, weights: metrics.transfer(b, a, weights).given_source),
}


def compare(
    a: pd.DataFrame, b: pd.DataFrame, names: Iterable[str] = MEASURES, *, seed: int, resamples: int = 1_000
) -> dict[str, tuple[float, float, float]]:
    """{measure: (value, low, high)} of two languages, with 95% percentile bootstrap intervals over questions.

    Resamples in which a measure does not exist are left out.
    """
    found, cells = {}, {}
    for name in names:
        column, measure = MEASURES[name]
        if column not in cells:
            codes, labels = pd.factorize(np.concatenate([a[column], b[column]]))
            # As in common.reporting.stats: resampling questions is drawing how often each distinct pair occurs.
            pairs, counts = np.unique(codes[: len(a)] * len(labels) + codes[len(a) :], return_counts=True)
            draws = np.random.default_rng(seed).multinomial(len(a), counts / len(a), size=resamples)
            cells[column] = labels[pairs // len(labels)], labels[pairs % len(labels)], counts, draws.astype(float)
        left, right, counts, draws = cells[column]
        value = measure(left, right, counts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            low, high = np.nanquantile(measure(left, right, draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found[name] = value, float(low), float(high)
    return found


def consistency(languages: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Columns measure, language_a, language_b, value, ci_low, ci_high: every pair of languages.

    `correct_given_other` is a right, given b right.
    """
    found = {(a, b): compare(languages[a], languages[b], seed=seed) for a in languages for b in languages}
    rows = [(name, *pair, *values[name]) for name in MEASURES for pair, values in found.items()]
    return pd.DataFrame(rows, columns=["measure", "language_a", "language_b", "value", "ci_low", "ci_high"])


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
            row |= {
                f"{name}_en": measure(table[column], languages[ENGLISH][column], None)
                for name, (column, measure) in MEASURES.items()
            }
        rows.append(row)
    return pd.DataFrame(rows)


def at_home(languages: dict[str, pd.DataFrame], seed: int, resamples: int = 10_000) -> pd.DataFrame:
    """Columns n, home_advantage, ci_low, ci_high, a bootstrap over facts; no row without two languages as subjects."""
    first, codes = next(iter(languages.values())), list(languages)
    home = first["subject"] if "subject" in first else pd.Series(dtype=object)
    kept = home.isin(codes).to_numpy()
    if home[kept].nunique() < 2 or not home.isin(LANGUAGES).all():
        return pd.DataFrame()
    correct = np.stack([table["correct"].to_numpy(float) for table in languages.values()], axis=1)[kept]
    columns = home[kept].map(codes.index).to_numpy()
    draws = np.random.default_rng(seed).multinomial(len(correct), np.full(len(correct), 1 / len(correct)), resamples)
    value = metrics.home_advantage(correct, columns)
    low, high = np.nanquantile(metrics.home_advantage(correct, columns, draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return pd.DataFrame([{"n": len(correct), "home_advantage": value, "ci_low": low, "ci_high": high}])


def main() -> None:
    config = parse(Score)
    runs, logs = labelled(config.runs, "runs", 2), labelled(config.logs, "logs", 3)
    source = config.predictions or ", ".join((*runs.values(), *logs.values()))
    table = read_runs(runs, logs, config.log_id) if runs or logs else read_predictions(Path(source))
    table["correct"] = (table["prediction"] == table["answer"]).astype(int)
    scored, pairs, homes, figures = [], [], [], {}
    for (model, task), rows in table.groupby(["model", "task"], sort=False):
        languages, (chance, reference) = by_language(rows, f"{source}, {model}, {task}"), config.known(task)
        if chance is None and "options" in rows and rows["options"].notna().all():
            chance = (1 / rows["options"]).mean()
        if config.taught is not None and (config.taught not in languages or chance is None):
            raise InputError(f"{source}, {model}, {task}: --taught {config.taught} needs answers in it, and --chance")
        if chance is None or reference is None:
            print(f"note: {task} has no rescaled accuracy, its chance and reference are unknown: --chance, --reference")
        with warnings.catch_warnings(record=True) as reasons:
            warnings.simplefilter("always")
            scored.append(
                accuracy(languages, chance, reference, config.taught, config.seed).assign(model=model, task=task)
            )
            pairs.append(consistency(languages, config.seed).assign(model=model, task=task))
            homes.append(at_home(languages, config.seed).assign(model=model, task=task))
        for reason in sorted({str(one.message) for one in reasons}):
            print(f"note: {model}, {task}: some values are missing, {reason}")
        name = f"{quote(model, safe='')}-{quote(task, safe='')}"
        if len(name) > LONGEST:
            raise InputError(f"{source}: model and task {name[:40]}...: too long for the name of a file; shorten them")
        figures[name] = pairs[-1]
    folders = {} if config.runs is None else named_list(config.runs, "runs")
    first, out = ["model", "task"], Path(config.out)
    made = {"accuracy": pd.concat(scored), "consistency": pd.concat(pairs), "home": pd.concat(homes)}
    made = {name: table for name, table in made.items() if len(table)}
    written = [out / f"{name}.csv" for name in made]
    written += [out / f"{name}{ending}" for name in figures for ending in (".png", ".pdf")]
    begin_result(__file__, out / "accuracy", folders, written)
    for name, table in made.items():
        table = table[[*first, *table.columns.drop(first)]]
        write_csv_atomic(out / f"{name}.csv", table, float_format="%.6g")
        if name != "consistency":
            print(table.to_string(index=False, float_format="{:.4f}".format))
    for name, table in figures.items():
        save_figure(out / name, plot_consistency, table[table["measure"].isin(["agreement", "correct_jaccard"])])
    save_result(__file__, out / "accuracy", folders, written)


if __name__ == "__main__":
    run(main)
