"""What a script would do to a model, said instead of done: `PLAN=1 bash MMLU/scripts/zero_shot.sh MODEL`."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

MARK = "plan: "  # in front of the JSON line
BYTES_A_TOKEN = 3  # of what is written, about


@dataclass(frozen=True)
class Work:
    """What a model has not done yet.

    Attributes:
        items: questions, sentences or passages, each counted in every language or setting.
        read: bytes of text that the model reads; what several texts begin with counts once.
        written: tokens that the model writes, as far as can be foreseen.
        sample: some of the text.
    """

    items: int
    read: int
    written: int = 0
    sample: str = ""

    @classmethod
    def of(cls, texts: Sequence[str], *, translated: bool = False) -> "Work":
        """The work of reading texts that have nothing in common, and of writing as much if they are translated."""
        size = sum(len(text.encode()) for text in texts)
        return cls(len(texts), size, size // BYTES_A_TOKEN if translated else 0, " ".join(texts[:20]))


class Planned(Exception):
    """The plan has been printed, and the script may end."""


def planning() -> bool:
    """Whether only the plan is asked for."""
    return bool(os.environ.get("PLAN"))


def say_plan(work: Work) -> NoReturn:
    """Print the work as one line of JSON, and end the script."""
    print(MARK + json.dumps(asdict(work), ensure_ascii=False))
    raise Planned
