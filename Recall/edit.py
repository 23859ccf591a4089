"""Change a fact in the prompt, in English, and ask for it in other languages: does what is edited there cross over?

    python Recall/edit.py --config Recall/configs/edit.yaml --model MODEL --data DIR --out DIR

After BMIKE-53 (arXiv 2406.17764), whose files DIR holds (Recall/edits.py says how). Each question is asked with the
change before it and without, in English and in every other language. `outranks`: the right answer has a larger
log-probability per byte than the other one; `exact`: the greedy answer is the right one to the character. Writes
<out>/<language>.csv, answers.csv, summary.csv and its plot. Interrupted runs resume when rerun.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from edits import WORDINGS, Asked, Wording, questions, read_edits, split
from matplotlib.figure import Figure
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, parse, require_given, require_positive, run
from common.evaluation.resume import by_language
from common.lm.generation import generate
from common.lm.loading import ModelConfig
from common.lm.loglikelihood import loglikelihood
from common.reporting.files import write_csv_atomic
from common.reporting.plots import PAGE, add_legend, draw_chance, draw_rows, save_figure
from common.reporting.results import begin_result, save_result
from common.reporting.stats import paired_bootstrap
from common.settings import label

MEASURES = {"outranks": "right answer outranks", "exact": "greedy answer right"}
NUMBERS = ("demonstrations", "edited", *MEASURES)  # columns of the answers
CONDITIONS = {"edited": 1, "unedited": 0}
NAMES = {"edited": "with the change", "unedited": "without it"}
CHANCE = 0.5  # of two answers, that one outranks the other


@dataclass(kw_only=True)
class EditConfig:
    """State changed facts in English, and ask for them in other languages.

    Attributes:
        out: folder for answers, summary, plot and run.json.
        data: folder of <name>_test_<language>.json in the layout of BMIKE-53.
        languages: ISO codes besides English, which is always asked, a list or separated by commas; null is every file.
        demonstrations: numbers of solved questions before each question, of changes that are not tested.
        prompt: `bmike`, that of the paper, or `plain`, for the model of the synthetic world.
        max_new_tokens: most tokens of a greedy answer; 0 is none, and `exact` is left out.
        limit: only so many first changes; null is all.
        seed: of the demonstrations that are drawn, and of the intervals.
    """

    out: str
    data: str | None = None
    languages: str | list[str] | None = None
    demonstrations: list[int] = field(default_factory=lambda: [0, 8])
    prompt: Literal["bmike", "plain"] = "bmike"
    max_new_tokens: int = 15
    limit: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "limit")
        if not self.demonstrations or min(self.demonstrations) < 0:
            raise InputError(f"demonstrations is {self.demonstrations}; name one number or more, each 0 or more")
        if self.max_new_tokens < 0:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; it must be 0 or more")
        self.demonstrations = sorted(set(self.demonstrations))


def answer_rows(
    rows: Sequence[Asked],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    token_budget: int | None,
    max_new_tokens: int,
    wording: Wording,
) -> pd.DataFrame:
    """One row a question: what was asked, both log-probabilities per byte, the greedy answer, and the measures."""
    prompts = [row.prompt for row in rows]
    answers = [(row.right, row.other) for row in rows]
    follows = [[wording.blank + text for text in pair] for pair in answers]
    scores = loglikelihood(model, tokenizer, prompts, follows, token_budget=token_budget).astype(float)
    scores = np.round(scores / [[len(text.encode()) for text in pair] for pair in answers], 6)
    if not np.isfinite(scores).all():
        raise InputError("the model gives no numbers; try --dtype float32")
    table = pd.DataFrame([{k: v for k, v in asdict(row).items() if k != "prompt"} for row in rows])
    table["logprob_right"], table["logprob_other"] = scores.T
    table["outranks"] = (scores[:, 0] > scores[:, 1]).astype(int)
    if max_new_tokens:
        written = generate(model, tokenizer, prompts, max_new_tokens, token_budget=token_budget)
        texts = [answer.text.split(wording.end)[0] if wording.end else answer.text for answer in written]
        table["said"] = [on_one_line(text) for text in texts]  # a lone carriage return would end the row
        table["exact"] = [int(text == on_one_line(row.right)) for text, row in zip(table["said"], rows, strict=True)]
    return table


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def share(answers: pd.DataFrame, measure: str, **wanted: str | int) -> pd.Series:
    """Mean of a measure over the rows of each change whose columns have these values."""
    kept = np.logical_and.reduce([answers[column] == value for column, value in wanted.items()])
    return answers[kept].groupby("edit")[measure].mean().sort_index()


def interval(a: pd.Series, b: pd.Series | float, seed: int) -> tuple[float, float, float]:
    """Mean of a - b over the same changes, with its 95% bootstrap interval over changes."""
    return paired_bootstrap(a, np.full(len(a), b) if np.isscalar(b) else b.loc[a.index], seed=seed)


def summarize(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row a language, number of demonstrations, kind and measure; fractions with 95% bootstrap intervals.

    Columns edited, unedited (with and without the change), change (their difference) and vs_en (edited minus the same
    in English, NaN for English), each with _low and _high; n changes.
    """
    rows = []
    measures = [name for name in MEASURES if name in answers]
    for (language, count, kind), _ in answers.groupby(["language", "demonstrations", "kind"], sort=False):
        for measure in measures:
            here = {"demonstrations": count, "kind": kind}
            found = {
                name: share(answers, measure, language=language, edited=value, **here)
                for name, value in CONDITIONS.items()
            }
            row = {"language": language, **here, "measure": measure, "n": len(found["edited"])}
            numbers = {name: interval(own, 0.0, seed) for name, own in found.items()}
            numbers["change"] = interval(found["edited"], found["unedited"], seed)
            english = share(answers, measure, language="en", edited=1, **here)
            numbers["vs_en"] = interval(found["edited"], english, seed) if language != "en" else (np.nan,) * 3
            for name, values in numbers.items():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def sentence(answers: pd.DataFrame, seed: int) -> str:
    """What was found on the question itself, over all languages but English, for each number of demonstrations."""
    english, abroad = answers[answers["language"] == "en"], answers[answers["language"] != "en"]

    def said(a: pd.Series, b: pd.Series | float = 0.0, form: str = ".1f") -> str:
        value, low, high = (100 * number for number in interval(a, b, seed))
        return f"{value:{form}} [{low:{form}}, {high:{form}}]"

    parts = []
    for count in answers["demonstrations"].unique():
        wanted = {"demonstrations": count, "kind": "reliability"}
        here, there = (share(table, "outranks", edited=1, **wanted) for table in (abroad, english))
        before = 1 - share(abroad, "outranks", edited=0, **wanted)
        known = "above chance" if interval(before, CHANCE, seed)[1] > 0 else "not above chance"
        part = (
            f"with {count} demonstrations the new answer outranks the old one in {said(here)} percent,"
            f" {said(here, there, '+.1f')} points against English, where without the change the old one outranks the"
            f" new one in {said(before)} ({known})"
        )
        if "exact" in answers:
            part += f", and the greedy answer is right in {said(share(abroad, 'exact', edited=1, **wanted))}"
        parts.append(part)
    codes, n = ", ".join(abroad["language"].unique()), answers["edit"].nunique()
    return f"Of {n} facts changed in English and asked for in {codes}: {'; '.join(parts)}."


def plot_summary(summary: pd.DataFrame) -> Figure:
    """Shares with the change and without, a dumbbell a language and kind: measures down, demonstrations across."""
    measures, counts = (list(summary[name].unique()) for name in ("measure", "demonstrations"))
    asked = summary["language"].map(label) + ", " + summary["kind"]
    high = 0.7 + 0.17 * asked.nunique()
    figure = Figure(figsize=(PAGE, high * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), len(counts), squeeze=False, sharex=True, sharey="row")
    for (down, across), axis in np.ndenumerate(axes):
        own = summary[(summary["measure"] == measures[down]) & (summary["demonstrations"] == counts[across])]
        parts = [
            pd.DataFrame({"series": named, "row": asked[own.index], "value": own[name], "ci_low": own[f"{name}_low"],
                          "ci_high": own[f"{name}_high"]})
            for name, named in NAMES.items()
        ]  # fmt: skip
        draw_rows(axis, 100 * pd.concat(parts).set_index(["series", "row"]), joined=True)
        if measures[down] == "outranks":
            draw_chance(axis, CHANCE)
        axis.set_title(f"{MEASURES[measures[down]]}, {counts[across]} demonstrations")
    figure.supxlabel("percent", size="medium")
    add_legend(figure, axes.flatten())
    return figure


def main() -> None:
    config, model = parse(EditConfig, ModelConfig)
    out, wording = Path(config.out), WORDINGS[config.prompt]
    edits = read_edits(config.data, config.languages)
    shown = split(len(edits["en"]), max(config.demonstrations), config.limit, config.seed)
    parallel = {code: list(questions(edits, code, shown, config.demonstrations, wording)) for code in edits}

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return answer_rows(rows, loaded, tokenizer, model.token_budget, config.max_new_tokens, wording)

    def text(row: Asked) -> str:
        return f"{row.prompt}{row.right}{row.other}"

    depends = {"max_new_tokens": config.max_new_tokens, "end": wording.end}
    settings = asdict(model) | asdict(config)
    tables = by_language(model, out, settings, depends, parallel, compute, text, config.max_new_tokens)
    if not model.processes().is_main_process:
        return
    answers = pd.concat([table.assign(language=code) for code, table in tables.items()], ignore_index=True)
    answers = answers.astype({name: int for name in NUMBERS if name in answers})
    kept = ["language", "edit", "kind", *(name for name in NUMBERS if name in answers)]
    summary, found = summarize(answers, config.seed), sentence(answers, config.seed)
    written = [out / name for name in ("summary.csv", "answers.csv", "edits.png", "edits.pdf")]
    begin_result(__file__, out / "summary", {Path(model.model).name: out}, written)
    write_csv_atomic(out / "summary.csv", summary, float_format="%.6g")
    write_csv_atomic(out / "answers.csv", answers[kept])
    save_figure(out / "edits", plot_summary, summary)
    save_result(__file__, out / "summary", {Path(model.model).name: out}, written, found)
    print(found)


if __name__ == "__main__":
    run(main)
