"""Lets a model write before it answers, and reads the answer from its text: records without log-probabilities."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.evaluation.logprob_scorer import Parts, Setting
from common.evaluation.records import record_rows
from common.evaluation.server_scorer import answered
from common.lm.generation import generate
from common.lm.loglikelihood import ScoringStats
from common.lm.server import Reply, Server
from common.lm.tokenization import prompt_tokens
from common.prompts import chat_prompt
from common.reporting.provenance import device_name

BLANK_LINE = "\n\n"


class Author(Protocol):
    """Anything that goes on from prompts, up to `stop`, the end of the text or `max_new_tokens`."""

    device: str
    dtype: str | None

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]: ...


class LocalAuthor:
    """A loaded model; `chat` as in `common.evaluation.logprob_scorer.LogprobScorer`."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: bool, token_budget: int | None = None
    ):
        self.model, self.tokenizer, self.chat, self.token_budget = model, tokenizer, chat, token_budget
        self.device, self.dtype = device_name(model.device), str(model.dtype).removeprefix("torch.")

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """See Author."""
        asked = [chat_prompt(self.tokenizer, prompt) if self.chat else prompt for prompt in prompts]
        keys = {"stop": stop, "token_budget": self.token_budget, "progress": False}
        said = generate(self.model, self.tokenizer, asked, max_new_tokens, **keys)
        lengths = map(len, prompt_tokens(self.tokenizer, asked))
        return [Reply(a.text, {}, length, a.tokens) for a, length in zip(said, lengths, strict=True)]


class ServerAuthor:
    """A model behind a server."""

    device, dtype = "server", None

    def __init__(self, server: Server):
        self.server = server

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """See Author."""
        return answered(self.server, self.server.ask(prompts, max_new_tokens, stop=stop, progress=False))


class AnswerScorer:
    """Has shards of questions answered in the model's own words and adds up the tokens in `stats`.

    Args:
        author: who writes.
        max_new_tokens: most tokens of an answer.
        stop: where an answer ends before its text does, such as a blank line; None for nowhere.
        again: prompt opening; text from its next occurrence on is discarded, since base models invent further questions.
    """

    def __init__(
        self,
        author: Author,
        max_new_tokens: int,
        stop: str | None = None,
        again: str | None = None,
    ):
        self.author, self.max_new_tokens, self.stop = author, max_new_tokens, stop
        self.again = again
        self.device, self.dtype = author.device, author.dtype
        self.stats = ScoringStats()

    def records(self, parts: Parts, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one shard's questions: prediction "" where the answer names no option.

        `said` is the answer in one line, `extracted` 1 where it names an option.
        """
        said: dict[str, Reply] = {}
        tables = []
        for name, items in parts.items():  # the prompts of one setting have their demonstrations in common
            prompts = settings[name].prompts(items, "letter")
            new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in said))
            try:
                replies = self.author.write(new, self.max_new_tokens, self.stop) if new else []
            except InputError as error:
                raise InputError(f"questions of subject {items[0].subject}: {error}") from error
            said |= dict(zip(new, replies, strict=True))
            self.stats.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
            self.stats.computed_tokens += sum(reply.prompt_tokens + reply.tokens for reply in replies)
            texts = [said[prompt].text for prompt in prompts]
            if self.again:
                texts = [text.partition(self.again)[0] for text in texts]
            labels = [settings[name].prompt_format.labels_of(item) for item in items]
            table = record_rows(items, name, texts=texts, labels=labels)
            table["said"] = [" ".join(text.split()) for text in texts]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)
