"""Ask a causal LM TOFU's questions in each language: the probability of the true answer, and its free-form answer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from answer_metrics import NAME, normalized_probability, rouge_l_recall, summarize, truth_ratio
from tofu import AuthorQuestion
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.evaluation.evaluate import EvaluationConfig
from common.evaluation.resume import by_language
from common.lm.generation import generate
from common.lm.loading import ModelConfig
from common.lm.loglikelihood import loglikelihood
from common.lm.tokenization import tokenize_pairs
from common.plan import planning
from common.prompts import chat_answer_start, chat_prompt
from common.reporting.files import claim, write_csv_atomic


def answer_rows(
    rows: Sequence[AuthorQuestion],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    token_budget: int | None = None,
    chat: bool = False,
) -> pd.DataFrame:
    """One row per question: the model's free-form answer and TOFU's three measures (answer_metrics.py)."""
    prompts = [chat_prompt(tokenizer, row.prompt) if chat else row.prompt for row in rows]
    written = [[row.answer, row.truth, *row.perturbed_answer] for row in rows]
    start = chat_answer_start(tokenizer) if chat else " "
    continuations = [[f"{start}{text}" for text in texts] for texts in written]
    logprobs = loglikelihood(model, tokenizer, prompts, continuations, token_budget=token_budget)
    tokens = np.full(logprobs.shape, np.nan)
    for pair in tokenize_pairs(tokenizer, prompts, continuations):
        tokens[pair.prompt, pair.continuation] = len(pair.tokens) - pair.start
        if np.isnan(logprobs[pair.prompt, pair.continuation]):
            raise InputError(f"question {rows[pair.prompt].id}: the model gives NaN; try --dtype float32")
    probabilities = normalized_probability(logprobs, tokens)
    said = generate(model, tokenizer, prompts, max_new_tokens, token_budget=token_budget)
    table = []
    for row, probability, count, answer in zip(rows, probabilities, tokens, said, strict=True):
        perturbed = probability[2 : 2 + len(row.perturbed_answer)]
        table.append(
            {
                "id": row.id,
                "probability": probability[0],
                "answer_tokens": int(count[0]),
                "probability_paraphrased": probability[1] if row.paraphrased_answer else np.nan,
                "probability_perturbed": perturbed.mean() if len(perturbed) else np.nan,
                "truth_ratio": truth_ratio(probability[1], perturbed),
                "rouge_l_recall": rouge_l_recall(row.answer, answer.text),
                "said": " ".join(answer.text.split()),  # on one line
                "finished": int(answer.finished),
            }
        )
    return pd.DataFrame(table)


def ask(
    parallel: Mapping[str, Sequence[AuthorQuestion]], tofu: Any, config: EvaluationConfig, model: ModelConfig
) -> pd.DataFrame:
    """Write `<out>/answers/<language>.csv`, `summary.csv` and run.json; returns the summary. `tofu`: a TofuConfig."""
    out = Path(config.out, NAME)

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return answer_rows(rows, loaded, tokenizer, tofu.max_new_tokens, model.token_budget, config.chat)

    def text(row: AuthorQuestion) -> str:
        return " ".join([row.prompt, row.answer, row.truth, *row.perturbed_answer])

    if model.processes().is_main_process and not planning():
        claim(config.out)  # the folder of the choice too, before any answer is asked for
    depends = {"chat": config.chat, "max_new_tokens": tofu.max_new_tokens}
    keys = asdict(model) | asdict(config) | asdict(tofu)
    tables = by_language(model, out, keys, depends, parallel, compute, text, tofu.max_new_tokens // 2)
    summary = summarize(tables, tofu.seed)
    if model.processes().is_main_process:
        write_csv_atomic(out / "summary.csv", summary, float_format="%.6g")
    return summary
