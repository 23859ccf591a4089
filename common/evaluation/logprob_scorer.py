"""Scores questions in all settings at once, by the log-probabilities of the answer letters or of the options' texts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.evaluation.records import record_rows
from common.lm.loglikelihood import ScoringStats, loglikelihood, one_at_a_time
from common.lm.precision import dtype_name
from common.prompts import chat_answer_start, chat_prompt
from common.questions import Question
from common.reporting.provenance import device_name
from common.settings import Setting

Parts = Mapping[str, Sequence[Question]]  # a shard's questions by setting


def shard_prompts(parts: Parts, settings: Mapping[str, Setting], answer_format: str) -> list[str]:
    """All prompts of a shard's questions, setting by setting."""
    return [prompt for name, items in parts.items() for prompt in settings[name].prompts(items, answer_format)]


def continuations_of(
    tokenizer: PreTrainedTokenizerBase,
    setting: Setting,
    item: Question,
    answer_format: str,
    bare: bool,
    start: str | None,
) -> list[str | tuple[int, ...]]:
    """What is scored after a question's prompt; `start` opens an answer in a chat, and is None where there is none."""
    if bare:
        return [(tokenizer(label).input_ids[-1],) for label in setting.prompt_format.labels_of(item)]
    texts = setting.continuations(item, answer_format)
    return texts if start is None else [start + text.lstrip() for text in texts]


@dataclass
class LogprobScorer:
    """Scores shards with one model and adds up the tokens in `stats`.

    Attributes:
        answer_format: `letter`, or `text`, which predicts the option with the largest log-probability per byte.
        answer_token: `follow` scores the token of a letter after "Answer:", `bare` that of the letter alone.
        chat: put the prompt as a user's turn into the tokenizer's chat template; the answer opens the assistant's turn.
        one_at_a_time: read every prompt by itself, without a prefix tree, as the paper's code does; for `bare`.
        token_budget: as in `loglikelihood`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    answer_format: str
    answer_token: str = "follow"
    chat: bool = False
    one_at_a_time: bool = False
    token_budget: int | None = None

    def __post_init__(self) -> None:
        self.bare = self.answer_format == "letter" and self.answer_token == "bare"
        self.answer_start = chat_answer_start(self.tokenizer) if self.chat else None
        self.stats = ScoringStats()
        self.device, self.dtype = device_name(self.model.device), dtype_name(self.model)
        self._seen: set[str] = set()  # labels

    def records(self, parts: Parts, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one shard's questions, all scored in one call.

        Raises InputError naming the question where a prompt is longer than the model's context or the model gives NaN.
        """
        owners = [(name, item) for name, items in parts.items() for item in items]
        prompts = shard_prompts(parts, settings, self.answer_format)
        if self.chat:
            prompts = [chat_prompt(self.tokenizer, prompt) for prompt in prompts]
        continuations = [self._continuations(item, settings[name]) for name, item in owners]
        try:
            if self.one_at_a_time:
                logprobs = one_at_a_time(self.model, self.tokenizer, prompts, continuations, self.stats)
            else:
                keys = {"token_budget": self.token_budget, "stats": self.stats}
                logprobs = loglikelihood(self.model, self.tokenizer, prompts, continuations, **keys)
        except InputError as error:
            raise self._named(error, owners, prompts) from error
        options = np.array([[len(item.options)] for _, item in owners])
        bad = np.flatnonzero((np.isnan(logprobs) & (np.arange(logprobs.shape[1]) < options)).any(axis=1))
        if len(bad):
            name, item = owners[bad[0]]
            raise InputError(f"question {item.id} in setting {name}: the model gives NaN; try --dtype float32")
        names, items = zip(*owners, strict=True)
        bytes_of = [[len(option.encode()) for option in item.options] for item in items]
        lengths = None if self.answer_format == "letter" else pd.DataFrame(bytes_of).to_numpy(float)
        return record_rows(items, names, logprobs, lengths=lengths)

    def _continuations(self, item: Question, setting: Setting) -> list[str | tuple[int, ...]]:
        if self.answer_format == "letter" and not self.bare:
            self._say_long_labels(setting.continuations(item, self.answer_format))
        return continuations_of(self.tokenizer, setting, item, self.answer_format, self.bare, self.answer_start)

    def _say_long_labels(self, labels: Sequence[str]) -> None:
        """Note once which labels are several tokens, all of whose log-probabilities count."""
        before = len(self.tokenizer("Answer:").input_ids)
        for label in set(labels) - self._seen:
            self._seen.add(label)
            if (count := len(self.tokenizer(f"Answer:{label}").input_ids) - before) > 1:
                print(
                    f"note: the label {label.strip()!r} is {count} tokens; their log-probabilities are summed",
                    file=sys.stderr,
                )

    def _named(self, error: InputError, owners: list[tuple[str, Question]], prompts: list[str]) -> InputError:
        """The error of `loglikelihood`, which knows no questions, in terms of question and setting."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        lengths = [len(self.tokenizer(prompt, verbose=False).input_ids) for prompt in prompts]
        longest = int(np.argmax(lengths))
        if limit is None or lengths[longest] < limit:
            return error
        name, item = owners[longest]
        return InputError(
            f"question {item.id} in setting {name}: its prompt has {lengths[longest]} tokens, the model takes {limit}; "
            "use fewer few-shot examples or a model with a longer context"
        )
