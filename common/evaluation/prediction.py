"""Where an answer is decided: the one place that turns scores, or a text that was written, into a prediction.

predict(logprobs)                                  # letters, compared by log-probability
predict(logprobs, lengths=lengths)                 # texts of the options, compared per byte
predict(logprobs, texts=texts, labels=labels)      # a server's: its scores where it gave any, else what it wrote
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
    """Number of the option that each question is answered with, from 0; -1 where the answer names none.

    Args:
        scores: [questions, options], larger is likelier; NaN for an option that is not there or was not scored. The
            first of equal ones wins.
        lengths: [questions, options] what each score is divided by.
        texts: what was written, read where a question has no score at all.
        labels: the labels that a text may name, for each question.
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
    """Number of the label that a written answer names, from 0; -1 where it names none.

    What counts is how the text goes on after its last "Answer:", or how it begins where there is no "Answer:". A label
    may stand in parentheses; behind it come punctuation, the end of the line or of the text, so that "A river" and
    "Apples" name no option. Case counts.
    """
    last = text.rpartition("Answer:")[2]
    named = re.match(rf"\s*\(?({'|'.join(map(re.escape, labels))})(?=[.,:;)]|[ \t]*(?:\n|$))", last)
    return list(labels).index(named[1]) if named else -1
