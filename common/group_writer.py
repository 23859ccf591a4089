"""Lets a model write before it answers, and reads the answer from what it wrote: records without log-probabilities."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.choices import LETTERS, Item
from common.errors import InputError
from common.extraction import extract_label
from common.generation import generate
from common.group_scorer import Setting
from common.prompts import chat_prompt
from common.records import question_rows
from common.scoring import ScoringStats

BLANK_LINE = "\n\n"


class GroupWriter:
    """Has groups of questions answered in the model's own words and adds up the tokens in `stats`.

    Args:
        write: prompt of a question in a setting.
        chat: as in `common.group_scorer.GroupScorer`.
        max_new_tokens: most tokens of an answer, which ends at a blank line.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        write: Callable[[Item, Setting], str],
        *,
        chat: bool,
        max_new_tokens: int,
    ):
        self.model, self.tokenizer, self.write = model, tokenizer, write
        self.chat, self.max_new_tokens = chat, max_new_tokens
        self.stats = ScoringStats()

    def records(self, parts: Mapping[str, list[Item]], settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one group's questions, `parts[setting]`: prediction "" where the answer names no option.

        `said` is the answer in one line, `extracted` 1 where it names an option.
        """
        owners = [(settings[name], item) for name, items in parts.items() for item in items]
        prompts = [self.write(item, setting) for setting, item in owners]
        if self.chat:
            prompts = [chat_prompt(self.tokenizer, prompt) for prompt in prompts]
        distinct = list(dict.fromkeys(prompts))
        try:
            answers = generate(
                self.model, self.tokenizer, distinct, self.max_new_tokens, stop=BLANK_LINE, progress=False
            )
        except InputError as error:
            raise InputError(f"questions of subject {owners[0][1].subject}: {error}") from error
        said = dict(zip(distinct, answers, strict=True))
        lengths = [len(ids) for ids in self.tokenizer(distinct, verbose=False).input_ids]
        self.stats.prompt_tokens += sum(lengths)
        self.stats.computed_tokens += sum(lengths) + sum(answer.tokens for answer in answers)
        tables, start = [], 0
        for name, items in parts.items():
            texts = [said[prompt].text for prompt in prompts[start : start + len(items)]]
            found = [extract_label(text, settings[name].style.labels) for text in texts]
            table = question_rows(items, name, ["" if place is None else LETTERS[place] for place in found])
            table["extracted"] = np.array([place is not None for place in found], int)
            table["said"] = [" ".join(text.split()) for text in texts]
            tables.append(table)
            start += len(items)
        return pd.concat(tables, ignore_index=True)
