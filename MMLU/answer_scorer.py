"""Lets a model write before it answers and extracts the answer from its text; the records have no log-probabilities."""

from collections.abc import Mapping, Sequence

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.evaluation.records import record_rows
from common.evaluation.scorers import Parts, answered
from common.lm.generation import generate
from common.lm.loglikelihood import ScoringStats
from common.lm.precision import dtype_name
from common.lm.server import Reply, Server
from common.lm.tokenization import prompt_tokens
from common.prompts import chat_prompt
from common.reporting.provenance import device_name
from common.settings import Setting

BLANK_LINE = "\n\n"


class LocalAuthor:
    """A loaded model; `chat` as in `common.evaluation.scorers.LogprobScorer`."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: bool, token_budget: int | None = None
    ):
        self.model, self.tokenizer, self.chat, self.token_budget = model, tokenizer, chat, token_budget
        self.device, self.dtype = device_name(model.device), dtype_name(model)

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """Continue each prompt up to `stop`, the end of the text or `max_new_tokens`."""
        asked = [chat_prompt(self.tokenizer, prompt) if self.chat else prompt for prompt in prompts]
        keys = {"stop": stop, "token_budget": self.token_budget}
        said = generate(self.model, self.tokenizer, asked, max_new_tokens, **keys)
        lengths = map(len, prompt_tokens(self.tokenizer, asked))
        return [Reply(a.text, {}, length, a.tokens) for a, length in zip(said, lengths, strict=True)]


class ServerAuthor:
    """A model behind a server."""

    device, dtype = "server", None

    def __init__(self, server: Server):
        self.server = server

    def write(self, prompts: Sequence[str], max_new_tokens: int, stop: str | None) -> list[Reply]:
        """As in LocalAuthor."""
        return answered(self.server, self.server.ask(prompts, max_new_tokens, stop=stop))


class AnswerScorer:
    """Generates and reads the answers to shards of questions; adds up the tokens in `stats`.

    Args:
        author: generates the text.
        max_new_tokens: maximum number of tokens of an answer.
        stop: text that ends an answer early, such as a blank line; None for none.
        again: prompt opening; text from its next occurrence on is discarded, since base models invent more questions.
        whole: only a text that is a label and nothing else is an answer, as in the paper's code.
        first: read no more of the answer than a label is long, so that "A river" names the option A.
    """

    def __init__(
        self,
        author: LocalAuthor | ServerAuthor,
        max_new_tokens: int,
        stop: str | None = None,
        again: str | None = None,
        whole: bool = False,
        first: bool = False,
    ):
        self.author, self.max_new_tokens, self.stop, self.again = author, max_new_tokens, stop, again
        self.whole, self.first = whole, first
        self.device, self.dtype = author.device, author.dtype
        self.stats = ScoringStats()

    def records(self, parts: Parts, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one shard's questions; the prediction is "" where the answer names no option.

        Column `said` is the answer on one line, `extracted` is 1 where it names an option.
        """
        said: dict[str, Reply] = {}
        tables = []
        for name, items in parts.items():  # setting by setting, as its prompts share their few-shot examples
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
            read = texts
            if self.whole:
                read = [text if text in named else "" for text, named in zip(texts, labels, strict=True)]
            if self.first:
                read = [text.strip()[: max(map(len, own))] for text, own in zip(texts, labels, strict=True)]
            table = record_rows(items, name, texts=read, labels=labels)
            table["said"] = [" ".join(text.split()) for text in texts]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)
