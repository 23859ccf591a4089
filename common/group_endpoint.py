"""Turns groups of multiple-choice questions into records by asking a server: a label's log-probability, or its text."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from common.choices import LETTERS, Item
from common.endpoint import Endpoint, Failure, Reply
from common.errors import InputError
from common.extraction import extract_label
from common.group_scorer import Setting, group_prompts
from common.records import LOGPROBS, question_rows
from common.scoring import ScoringStats
from common.units import DECIMALS

TOP = 20  # likeliest first tokens to ask for: the most that servers give
ANSWER_TOKENS = 1


class GroupEndpoint:
    """Asks a server for the label of the answer and adds up the tokens that it counts in `stats`."""

    device, dtype = "server", None

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        self.stats = ScoringStats()

    def records(self, parts: Mapping[str, list[Item]], settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one group's questions, `parts[setting]`.

        Where the server gives log-probabilities, the prediction is the likeliest label among the first tokens it names,
        and a label that it does not name has none. Where it gives none, the label is read from the token it writes.
        `extracted` is 0 where there is no label either way; the prediction is then empty.
        """
        prompts = group_prompts(parts, settings, "letter")
        replies = answered(self.endpoint, self.endpoint.ask(prompts, ANSWER_TOKENS, logprobs=TOP, progress=False))
        self.stats.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        self.stats.computed_tokens += sum(reply.prompt_tokens + reply.tokens for reply in replies)
        tables, start = [], 0
        for name, items in parts.items():
            own = replies[start : start + len(items)]
            tables.append(label_rows(items, name, own, settings[name].style.labels))
            start += len(items)
        return pd.concat(tables, ignore_index=True)


def answered(endpoint: Endpoint, replies: Sequence[Reply | Failure]) -> list[Reply]:
    """The replies; InputError where some are failures, which says that the others are kept."""
    failed = [reply for reply in replies if isinstance(reply, Failure)]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(replies)} prompts to {endpoint.model!r} have no answer: {failed[0].reason}; the"
            " answers that came are kept, and the same command asks for the rest"
        )
    return list(replies)


def label_rows(items: Sequence[Item], setting: str, replies: Sequence[Reply], labels: Sequence[str]) -> pd.DataFrame:
    """Records of one setting from what the server replied."""
    logprobs = np.array([[label_logprob(reply, label) for label in labels] for reply in replies])
    logprobs = np.round(logprobs, DECIMALS) + 0.0
    places = [
        extract_label(reply.text, labels) if np.isnan(row).all() else int(np.nanargmax(row))
        for row, reply in zip(logprobs, replies, strict=True)
    ]
    table = question_rows(items, setting, ["" if place is None else LETTERS[place] for place in places])
    table[LOGPROBS] = logprobs
    table["extracted"] = [int(place is not None) for place in places]
    return table


def label_logprob(reply: Reply, label: str) -> float:
    """The largest log-probability of a first token that is the label, blanks aside; NaN where none is named."""
    found = [value for token, value in reply.first.items() if token.strip() == label]
    return max(found, default=float("nan"))
