"""Ask what readers of one language know, in that language and in others, and read the written answers.

    python Recall/closed_book.py --config Recall/configs/closed_book.yaml --benchmark multiloko --model MODEL --data DIR

The questions are those of ECLeKTic or MultiLoKo (Recall/local_questions.py); the model writes one line, greedily.
Writes <out>/<benchmark>/<column>.csv, one row a question, scores.csv (Recall/closed_book_scores.py says what) and its
plot. Interrupted runs resume when rerun.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from closed_book_scores import ALL, SCORES
from local_questions import READERS, Asked, with_prompts
from matplotlib.figure import Figure
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, parse, require_given, require_positive, run
from common.evaluation.resume import by_language
from common.lm.generation import generate
from common.lm.loading import ModelConfig
from common.reporting.plots import PAGE, add_legend, draw_rows, rows_figure
from common.reporting.results import write_result

SHOWN = {  # in the plot, of either benchmark
    "overall": "known in its own language and here", "transfer": "known here, of what is known there",
    "accuracy": "its own questions", "in_english": "the same in English", "from_english": "English questions in it",
}  # fmt: skip


@dataclass(kw_only=True)
class ClosedBook:
    """Ask what readers of one language know, in that language and in others.

    Attributes:
        out: folder, whose <benchmark>/ has answers, scores, plot and run.json.
        benchmark: eclektic or multiloko; Recall/scripts/closed_book.sh takes null for each that data.yaml has.
        data: eclektic_main.jsonl or its folder, or a folder in the layout of facebook/multiloko, or such a data set's
            name on the hub.
        languages: ISO codes, a list or separated by commas; null is every language of the data that is known here.
        num_fewshot: solved questions before each question, drawn by the seed and not asked.
        max_new_tokens: most tokens of an answer.
        limit: only so many first questions in each language; null is all.
        seed: of the solved questions, and of the intervals.
    """

    out: str
    benchmark: Literal["eclektic", "multiloko"] | None = None
    data: str | None = None
    languages: str | list[str] | None = None
    num_fewshot: int = 5
    max_new_tokens: int = 32
    limit: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "benchmark", "data")
        require_positive(self, "max_new_tokens", "limit")
        if self.num_fewshot < 0:
            raise InputError(f"num_fewshot is {self.num_fewshot}; it must be 0 or more")


def answer_rows(
    rows: Sequence[Asked],
    score: Callable[[str, Asked], float],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    token_budget: int | None,
) -> pd.DataFrame:
    """One row a question: id, origin, answer, what was said, whether it was finished, and its score."""
    prompts = [row.prompt for row in rows]
    answers = generate(model, tokenizer, prompts, max_new_tokens, token_budget=token_budget)
    table = pd.DataFrame([{"id": row.id, "origin": row.origin, "answer": "".join(row.answers[:1])} for row in rows])
    table["said"] = [" ".join(answer.text.split()) for answer in answers]
    table["finished"] = [int(answer.finished) for answer in answers]
    return table.assign(score=[score(said, row) for said, row in zip(table["said"], rows, strict=True)])


def sentence(table: pd.DataFrame) -> str:
    """What was found over all languages."""
    rows = table[table["language"] == ALL].set_index("measure")

    def said(measure: str, form: str = ".1f", unit: str = "%") -> str:
        value, low, high = 100 * rows.loc[measure, ["value", "ci_low", "ci_high"]].astype(float)
        return f"{value:{form}}{unit} [{low:{form}}, {high:{form}}]" if np.isfinite(value) else "no share"

    first = "source" if "source" in rows.index else "accuracy"
    start = f"Of {rows.loc[first, 'n']:,} questions, each in the language it was made in,"
    if first == "source":
        return (
            f"{start} {said('source')} of the answers' words are written; {said('overall')} there and in another"
            f" language, {said('transfer')} of what is known there."
        )
    own = table[(table["measure"] == "accuracy") & (table["language"] != ALL)].set_index("language")["value"]
    low, high = rows.loc["mother_tongue", ["ci_low", "ci_high"]]
    where = "in their own language" if low > 0 else "in English" if high < 0 else "in neither that can be shown"
    effects = [said(name, "+.1f", " points") for name in ("mother_tongue", "locality")]
    return (
        f"{start} {said('accuracy')} are answered right, from {100 * own.min():.1f}% ({own.idxmin()}) to"
        f" {100 * own.max():.1f}% ({own.idxmax()}); mother tongue effect {effects[0]} (more are known {where}),"
        f" locality effect {effects[1]}."
    )


def plot_scores(table: pd.DataFrame) -> Figure:
    """The measures by language."""
    shown = table[table["measure"].isin(SHOWN)].dropna()
    index = pd.MultiIndex.from_arrays([shown["measure"].map(SHOWN), shown["language"]])
    figure, axis = rows_figure(index, PAGE)
    draw_rows(axis, 100 * shown[["value", "ci_low", "ci_high"]].set_axis(index))
    axis.set_xlabel("percent")
    add_legend(figure, [axis])
    return figure


def main() -> None:
    config, model = parse(ClosedBook, ModelConfig)
    questions = READERS[config.benchmark](config.data, config.languages)
    parallel = with_prompts(questions, config.num_fewshot, config.limit, config.seed)
    out, (score, summarize) = Path(config.out, config.benchmark), SCORES[config.benchmark]

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return answer_rows(rows, score, loaded, tokenizer, config.max_new_tokens, model.token_budget)

    def text(row: Asked) -> str:
        return row.prompt

    keys, depends = asdict(model) | asdict(config), {"max_new_tokens": config.max_new_tokens}
    tables = by_language(model, out, keys, depends, parallel, compute, text, config.max_new_tokens)
    if model.processes().is_main_process:
        names = ["language", "measure", "n", "value", "ci_low", "ci_high"]
        table = pd.DataFrame(summarize(tables, config.seed), columns=names)
        runs = {Path(model.model).name: out}
        write_result(__file__, out / "scores", runs, table, plot=(plot_scores, table), sentence=sentence(table))


if __name__ == "__main__":
    run(main)
