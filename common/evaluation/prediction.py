"""Where an answer is decided: the one place that turns scores, or a written answer, into a prediction.

predict(logprobs)                                # answer letters, by log-probability
predict(logprobs, lengths=lengths)               # texts of the options, by log-probability per byte
predict(logprobs, texts=texts, labels=labels)    # scores where there are any, else the label that the text names
"""

import re
from collections.abc import Sequence

import numpy as np

from common.questions import LETTERS


def predict(
    scores: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    labels: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """The predicted option of each question, [questions], counted from 0; -1 where the answer names none.

    Args:
        scores: [questions, options] log-probabilities in nats; NaN for an option that does not exist or was not scored.
            Of equal scores the first wins.
        lengths: [questions, options] divisors of the scores.
        texts: [questions] written answers, read where a question has no score at all.
        labels: [questions] the labels that a text may name.
    """
    scores = scores if lengths is None else scores / lengths
    scored = ~np.isnan(scores)
    places = np.where(scored.any(axis=1), np.where(scored, scores, -np.inf).argmax(axis=1), -1)
    if texts is not None:
        for row in np.flatnonzero(places < 0):
            places[row] = extract_label(texts[row], labels[row])
    return places


def letters_of(places: np.ndarray) -> list[str]:
    """The predictions as letters, "" for none."""
    return [LETTERS[place] if place >= 0 else "" for place in places]


def extract_label(text: str, labels: Sequence[str]) -> int:
    """The label that a written answer names, counted from 0; -1 where it names none.

    The label must follow the last "Answer:", or open the text if there is none. It may stand in parentheses, and
    punctuation or the end of the line must follow it: "A river" and "Apples" name no option. Case matters.
    """
    last = text.rpartition("Answer:")[2]
    named = re.match(rf"\s*\(?({'|'.join(map(re.escape, labels))})(?=[.,:;)]|[ \t]*(?:\n|$))", last)
    return list(labels).index(named[1]) if named else -1
