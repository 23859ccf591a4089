"""Ask a causal LM CLiKA's questions on fictional places, in English and in the language L in which half are taught.

    python CLiKA/ask_fictional.py --config CLiKA/configs/fictional.yaml --model MODEL --data DIR --out DIR

The model writes an answer, greedily; it is right if the expected name is in it: the continent's, or the translation.
Writes <out>/<language>.csv, one row a question (fictional.py says what is asked), and run.json. Interrupted runs resume
when rerun; tabulate_fictional.py makes the table.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from fictional import Asked, Template, read_test
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, comma_list, parse, require_given, require_positive, run
from common.evaluation.resume import by_language
from common.lm.generation import generate
from common.lm.loading import ModelConfig


@dataclass(kw_only=True)
class AskConfig:
    """Ask CLiKA's questions on fictional places.

    Attributes:
        out: folder of the answers and run.json.
        data: folder in the layout of CLiKA's repository.
        languages: ISO code of the language L. CLiKA/scripts/fictional.sh takes several, a list or separated by commas,
            and trains a model for each.
        template: what stands around a prompt, alpaca or plain, as in training.
        max_new_tokens: most tokens of an answer.
        limit: only the first questions of each part and continent, so many; null is all.
    """

    out: str
    data: str | None = None
    languages: str | list[str] = "de"
    template: Template = "alpaca"
    max_new_tokens: int = 64
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "max_new_tokens", "limit")


def answer_rows(
    rows: Sequence[Asked],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    token_budget: int | None = None,
) -> pd.DataFrame:
    """One row per question: what it is, what was said, and whether the expected name is in it."""
    prompts = [row.prompt for row in rows]
    answers = generate(model, tokenizer, prompts, max_new_tokens, token_budget=token_budget)
    table = pd.DataFrame([asdict(row) for row in rows]).drop(columns="prompt")
    table["said"] = [" ".join(answer.text.split()) for answer in answers]  # on one line
    table["finished"] = [int(answer.finished) for answer in answers]
    table["correct"] = [int(row.expected in said) for row, said in zip(rows, table["said"], strict=True)]
    return table


def main() -> None:
    config, model = parse(AskConfig, ModelConfig)
    languages = comma_list(config.languages)
    if len(languages) != 1:
        raise InputError(
            f"languages {','.join(languages)}: a model is taught one; bash CLiKA/scripts/fictional.sh takes several"
        )
    (language,) = languages
    asked = read_test(config.data, language, config.template, config.limit)

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return answer_rows(rows, loaded, tokenizer, config.max_new_tokens, model.token_budget)

    depends = {"max_new_tokens": config.max_new_tokens}
    keys = asdict(model) | asdict(config)
    tables = by_language(
        model,
        Path(config.out),
        keys,
        depends,
        {language: asked},
        compute,
        lambda row: row.prompt,
        config.max_new_tokens,
    )
    if model.processes().is_main_process:
        right = tables[language].assign(correct=tables[language]["correct"].astype(int))
        print(
            right.groupby("part", sort=False)["correct"].agg(["size", "mean"]).to_string(float_format="{:.4f}".format)
        )


if __name__ == "__main__":
    run(main)
