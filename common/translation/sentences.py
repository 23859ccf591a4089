"""Split text into sentences by language, keeping every character."""

import re

import sentencex

# WikiText writes "3 @.@ 5", where the splitter would end a sentence. The replacement has the same length.
_JOINER = re.compile(r"@([.,-])@")


def sentence_spans(text: str, language: str) -> list[tuple[int, int]]:
    """Start and end of each sentence in characters; the spans cover the text, white space included.

    White space belongs to the sentence before it. `language` is an ISO 639-1 code. Sentences end at line ends.
    """
    spans, start = [], 0
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
