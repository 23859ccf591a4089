"""Lets a model write before it answers, and reads the answer from what it wrote: records without log-probabilities."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.choices import LETTERS, Item
from common.endpoint import Endpoint, Reply
from common.errors import InputError
from common.extraction import extract_label
from common.generation import generate
from common.group_endpoint import answered
from common.group_scorer import Setting
from common.prompts import chat_prompt
from common.provenance import device_name
from common.records import question_rows
from common.scoring import ScoringStats
from common.tokenization import prompt_tokens

BLANK_LINE = "\n\n"


class Author(Protocol):
    """Anything that goes on from prompts, up to `stop`, the end of the text or `max_new_tokens`."""

    device: str
    dtype: str | None

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]: ...


class LocalAuthor:
    """A loaded model; `chat` as in `common.group_scorer.GroupScorer`."""

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

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """See Author."""
        return answered(self.endpoint, self.endpoint.ask(prompts, max_new_tokens, stop=stop, progress=False))


class GroupWriter:
    """Has groups of questions answered in the model's own words and adds up the tokens in `stats`.

    Args:
        author: who writes.
        prompt: of a question in a setting.
        max_new_tokens: most tokens of an answer.
        stop: where an answer ends before its text does, such as a blank line; None for nowhere.
        again: how the prompt begins, where a model that goes on with a question of its own has finished its answer.
    """

    def __init__(
        self,
        author: Author,
        prompt: Callable[[Item, Setting], str],
        max_new_tokens: int,
        stop: str | None = None,
        again: str | None = None,
    ):
        self.author, self.prompt, self.max_new_tokens, self.stop = author, prompt, max_new_tokens, stop
        self.again = again
        self.device, self.dtype = author.device, author.dtype
        self.stats = ScoringStats()

    def records(self, parts: Mapping[str, list[Item]], settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one group's questions, `parts[setting]`: prediction "" where the answer names no option.

        `said` is the answer in one line, `extracted` 1 where it names an option.
        """
        said: dict[str, Reply] = {}
        tables = []
        for name, items in parts.items():  # the prompts of one setting have their demonstrations in common
            prompts = [self.prompt(item, settings[name]) for item in items]
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
            found = [extract_label(text, settings[name].style.labels) for text in texts]
            table = question_rows(items, name, ["" if place is None else LETTERS[place] for place in found])
            table["extracted"] = np.array([place is not None for place in found], int)
            table["said"] = [" ".join(text.split()) for text in texts]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)
