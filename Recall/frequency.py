"""Frequency or barrier: is a fact wrong in a language because no text states it there? (KLAR, fact tracing)

    python Recall/frequency.py --config Recall/configs/frequency.yaml --model MODEL --data DIR --out DIR

DIR has facts in several languages and how many documents of a corpus state each (Recall/klar.py). A fact is right
where its answer is the best of all answers of its relation (Recall/gaps.py) behind the text before it. Writes
<out>/<language>.csv, bins.csv (accuracy and consistency with English by frequency), facts.csv, regression.csv and
frequency.png. Interrupted runs resume when rerun.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from barrier_regression import regression
from gaps import gap_scores
from klar import Fact, known_languages, read_klar, script_of
from matplotlib.figure import Figure
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, comma_list, parse, require_given, require_positive, run
from common.evaluation.prediction import predict
from common.evaluation.resume import by_language
from common.lm.loading import ModelConfig
from common.reporting.files import write_csv_atomic
from common.reporting.plots import PAGE, add_legend, draw_line, draw_rows, save_figure
from common.reporting.results import save_result
from common.reporting.stats import wilson

EDGES = (1, 10, 100, 1_000, 10_000, 100_000)  # documents at which a bin begins
BINS = ("0", "1-9", "10-99", "100-999", "1,000-9,999", "10,000-99,999", "100,000 and more")


@dataclass(kw_only=True)
class Frequency:
    """Compare facts of different frequency in several languages.

    Attributes:
        out: folder for tables, plot and run.json.
        data: folder in the layout of cisnlp/multilingual-fact-tracing's data.
        languages: ISO codes, a list or separated by commas, with en; null is every language.
        limit: only so many first facts of each relation; null is all.
    """

    out: str
    data: str | None = None
    languages: str | list[str] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "limit")

    @property
    def codes(self) -> list[str]:
        """The languages that are asked; InputError where English or any other is missing."""
        codes = comma_list(self.languages) if self.languages else known_languages(Path(self.data))
        if "en" not in codes or len(codes) < 2:
            raise InputError(f"languages {','.join(codes)}: name en, which the others are compared with, and another")
        return codes


def first_of_each(facts: Sequence[Fact], limit: int | None) -> list[Fact]:
    """The first `limit` facts of each relation."""
    kept: dict[str, list[Fact]] = {}
    for fact in facts:
        kept.setdefault(fact.relation, []).append(fact)
    return [fact for own in kept.values() for fact in own[:limit]]


def answers_of(facts: Sequence[Fact]) -> dict[str, list[str]]:
    """The candidates of each relation: its distinct answers, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for fact in facts:
        found.setdefault(fact.relation, {})[fact.answer] = None
    return {relation: list(own) for relation, own in found.items()}


def answer_rows(
    rows: Sequence[Fact],
    candidates: Mapping[str, Sequence[str]],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    token_budget: int | None,
) -> pd.DataFrame:
    """One row a fact: id, relation, answer, prediction, correct, frequency."""
    own = [candidates[row.relation] for row in rows]
    best = predict(gap_scores(model, tokenizer, [row.text for row in rows], own, [""] * len(rows), token_budget))
    said = [names[place] for names, place in zip(own, best, strict=True)]
    return pd.DataFrame(
        {
            "id": [row.id for row in rows],
            "relation": [row.relation for row in rows],
            "answer": [row.answer for row in rows],
            "prediction": said,
            "correct": [int(row.answer == one) for row, one in zip(rows, said, strict=True)],
            "frequency": [row.frequency for row in rows],
        }
    )


def all_facts(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a fact and language: language, relation, fact, right, right_in_english, same_script, same_answer,
    frequency, log_frequency, english_log_frequency (log10 of 1 + documents), half.

    `half` is upper or lower: above the median frequency of the language and relation, or not.
    """
    english = tables["en"]
    known = np.log10(1 + english["frequency"].astype(float))
    rows = []
    for code, table in tables.items():
        frequency = table["frequency"].astype(int)
        median = frequency.groupby(table["relation"]).transform("median")
        rows.append(
            pd.DataFrame(
                {
                    "language": code,
                    "relation": table["relation"],
                    "fact": table["id"],
                    "right": table["correct"].astype(int),
                    "right_in_english": english["correct"].astype(int),
                    "same_script": int(script_of(code) == script_of("en")),
                    "same_answer": (table["answer"].str.casefold() == english["answer"].str.casefold()).astype(int),
                    "frequency": frequency,
                    "log_frequency": np.log10(1.0 + frequency),
                    "english_log_frequency": known,
                    "half": np.where(frequency > median, "upper", "lower"),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def by_bin(facts: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and consistency with English by language and bin: columns as below, 95% Wilson intervals.

    `consistency` with English is that of the paper's code (factual_recall_vllm_with_details.py): of the facts right in
    either language, `either` in number, the share right in both. Bins without a fact are left out; the last row of a
    language, "all", has all of its facts.
    """
    rows = []
    for code, own in facts.groupby("language", sort=False):
        place = np.digitize(own["frequency"], EDGES)
        parts = [(name, own[place == number]) for number, name in enumerate(BINS)]
        for name, part in [*parts, ("all", own)]:
            if n := len(part):
                right, in_english = part["right"] == 1, part["right_in_english"] == 1
                either, both = int((right | in_english).sum()), int((right & in_english).sum())
                share = both / either if either else float("nan")
                accuracy = (right.mean(), *wilson(int(right.sum()), n))
                rows.append((code, name, n, *accuracy, either, share, *wilson(both, either)))
    names = ["language", "documents", "n", "accuracy", "ci_low", "ci_high", "either"]
    return pd.DataFrame(rows, columns=[*names, "consistency", "consistency_low", "consistency_high"])


def finding(facts: pd.DataFrame, effects: pd.DataFrame) -> str:
    """The result in one sentence, from the accuracies and the regression."""
    elsewhere = facts[facts["language"] != "en"]
    english = facts.loc[facts["language"] == "en", "right"].mean()
    gap = 100 * (elsewhere["right"].mean() - english)
    change = {
        ("log_frequency", "as in English"): "were each fact as frequent as in English",
        ("log_frequency", "ten times"): "for ten times its frequency",
        ("same_answer", "0 to 1"): "for an answer spelt as in English",
    }
    said = [
        f"{row.points:+.1f} points [{row.points_low:+.1f}, {row.points_high:+.1f}] {change[row.term, row.change]}"
        for row in effects.itertuples()
        if (row.term, row.change) in change and not np.isnan(row.points)
    ]
    return (
        f"Of {elsewhere['fact'].nunique():,} facts {100 * english:.1f}% are right in English, and"
        f" {elsewhere['language'].nunique()} other languages differ by {gap:+.1f} points; there the regression predicts"
        f" {', '.join(said) or 'nothing, with too few facts or none that differ'}."
    )


def plot_frequency(bins: pd.DataFrame, effects: pd.DataFrame) -> Figure:
    """Accuracy by bin, a mark a language, and the effects of the regression."""
    shown = bins[bins["documents"] != "all"].rename(columns={"accuracy": "value"})
    shown = shown.sort_values("documents", key=lambda names: names.map(BINS.index), kind="stable")
    rows = shown.set_index(["language", "documents"])[["value", "ci_low", "ci_high"]]
    high = 1.2 + shown["documents"].nunique() * max(0.25, 0.09 * shown["language"].nunique())
    figure = Figure(figsize=(PAGE, high), layout="constrained")
    left, *right = figure.subplots(1, 1 + bool(len(effects)), squeeze=False)[0]
    draw_rows(left, 100 * rows)
    left.set_xlabel("accuracy (%)")
    left.set_ylabel("documents with both names")
    names = [f"{row.term.replace('_', ' ')}: {row.change}" for row in effects.itertuples()]
    numbers = effects.rename(columns={"points": "value", "points_low": "ci_low", "points_high": "ci_high"})
    for axis in right:
        index = pd.MultiIndex.from_product([["effect"], names])
        draw_rows(axis, numbers[["value", "ci_low", "ci_high"]].set_axis(index))
        draw_line(axis, 0, "none")
        axis.set_xlabel("average effect (points)")
    add_legend(figure, [left])
    return figure


def main() -> None:
    config, model = parse(Frequency, ModelConfig)
    whole = read_klar(Path(config.data), config.codes)
    candidates = {code: answers_of(facts) for code, facts in whole.items()}
    parallel = {code: first_of_each(facts, config.limit) for code, facts in whole.items()}
    out = Path(config.out)

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return answer_rows(rows, candidates[rows[0].language], loaded, tokenizer, model.token_budget)

    def text(row: Fact) -> str:
        return row.text + "".join(candidates[row.language][row.relation])

    tables = by_language(
        model, out, asdict(model) | asdict(config), {"candidates": candidates}, parallel, compute, text
    )
    if not model.processes().is_main_process:
        return
    facts = all_facts(tables)
    bins, effects = by_bin(facts), regression(facts[facts["language"] != "en"])
    written = [out / "bins.csv", out / "regression.csv", out / "facts.csv"]
    for path, table in zip(written, (bins, effects, facts), strict=True):
        write_csv_atomic(path, table, float_format="%.6g")
    written += save_figure(out / "frequency", plot_frequency, bins, effects)
    sentence = finding(facts, effects)
    save_result(__file__, out / "bins", {Path(model.model).name: out}, written, sentence)
    print(bins[bins["documents"] == "all"].to_string(index=False, float_format="{:.4f}".format))
    print(effects.to_string(index=False, float_format="{:.4f}".format))
    print(sentence)


if __name__ == "__main__":
    run(main)
