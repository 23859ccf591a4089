"""Asks a server for the answer label: its log-probability or, where the server gives none, the token it writes."""

from collections.abc import Mapping, Sequence

import pandas as pd

from common.cli import InputError
from common.evaluation.logprob_scorer import Parts, shard_prompts
from common.evaluation.records import record_rows
from common.lm.loglikelihood import ScoringStats
from common.lm.server import Failure, Reply, Server
from common.settings import Setting

TOP = 20  # most likely first tokens to ask for; servers give no more
ANSWER_TOKENS = 1


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
        names, items = zip(*((name, item) for name, own in parts.items() for item in own), strict=True)
        labels = [settings[name].prompt_format.labels_of(item) for name, item in zip(names, items, strict=True)]
        logprobs = [[label_logprob(said, label) for label in own] for said, own in zip(replies, labels, strict=True)]
        texts = [reply.text for reply in replies]
        return record_rows(items, names, pd.DataFrame(logprobs).to_numpy(float), texts=texts, labels=labels)


def answered(server: Server, replies: Sequence[Reply | Failure]) -> list[Reply]:
    """The replies; InputError where some are failures."""
    failed = [reply for reply in replies if isinstance(reply, Failure)]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(replies)} prompts to {server.model!r} have no answer: {failed[0].reason}; the"
            " answers received are kept; rerun the same command for the rest"
        )
    return list(replies)


def label_logprob(reply: Reply, label: str) -> float:
    """The largest log-probability (nats) of a first token that is the label, blanks aside; NaN where there is none."""
    found = [value for token, value in reply.first.items() if token.strip() == label]
    return max(found, default=float("nan"))
