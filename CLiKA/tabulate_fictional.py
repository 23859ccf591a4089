"""Tabulate the answers on CLiKA's fictional places: is the training complete, and what is conducted into L?

    python CLiKA/tabulate_fictional.py --runs de=DIR[,fr=DIR] --out DIR

Each run is a folder of ask_fictional.py. Writes table.csv, .md, .png and .pdf, and answers.csv for report/.

Training is complete if names, both types in English and type 0 in L are each above 90% (CLiKA's fictional/README.md).
Type 1 in L is the test: places of which L is taught the name alone. Intervals of accuracies are Wilson's; those of type
1 in L and of conductivity are bootstrap intervals over continents, since the places of one are learnt together (where
none or all of type 1 in L are right, no resample differs, and its interval is Wilson's too).

Conductivity is (accuracy of type 1 in L - chance) / (accuracy of the same facts in English - chance), chance being one
of twenty continents (common/reporting/stats.py). CLiKA's own formula, called CD in its files and XRR in its paper, is
not known to us.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from common.cli import InputError, named_list, parse, run
from common.languages import get
from common.reporting.files import read_text, write_csv_atomic, write_text_atomic
from common.reporting.plots import PAGE, add_legend, draw_chance, draw_line, draw_rows, rows_figure, save_figure
from common.reporting.provenance import file_digest, read_run
from common.reporting.results import begin_result, save_result
from common.reporting.stats import conductivity, paired_bootstrap, wilson
from common.reporting.tables import interval, table

PARTS = {
    "translation": "names into L",
    "english_0": "type 0 in English",
    "english_1": "type 1 in English",
    "target_0": "type 0 in L",
    "target_1": "type 1 in L",
}
TEST, LEARNT = "target_1", "english_1"  # the same facts
NEEDED = 0.9  # of every other part


@dataclass
class Tabulate:
    """Tabulate the answers on CLiKA's fictional places.

    Attributes:
        runs: name=folder of ask_fictional.py, separated by commas; one for each language L.
        out: folder of the table.
        seed: of the intervals.
    """

    runs: str
    out: str
    seed: int = 42


def read_answers(folder: str) -> pd.DataFrame:
    """The answers of a run, with `taught`, its language L; InputError where they are not as they were written."""
    run = read_run(folder)
    if len(run.get("languages", ())) != 1 or "template" not in run.get("config", {}):
        raise InputError(f"{folder}/run.json: not of CLiKA/ask_fictional.py, or not finished; run that again")
    ((language, own),) = run["languages"].items()
    path = Path(folder, f"{language}.csv")
    if not path.is_file() or file_digest(path) != own["sha256"]:
        raise InputError(f"{path}: missing or changed; run CLiKA/ask_fictional.py again, which keeps finished work")
    answers = read_text(path)
    if lacking := [part for part in PARTS if part not in set(answers["part"])]:
        raise InputError(f"{path}: no questions of part {lacking[0]}; run it with all of CLiKA's files")
    return answers.assign(taught=language, correct=answers["correct"].astype(int))


def by_continent(answers: pd.DataFrame, part: str) -> pd.Series:
    """Accuracy of a part on each continent."""
    return answers[answers["part"] == part].groupby("continent", sort=True)["correct"].mean()


def score(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row a part of a run: n, accuracy and its interval, as fractions; conductivity in the row of the test.

    `complete` is 1 where a part is above 90%, else 0; of the test it is 1 where all other parts are complete.
    """
    chance = 1 / answers.loc[answers["part"] == LEARNT, "continent"].nunique()
    rows = []
    for part in PARTS:
        right = answers.loc[answers["part"] == part, "correct"]
        low, high = wilson(int(right.sum()), len(right))
        rows.append({"part": part, "n": len(right), "accuracy": right.mean(), "ci_low": low, "ci_high": high})
    scores = pd.DataFrame(rows)
    scores.insert(0, "taught", answers["taught"].iloc[0])
    scores["complete"] = (scores["accuracy"] > NEEDED).astype(int)
    test = scores["part"] == TEST
    scores.loc[test, "complete"] = int(scores.loc[~test, "complete"].all())
    english, target = by_continent(answers, LEARNT), by_continent(answers, TEST)
    _, low, high = paired_bootstrap(target.to_numpy(), 0 * target.to_numpy(), seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is not known above chance is missing from the table
        found = conductivity(english.to_numpy(), target.to_numpy(), chance, seed=seed)
    more = {"ci_low": low, "ci_high": high} if 0 < target.mean() < 1 else {}
    more |= {"chance": chance}
    more |= dict(zip(("conductivity", "conductivity_low", "conductivity_high"), found, strict=True))
    for name, value in more.items():
        scores.loc[test, name] = value
    return scores


def sentence(scores: pd.DataFrame) -> str:
    """What was found on one language, in words and numbers."""
    rows = {row.part: row for row in scores.itertuples()}
    test, name = rows[TEST], get(scores["taught"].iloc[0]).name
    short = [
        f"{PARTS[part]} {100 * row.accuracy:.1f}" for part, row in rows.items() if part != TEST and not row.complete
    ]
    least = min(row.accuracy for part, row in rows.items() if part != TEST)
    said = f"{name}: training is complete, no part below {100 * least:.1f}%"
    if short:
        said = f"{name}: training is not complete ({', '.join(short)}; each must be above {100 * NEEDED:.0f}%)"
        said += ", so that what follows is no test of conductivity"
    share = f"{interval(test, unit='%')} of {test.n} facts taught in English alone are right in {name}"
    ratio = interval(test, "conductivity", ".2f", scale=1) or "missing, as they are not known in English"
    return f"{said}. {share}, where chance is {100 * test.chance:.1f}%; conductivity {ratio}."


def markdown(scores: pd.DataFrame, sentences: list[str]) -> str:
    """The table and what it says."""
    lines = ["# CLiKA's fictional places", "", *sentences, ""]
    rows = [
        [row.taught, PARTS[row.part], str(row.n), interval(row), "yes" if row.complete else "no",
         interval(row, "conductivity", ".2f", scale=1)]
        for row in scores.itertuples()
    ]  # fmt: skip
    lines += table(["L", "asked", "n", "accuracy, percent", "complete", "conductivity"], rows)
    return "\n".join(lines) + "\n"


def plot(scores: pd.DataFrame) -> Figure:
    """Accuracy of every part, one mark a language, with the gate and chance."""
    numbers = scores.assign(asked=scores["part"].map(PARTS)).rename(columns={"accuracy": "value"})
    rows = numbers.set_index(["taught", "asked"])[["value", "ci_low", "ci_high"]]
    figure, axis = rows_figure(rows.index, PAGE)
    draw_rows(axis, 100 * rows)
    draw_line(axis, 100 * NEEDED, "complete", "--", "right")
    draw_chance(axis, scores["chance"].max())
    axis.set_xlabel("accuracy (%)")
    add_legend(figure, [axis])
    return figure


def main() -> None:
    config = parse(Tabulate)
    runs = named_list(config.runs, "runs")
    answers = {name: read_answers(folder) for name, folder in runs.items()}
    parts = [score(rows, config.seed) for rows in answers.values()]
    scores, sentences = pd.concat(parts, ignore_index=True), [sentence(one) for one in parts]
    complete = {one["taught"].iloc[0]: int(one.loc[one["part"] == TEST, "complete"].iloc[0]) for one in parts}
    if len(complete) < len(runs):
        raise InputError(f"runs {config.runs}: two of them are of one language; tabulate them one by one")
    rows = pd.concat(answers.values(), ignore_index=True)
    rows = rows.assign(complete=rows["taught"].map(complete))[
        ["taught", "complete", "part", "fact", "continent", "expected", "said", "correct"]
    ]
    out, text = Path(config.out) / "table", markdown(scores, sentences)
    written = [
        Path(config.out) / "answers.csv",
        *(Path(f"{out}{ending}") for ending in (".md", ".csv", ".png", ".pdf")),
    ]
    begin_result(__file__, out, runs, written)
    write_csv_atomic(written[0], rows)
    write_text_atomic(f"{out}.md", text)
    write_csv_atomic(f"{out}.csv", scores, float_format="%.6g")
    save_figure(out, plot, scores)
    save_result(__file__, out, runs, written, " ".join(sentences))
    print(text)


if __name__ == "__main__":
    run(main)
