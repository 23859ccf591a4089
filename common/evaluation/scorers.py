"""Scores questions in all settings at once: by log-probabilities of letters or texts, or by what a server answers."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.evaluation.records import record_rows
from common.lm.loglikelihood import ScoringStats, loglikelihood
from common.lm.precision import dtype_name
from common.lm.server import Failure, Reply, Server
from common.prompts import chat_answer_start, chat_prompt
from common.questions import Question
from common.reporting.provenance import device_name
from common.settings import Setting

TOP = 20  # most likely first tokens to ask a server for; servers give no more
ANSWER_TOKENS = 1  # of a server's answer
BLANKS = " \t\n▁Ġ"  # around a token's text; the last two are those of vocabularies, which some servers return
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
            keys = {"alone": self.one_at_a_time, "token_budget": self.token_budget, "stats": self.stats}
            logprobs = loglikelihood(self.model, self.tokenizer, prompts, continuations, **keys)
        except InputError as error:
            raise self._named(error, owners, prompts) from error
        names, items = zip(*owners, strict=True)
        # NaN where there is no such option.
        lengths = padded([[len(option.encode()) for option in item.options] for item in items])
        for row in np.flatnonzero((np.isnan(logprobs) & ~np.isnan(lengths)).any(axis=1)):
            raise InputError(
                f"question {items[row].id} in setting {names[row]}: the model gives NaN; try --dtype float32"
            )
        return record_rows(items, names, logprobs, lengths=lengths if self.answer_format == "text" else None)

    def _continuations(self, item: Question, setting: Setting) -> list[str | tuple[int, ...]]:
        """What is scored; a label of several tokens, all of whose log-probabilities count, is noted once."""
        labels = setting.continuations(item, "letter") if self.answer_format == "letter" and not self.bare else ()
        for label in set(labels) - self._seen:
            self._seen.add(label)
            count = len(self.tokenizer(f"Answer:{label}").input_ids) - len(self.tokenizer("Answer:").input_ids)
            if count > 1:
                said = f"the label {label.strip()!r} is {count} tokens; their log-probabilities are summed"
                print(f"note: {said}", file=sys.stderr)
        return continuations_of(self.tokenizer, setting, item, self.answer_format, self.bare, self.answer_start)

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


class ServerScorer:
    """Asks a server for the label of the answer; adds up the tokens that the server counts in `stats`."""

    device, dtype = "server", None

    def __init__(self, server: Server):
        self.server = server
        self.stats = ScoringStats()

    def records(self, parts: Parts, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one shard's questions.

        The prediction is the most likely label among the first tokens that the server returns; labels that it does not
        return have no log-probability. Where it returns none, the label is read from the token it writes. Where there
        is no label either way, `extracted` is 0 and the prediction empty.
        """
        prompts = shard_prompts(parts, settings, "letter")
        replies = answered(self.server, self.server.ask(prompts, ANSWER_TOKENS, logprobs=TOP))
        self.stats.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        self.stats.computed_tokens += sum(reply.prompt_tokens + reply.tokens for reply in replies)
        owners = [(name, item) for name, items in parts.items() for item in items]
        labels = [settings[name].prompt_format.labels_of(item) for name, item in owners]
        first = [{key.strip(BLANKS): one.first[key] for key in sorted(one.first, key=one.first.get)} for one in replies]
        logprobs = [[said.get(label, np.nan) for label in own] for said, own in zip(first, labels, strict=True)]
        odd = [one.text for one, p in zip(replies, logprobs, strict=True) if one.first and np.nansum(np.exp(p)) < 1e-3]
        if 2 * len(odd) > len(replies):
            print(f"note: most answers begin with no label but as {odd[0]!r}; does the model think?", file=sys.stderr)
        names, items = zip(*owners, strict=True)
        return record_rows(items, names, padded(logprobs), texts=[reply.text for reply in replies], labels=labels)


def padded(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Rows of different lengths as one array, NaN behind the shorter ones."""
    return np.array(list(zip_longest(*rows, fillvalue=np.nan)), float).T


def answered(server: Server, replies: Sequence[Reply | Failure]) -> list[Reply]:
    """The replies; InputError where some are failures."""
    if failed := [reply for reply in replies if isinstance(reply, Failure)]:
        raise InputError(
            f"{len(failed)} of {len(replies)} prompts to {server.model!r} have no answer: {failed[0].reason}; the"
            " answers received are kept; rerun the same command for the rest"
        )
    return list(replies)
