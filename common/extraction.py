"""Which option a written answer names; an answer that names none is counted as such, never as an option.

extract_label("Question: ...\\nAnswer: B", ("A", "B", "C", "D"))  # 1
"""

import re
from collections.abc import Sequence


def extract_label(text: str, labels: Sequence[str]) -> int | None:
    """Number of the label that the answer names, from 0; None where it names none.

    The label after the last "Answer:" counts; without one, a label that the text begins with. A label may stand in
    parentheses, and no letter or digit may follow it: "A.", "(A)" and "A" name A, "Apples" does not. Case counts.
    """
    label = rf"\s*\(?({'|'.join(map(re.escape, labels))})(?!\w)"
    named = re.findall(rf"Answer:{label}", text)
    if named:
        return list(labels).index(named[-1])
    first = re.match(label, text)
    return list(labels).index(first[1]) if first and "Answer:" not in text else None
