"""Bias or noise: how much of the gap to English is left when many sampled answers vote, from records alone.

    python MMLU/variance.py --run MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world/variance

A sampled answer is drawn, at temperature 1, from the probabilities of the options in the records of `en` and `full_*`;
several vote, and equal votes share. Accuracies are exact expectations over all draws. gap(m) is that of English minus
that of L with m votes each; the *bias* is gap(infinity), where the likeliest option wins, the *variance* is gap(1) less
the bias (after arXiv 2510.15551, which holds that variance is the main cause of the gap). It is negative where noise
hides a gap: two languages that are as noisy are nearer to chance both, and to each other. The same for ensembles:
probabilities averaged over orders of the options (--orders) and over languages. With --samples the answers are those
that the model wrote instead, and the bias is what is left when all of them vote.
Writes <out>.csv, <out>.votes.csv (by number of votes), <out>.units.csv (one row a question) and the plot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from categories import load_category
from ensemble import Answers, read_answers
from gap_intervals import interval_of, points
from matplotlib.figure import Figure
from scipy.special import comb, gammaln

from common.cli import InputError, comma_list, named_list, parse, require_positive, run
from common.evaluation.records import load_records
from common.questions import LETTERS
from common.reporting.files import write_csv_atomic
from common.reporting.plots import NEUTRAL, PAGE, add_legend, language_style, save_figure
from common.reporting.provenance import read_run
from common.reporting.results import begin_result, save_result
from common.settings import family

MEAN, ALL = "mean", "all"  # a mean over languages; the languages together
LIMIT = "limit"  # of infinitely many votes
CELLS = 20_000_000  # of a table of questions by outcomes of a vote, at most


@dataclass
class Variance:
    """Decompose the gap to English into bias and variance.

    Attributes:
        run: run folder of MMLU/evaluate_mmlu.py with settings en and full_*.
        out: the table's file name without its ending.
        orders: STEP=FOLDER, a list or separated by commas: run folders on the questions of MMLU/rotate_options.py with
            this --step; null is none.
        samples: run folders of MMLU/mitigate.py with `--write answer --protocol paper` and a --seed each, a list or
            separated by commas; null: answers are drawn from the probabilities in `run`.
        votes: number of sampled answers that vote.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        seed: of the bootstrap intervals over questions.
    """

    run: str
    out: str
    orders: str | list[str] | None = None
    samples: str | list[str] | None = None
    votes: int = 10
    category: str | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        require_positive(self, "votes")
        if self.orders and self.samples:
            raise InputError("orders and samples: written answers have no probabilities to average, leave one out")


@cache
def outcomes(votes: int, options: int) -> tuple[np.ndarray, np.ndarray]:
    """Every outcome of a vote, int [outcomes, options], and its worth to each option: 1 for the winner or shared."""
    places = np.array(list(combinations(range(votes + options - 1), options - 1)), int).reshape(-1, options - 1)
    edges = np.pad(places, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, votes + options - 1)))
    counts = np.diff(edges, axis=1) - 1
    winners = counts == counts.max(axis=1, keepdims=True)
    return counts, winners / winners.sum(axis=1, keepdims=True)


def vote(chances: np.ndarray, answers: np.ndarray, votes: int) -> np.ndarray:
    """Expected accuracy of the vote of `votes` answers drawn with probabilities `chances` [questions, options]."""
    counts, worth = outcomes(votes, chances.shape[1])
    ways = gammaln(votes + 1) - gammaln(counts + 1).sum(axis=1)
    logs = np.log(np.where(chances > 0, chances, 1e-300))
    return by_blocks(lambda rows: np.exp(ways + logs[rows] @ counts.T), worth, answers)


def vote_of(written: np.ndarray, answers: np.ndarray, votes: int) -> np.ndarray:
    """The same of `votes` of the answers that were written, drawn without replacement; counts [questions, options]."""
    counts, worth = outcomes(votes, written.shape[1])
    total = int(written[0].sum())
    ways = comb(np.arange(total + 1)[:, None], np.arange(votes + 1))

    def likely(rows: np.ndarray) -> np.ndarray:
        each = ways[written[rows][:, None, :], counts[None]]
        return each.prod(axis=2) / comb(total, votes)

    return by_blocks(likely, worth, answers)


def by_blocks(likely, worth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Sum over outcomes of their probability times what they are worth to the answer, some questions at a time."""
    size = max(1, CELLS // worth.size)
    blocks = [np.arange(len(answers))[start : start + size] for start in range(0, len(answers), size)]
    return np.concatenate([(likely(rows) * worth[:, answers[rows]].T).sum(axis=1) for rows in blocks])


def likeliest(chances: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Accuracy of infinitely many votes: 1 where the answer is likeliest, shared by equals."""
    winners = chances == chances.max(axis=1, keepdims=True)
    return winners[np.arange(len(answers)), answers] / winners.sum(axis=1)


@dataclass(frozen=True)
class Chances:
    """`chances` [questions, languages, options]: probabilities, or with `written` how many answers name the option."""

    ids: np.ndarray
    subjects: np.ndarray
    languages: list[str]
    answers: np.ndarray
    chances: np.ndarray
    written: bool = False

    def scores(self, votes: int) -> dict[int | str, np.ndarray]:
        """Expected accuracy by number of votes up to `votes` and in the limit, [questions, languages] each.

        The limit of written answers is the vote of all of them.
        """
        draw, numbers = (vote_of if self.written else vote), range(1, votes + 1)
        places = range(len(self.languages))
        found: dict[int | str, np.ndarray] = {
            m: np.stack([draw(self.chances[:, place], self.answers, m) for place in places], axis=1) for m in numbers
        }
        limits = [likeliest(self.chances[:, place], self.answers) for place in places]
        return found | {LIMIT: np.stack(limits, axis=1)}


def read_chances(folder: str, category: str | None) -> Chances:
    """The probabilities of a run; InputError where there are none, or no English."""
    if read_run(Path(folder))["config"].get("answer_format") != "letter":
        raise InputError(f"{folder}: the options were not compared by letter; evaluate with --answer_format letter")
    records = load_category(folder, category).sort_values("id", kind="stable")
    found: Answers = read_answers(records, folder)
    if "en" not in found.languages:
        raise InputError(f"{folder}: no records of en; evaluate the settings en and full")
    return Chances(records["id"].unique(), found.subjects, found.languages, found.answers, np.exp(found.logprobs))


def reordered(base: Chances, folders: Mapping[str, str], category: str | None) -> Chances:
    """The mean over the order of `base` and other orders; InputError where they are not of the same questions."""
    orders = [base.chances]
    for name, folder in folders.items():
        if not name.isdecimal():
            raise InputError(f"orders: {name!r} is no --step of rotate_options.py; write STEP=FOLDER")
        other, step = read_chances(folder, category), int(name)
        sizes = (base.chances[:, 0] > 0).sum(axis=1)
        options = np.arange(base.chances.shape[2])
        places = np.where(options < sizes[:, None], (options - step) % sizes[:, None], options)
        moved = places[np.arange(len(base.answers)), base.answers]
        if other.languages != base.languages or list(other.ids) != list(base.ids) or any(other.answers != moved):
            raise InputError(f"{folder}: not the questions of the run with their options rotated by {name}")
        orders.append(np.take_along_axis(other.chances, places[:, None, :], axis=2))
    return Chances(base.ids, base.subjects, base.languages, base.answers, np.mean(orders, axis=0))


def read_written(folders: Sequence[str], base: Chances) -> Chances:
    """How often each option was written in several runs on the questions of `base`; the last option is none."""
    counts = np.zeros((*base.chances.shape[:2], base.chances.shape[2] + 1), int)
    for folder in folders:
        records = load_records(Path(folder))
        records = records[records["id"].isin(base.ids)]
        tables = {
            family(name)[1] or "en": own.set_index("id")
            for name, own in records.groupby("setting")
            if family(name)[0] in ("en", "full")
        }
        if any(len(tables.get(code, ())) != len(base.ids) for code in base.languages):
            raise InputError(f"{folder}: other questions or languages than the run; evaluate both on the same data")
        for place, code in enumerate(base.languages):
            said = tables[code].loc[base.ids, "prediction"]
            named = [LETTERS.index(letter) if letter else counts.shape[2] - 1 for letter in said]
            counts[np.arange(len(base.ids)), place, named] += 1
    return Chances(base.ids, base.subjects, base.languages, base.answers, counts, written=True)


def together(found: Chances) -> Chances:
    """English beside the mean of the other languages, which is called `all`."""
    english = found.languages.index("en")
    others = [place for place in range(len(found.languages)) if place != english]
    mean = found.chances[:, others].mean(axis=1)
    both = np.stack([found.chances[:, english], mean], axis=1)
    return Chances(found.ids, found.subjects, ["en", ALL], found.answers, both)


def units_of(found: Chances, ensemble: str, votes: int) -> pd.DataFrame:
    """One row a question, language but English and number of votes: id, subject, language, english, accuracy, gap."""
    english, rows = found.languages.index("en"), []
    for m, scores in found.scores(votes).items():
        for place, code in enumerate(found.languages):
            if place != english:
                row = {"id": found.ids, "subject": found.subjects, "ensemble": ensemble, "language": code, "votes": m}
                rows.append(pd.DataFrame(row | {"english": scores[:, english], "accuracy": scores[:, place]}))
    units = pd.concat(rows, ignore_index=True)
    return units.assign(gap=units["english"] - units["accuracy"])


def tables_of(units: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """By ensemble and language (the last is their mean): the decomposition, and the gap by number of votes.

    The first has n questions; gap, that of one sampled answer, voted, of the most votes, bias and variance, with 95%
    bootstrap intervals over questions; own_variance and english_variance, what sampling costs L and English, whose
    difference the variance is. Fractions.
    """
    parts, curves = [], []
    for ensemble, own in units.groupby("ensemble", sort=False):
        codes = list(own["language"].unique())
        for language in (*codes, *([MEAN] if len(codes) > 1 else [])):
            spoken = own if language == MEAN else own[own["language"] == language]
            means = spoken.groupby(["votes", "id"], sort=False)[["english", "accuracy", "gap"]].mean()
            by_votes = {m: means.loc[m] for m in own["votes"].unique()}
            one, limit = by_votes[1], by_votes[LIMIT]
            most = max(m for m in by_votes if m != LIMIT)
            row = {"ensemble": ensemble, "language": language, "n": len(one), "votes": most}
            row |= interval_of("gap", one["gap"], seed) | interval_of("voted", by_votes[most]["gap"], seed)
            row |= interval_of("bias", limit["gap"], seed) | interval_of("variance", one["gap"] - limit["gap"], seed)
            row["own_variance"] = (limit["accuracy"] - one["accuracy"]).mean()
            row["english_variance"] = (limit["english"] - one["english"]).mean()
            parts.append(row)
            for m, table in by_votes.items():
                curve = {"ensemble": ensemble, "language": language, "votes": m, "english": table["english"].mean()}
                curve["accuracy"] = table["accuracy"].mean()
                curves.append(curve | interval_of("gap", table["gap"], seed))
    return pd.DataFrame(parts), pd.DataFrame(curves)


def sentence_of(table: pd.DataFrame, samples: int) -> str:
    """The finding in words; `samples` is the number of answers that were written, 0 where chances are known."""
    rows = {row["ensemble"]: row for row in table.to_dict("records")}  # of each ensemble the last row
    plain = rows["none"]
    many = f"when all {samples} vote" if samples else "with infinitely many votes"
    if plain["variance_low"] > 0:
        verdict = f"variance makes {points(plain, 'variance')} of it"
    elif plain["variance_high"] < 0:
        verdict = f"it grows by {points(plain, 'variance', -1)} as variance goes"
    else:
        verdict = f"no part of it can be shown to be variance ({points(plain, 'variance')})"
    said = (
        f"One sampled answer is {points(plain, 'gap')} behind English, and {many} {points(plain, 'bias')} are left:"
        f" {verdict} (n = {plain['n']} questions)."
    )
    others = [f"{points(row, 'bias')} averaged over {name}" for name, row in rows.items() if name != "none"]
    return said + (f" Left with ensembles: {'; '.join(others)}." if others else "")


def plot_votes(curves: pd.DataFrame) -> Figure:
    """The gap by number of votes, means over languages: a line an ensemble, its limit at the right end."""
    ensembles, numbers = list(curves["ensemble"].unique()), list(curves["votes"].unique())
    figure = Figure(figsize=(PAGE, 2.8), layout="constrained")
    axis = figure.subplots()
    for place, (ensemble, own) in enumerate(curves.groupby("ensemble", sort=False)):
        own = own[own["language"] == own["language"].iloc[-1]]
        x = [numbers.index(m) + 0.08 * (place - (len(ensembles) - 1) / 2) for m in own["votes"]]
        name = "single" if ensemble == "none" else f"averaged over {ensemble}"
        lengths = 100 * np.array([own["gap"] - own["gap_low"], own["gap_high"] - own["gap"]]).clip(0)
        style = {"linestyle": "none", "markersize": 4.5, "elinewidth": 1} | language_style(ensemble, ensembles)
        axis.errorbar(x, 100 * own["gap"], yerr=lengths, label=name, **style)
    axis.axhline(0, color=NEUTRAL, linewidth=0.8)
    axis.set_xticks(range(len(numbers)), ["∞" if m == LIMIT else m for m in numbers])
    axis.set_xlabel("votes")
    axis.set_ylabel("behind English (points)")
    add_legend(figure, [axis])
    return figure


def main() -> None:
    config = parse(Variance)
    base, votes = read_chances(config.run, config.category), config.votes
    orders = named_list(config.orders, "orders") if config.orders else {}
    samples = comma_list(config.samples) if config.samples else []
    if samples:
        found, votes = {"none": read_written(samples, base)}, min(votes, len(samples))
    else:
        found = {"none": base, "languages": together(base)}
    if orders:
        found["orders"] = reordered(base, orders, config.category)
        found["orders and languages"] = together(found["orders"])
    units = pd.concat([units_of(own, name, votes) for name, own in found.items()], ignore_index=True)
    table, curves = tables_of(units, config.seed)
    sentence = sentence_of(table, len(samples))
    runs = {"run": config.run} | {f"order {step}": folder for step, folder in orders.items()}
    runs |= {f"sample {number}": folder for number, folder in enumerate(samples, 1)}
    files = [Path(f"{config.out}{ending}") for ending in (".csv", ".votes.csv", ".units.csv", ".png", ".pdf")]
    begin_result(__file__, config.out, runs, files)
    kept = units[units["votes"].isin([1, votes, LIMIT])]
    for path, own in zip(files, (table, curves, kept), strict=False):
        write_csv_atomic(path, own, "%.6g")
    save_figure(config.out, plot_votes, curves)
    save_result(__file__, config.out, runs, files, sentence)
    print(sentence)


if __name__ == "__main__":
    run(main)
