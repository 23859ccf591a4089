"""The interface of all translators.

A failed translation is an InputError that names the text's row; the source text never replaces a missing translation.
"""

from collections.abc import Sequence
from typing import Protocol

from common.cli import InputError


class Translator(Protocol):
    """Translates texts. `identity` names everything that determines a translation; it is the cache's key."""

    identity: str

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The translations of `texts`, in their order; `source` and `target` are ISO 639-1 codes.

        Raises InputError naming the row (from 0) of a text that cannot be translated.
        """
        ...


class Untranslated(InputError):
    """Some texts could not be translated: `done` has None in their places, `reasons` has the reason by row."""

    def __init__(self, done: list[str | None], reasons: dict[int, str]):
        row, reason = next(iter(reasons.items()))
        super().__init__(f"row {row}: {reason} ({len(reasons)} of {len(done)} texts failed)")
        self.done, self.reasons = done, reasons


def respace(source: str, translated: str) -> str:
    """The translation with the white space around the source text."""
    before, after = source[: len(source) - len(source.lstrip())], source[len(source.rstrip()) :]
    return f"{before}{translated}{after}"
