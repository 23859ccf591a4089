"""A setting's questions and what the model reads of them; scoring of a group of questions in all settings at once."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.choices import Item, build_settings
from common.config import config_hash
from common.errors import InputError
from common.prompts import PAPER_STYLE, Style, chat_answer_start, chat_prompt, cloze_prompt, mmlu_prompt
from common.provenance import device_name
from common.records import record_rows
from common.scoring import ScoringStats, score_continuations
from common.units import by_subject


@dataclass(frozen=True)
class Setting:
    """One setting: its questions and a digest of what they were read from.

    `demonstrations` are the solved questions of each subject.
    """

    name: str
    items: list[Item]
    digest: str
    demonstrations: Mapping[str, list[Item]] = field(default_factory=dict)
    style: Style = PAPER_STYLE

    def prompts(self, items: Sequence[Item], score: str) -> list[str]:
        """The text up to "Answer:" of some of the questions; `score` is `letter` or `cloze`."""
        make = mmlu_prompt if score == "letter" else cloze_prompt
        return [make(item, self.demonstrations.get(item.subject, ()), self.style) for item in items]


def make_settings(
    parallel: Mapping[str, Sequence[Item]], seed: int, style: Style, limit: int | None = None
) -> dict[str, Setting]:
    """Every setting of parallel questions (`common.choices.build_settings`), of the first `limit` a subject if given.

    What is drawn does not depend on the limit.
    """
    settings = {}
    for name, items in build_settings(parallel, list(parallel), seed).items():
        kept = [item for rows in by_subject(items).values() for item in rows[:limit]]
        settings[name] = Setting(name, kept, config_hash({"items": [astuple(item) for item in kept]}), style=style)
    return settings


def answers(item: Item, score: str, style: Style = PAPER_STYLE) -> list[str]:
    """What may follow the prompt, A to D: the labels, or for `cloze` the texts of the options."""
    return [f" {text}" for text in (style.labels if score == "letter" else item.options)]


def group_prompts(parts: Mapping[str, list[Item]], settings: Mapping[str, Setting], score: str) -> list[str]:
    """All prompts of a group's questions, `parts[setting]`, setting by setting."""
    return [prompt for name, items in parts.items() for prompt in settings[name].prompts(items, score)]


class GroupScorer:
    """Scores groups with one model and adds up the tokens in `stats`.

    Args:
        score: `letter`, or `cloze`, where the prediction is the option with the largest log-probability per byte.
        answer_token: `follow` or `bare`: in letter scoring the token after "Answer:", or the letter's own.
        chat: the prompt is a user's turn in the tokenizer's chat template, and the answer begins the assistant's.
        token_budget: as in `score_continuations`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        score: str,
        answer_token: str,
        chat: bool = False,
        token_budget: int | None = None,
    ):
        self.model, self.tokenizer = model, tokenizer
        self.score, self.token_budget, self.chat = score, token_budget, chat
        self.bare = score == "letter" and answer_token == "bare"
        self.answer_start = chat_answer_start(tokenizer) if chat else ""
        self.stats = ScoringStats()
        self.device, self.dtype = device_name(model.device), str(model.dtype).removeprefix("torch.")

    def records(self, parts: Mapping[str, list[Item]], settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one group's questions, `parts[setting]`, all scored in one call.

        Raises InputError naming the question where a prompt is longer than the model's context.
        """
        owners = [(name, item) for name, items in parts.items() for item in items]
        prompts = group_prompts(parts, settings, self.score)
        if self.chat:
            prompts = [chat_prompt(self.tokenizer, prompt) for prompt in prompts]
        continuations = [self._answers(item, settings[name].style) for name, item in owners]
        try:
            logprobs = score_continuations(
                self.model,
                self.tokenizer,
                prompts,
                continuations,
                token_budget=self.token_budget,
                progress=False,
                stats=self.stats,
            )
        except InputError as error:
            raise self._named(error, owners, prompts) from error
        tables, start = [], 0
        for name, items in parts.items():
            lengths = np.array([[len(option.encode()) for option in item.options] for item in items])
            rows = logprobs[start : start + len(items)]
            tables.append(record_rows(items, name, rows, lengths if self.score == "cloze" else None))
            start += len(items)
        return pd.concat(tables, ignore_index=True)

    def _answers(self, item: Item, style: Style) -> list[str | tuple[int, ...]]:
        if self.bare:
            return [(self.tokenizer(label).input_ids[-1],) for label in style.labels]
        texts = answers(item, self.score, style)
        return [self.answer_start + text.lstrip() for text in texts] if self.chat else texts

    def _named(self, error: InputError, owners: list[tuple[str, Item]], prompts: list[str]) -> InputError:
        """The scorer's error, which knows only the number of a prompt, in terms of question and setting."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        lengths = [len(self.tokenizer(prompt, verbose=False).input_ids) for prompt in prompts]
        longest = int(np.argmax(lengths))
        if limit is None or lengths[longest] < limit:
            return error
        name, item = owners[longest]
        return InputError(
            f"question {item.id} in setting {name}: its prompt has {lengths[longest]} tokens, the model takes {limit}; "
            "use fewer shots or a model with a longer context"
        )
