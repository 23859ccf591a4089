"""Answer each question from several languages at once: votes, summed log-probabilities, and their upper bound.

    python MMLU/ensemble.py --run MMLU/results/zero_shot/world --out MMLU/results/zero_shot/world/ensemble

From the records of `en` and `full_*` alone. Writes <out>.csv. Much of the difference between languages is variance,
which an ensemble removes (arXiv 2510.15551). The oracle, right where any language is, bounds every choice of language.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from calibrate import has_logprobs, normalized_logprobs
from categories import load_category

from common.cli import InputError, parse, run
from common.questions import LETTERS
from common.reporting.provenance import read_run
from common.reporting.results import write_result
from common.reporting.stats import mcnemar, paired_bootstrap, wilson
from common.settings import family


@dataclass
class Ensemble:
    """Answer each question from several languages at once.

    Attributes:
        run: run folder of MMLU/evaluate_mmlu.py with settings full_* and, for the pool with English, en.
        out: the table's file name without its ending.
        category: only questions of this category (STEM, humanities, social sciences, other; english_only, shared).
        seed: of the two-fold split on which a subject's best language is chosen and tested, and of the intervals.
    """

    run: str
    out: str
    category: str | None = None
    seed: int = 42


@dataclass(frozen=True)
class Answers:
    """`answers` [questions] and `predictions` [questions, languages] as numbers of options, from 0.

    `logprobs` [questions, languages, most options], -inf for an option that a question does not have.
    """

    languages: list[str]
    subjects: np.ndarray
    answers: np.ndarray
    predictions: np.ndarray
    logprobs: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        return self.predictions == self.answers[:, None]

    def without(self, language: str) -> "Answers":
        """The same without one language."""
        kept = [place for place, code in enumerate(self.languages) if code != language]
        codes = [self.languages[place] for place in kept]
        return Answers(codes, self.subjects, self.answers, self.predictions[:, kept], self.logprobs[:, kept])


def read_answers(records: pd.DataFrame, folder: str) -> Answers:
    """The answers in every language; InputError where there are not two, or the questions differ between them."""
    settings = [name for name in records["setting"].unique() if family(name)[0] in ("en", "full")]
    records = records[records["setting"].isin(settings)]
    tables = [records[records["setting"] == name].set_index("id") for name in settings]
    if len(tables) < 2 or not has_logprobs(records):
        raise InputError(
            f"{folder}: records of two languages with log-probabilities are needed; evaluate full_* and en"
        )
    if any(set(table.index) != set(tables[0].index) for table in tables):
        raise InputError(f"{folder}: {', '.join(settings)} have different questions; evaluate all on the same data")
    tables = [table.loc[tables[0].index] for table in tables]
    logprobs = np.stack([normalized_logprobs(table) for table in tables], axis=1)
    return Answers(
        [family(name)[1] or "en" for name in settings],
        tables[0]["subject"].to_numpy(str),
        tables[0]["answer"].map(LETTERS.index).to_numpy(),
        np.stack([table["prediction"].map(LETTERS.index).to_numpy() for table in tables], axis=1),
        np.where(np.isnan(logprobs), -np.inf, logprobs),
    )


def summed(answers: Answers) -> np.ndarray:
    """Number of the option with the largest sum of log-probabilities, normalised over the options in each language."""
    return answers.logprobs.sum(axis=1).argmax(axis=1)


def majority(answers: Answers) -> np.ndarray:
    """Number of the option that most languages choose; of those with equal votes, the one with the larger sum."""
    votes = (answers.predictions[:, :, None] == np.arange(answers.logprobs.shape[2])).sum(axis=1)
    tied = np.where(votes == votes.max(axis=1, keepdims=True), answers.logprobs.sum(axis=1), -np.inf)
    return tied.argmax(axis=1)


def best_language(answers: Answers, seed: int) -> np.ndarray:
    """Predictions in the language that is best for each subject on the other half of its questions."""
    rng = np.random.default_rng(seed)
    chosen = np.empty(len(answers.answers), int)
    for subject in np.unique(answers.subjects):
        rows = rng.permutation(np.flatnonzero(answers.subjects == subject))
        halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        for tested, held_out in (halves, halves[::-1]):
            best = answers.correct[held_out].mean(axis=0).argmax() if len(held_out) else 0
            chosen[tested] = answers.predictions[tested, best]
    return chosen


def table_of(answers: Answers, seed: int) -> pd.DataFrame:
    """One row per pool of languages and method, with the difference from the languages' mean accuracy.

    Columns pool, method, languages, n, accuracy, ci_low, ci_high, vs_single, vs_single_low, vs_single_high (95% paired
    bootstrap over questions), and p_mcnemar against English where it was asked. `single` is the mean over languages.
    """
    pools = {"all": answers} | ({"without_en": answers.without("en")} if "en" in answers.languages else {})
    english = answers.correct[:, answers.languages.index("en")] if "en" in answers.languages else None
    rows = []
    for pool, own in pools.items():
        single = own.correct.mean(axis=1)
        methods = {code: own.correct[:, place] for place, code in enumerate(own.languages)}
        methods |= {
            "majority": majority(own) == own.answers,
            "summed": summed(own) == own.answers,
            "best_language_of_subject": best_language(own, seed) == own.answers,
            "oracle": own.correct.any(axis=1),
        }
        rows.append({"pool": pool, "method": "single", "n": own.correct.size, "accuracy": single.mean()})
        interval = paired_bootstrap(single, np.zeros(len(single)), seed=seed)[1:]  # over questions, not answers
        rows[-1] |= dict(zip(("ci_low", "ci_high"), interval, strict=True))
        for method, correct in methods.items():
            row = {"pool": pool, "method": method, "n": len(correct), "accuracy": correct.mean()}
            row |= dict(zip(("ci_low", "ci_high"), wilson(int(correct.sum()), len(correct)), strict=True))
            change = paired_bootstrap(correct, single, seed=seed)
            row |= dict(zip(("vs_single", "vs_single_low", "vs_single_high"), change, strict=True))
            if english is not None and method != "en":
                row["p_mcnemar"] = mcnemar(correct, english)
            rows.append(row)
        for row in rows:
            row.setdefault("languages", " ".join(own.languages))
    return pd.DataFrame(rows)


def main() -> None:
    config = parse(Ensemble)
    if read_run(Path(config.run))["config"].get("answer_format") != "letter":
        raise InputError(f"{config.run}: the options were not compared by letter; evaluate with --answer_format letter")
    table = table_of(read_answers(load_category(config.run, config.category), config.run), config.seed)
    write_result(__file__, config.out, {config.run: config.run}, table)


if __name__ == "__main__":
    run(main)
