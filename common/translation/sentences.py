"""Split text into sentences, by language, without losing a character.

spans = sentence_spans("One. Two.", "en")  # [(0, 5), (5, 9)]
"""

import re

import sentencex

# WikiText writes "3 @.@ 5"; the splitter would end a sentence there. Same length, so that offsets stay.
_JOINER = re.compile(r"@([.,-])@")


def sentence_spans(text: str, language: str) -> list[tuple[int, int]]:
    """Start and end of each sentence in characters; the spans cover the text, white space goes with what is before.

    `language` is an ISO 639-1 code. Sentences never cross the end of a line.
    """
    spans = []
    start = 0
    for line in text.splitlines(keepends=True):
        for sentence in sentencex.segment(language, _JOINER.sub("@_@", line)):
            end = start + len(sentence)
            if spans and not sentence.strip():
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
            start = end
    if start != len(text):
        raise RuntimeError(f"the sentence splitter lost characters of {text[:80]!r}")
    return spans
