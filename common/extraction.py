"""Which option a written answer names; an answer that names none is counted as such, never as an option.

extract_label("Question: ...\\nAnswer: B", ("A", "B", "C", "D"))  # 1
"""

import re
from collections.abc import Sequence


def extract_label(text: str, labels: Sequence[str]) -> int | None:
    """Number of the label that the answer names, from 0; None where it names none.

    What counts is how the text goes on after its last "Answer:", or how it begins where there is no "Answer:". A label
    may stand in parentheses; behind it come punctuation, the end of the line or of the text, so that "A river" and
    "Apples" name no option. Case counts.
    """
    last = text.rpartition("Answer:")[2]
    named = re.match(rf"\s*\(?({'|'.join(map(re.escape, labels))})(?=[.,:;)]|[ \t]*(?:\n|$))", last)
    return list(labels).index(named[1]) if named else None
