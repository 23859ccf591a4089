"""The interface of all translators.

A failed translation is an InputError that names the text's row; the source text never replaces a missing translation.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from common.cli import InputError, config_hash
from common.lm.server import Failure
from common.prompts import translation_prompt

MAX_NEW_TOKENS = 256  # longest translation by a causal LM
Examples = Mapping[tuple[str, str], Sequence[tuple[str, str]]]  # {(source, target): sentences and their translations}


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


class PromptedTranslator:
    """A causal LM that is asked for each text in words, zero-shot or with few-shot examples.

    The answer is the translation, even if it is empty. Empty texts are not asked for.

    Args:
        model: what `identity` says of the model and its decoding.
        examples: {(source, target): sentences and their translations}; other directions are zero-shot.
    """

    def __init__(self, model: str, examples: Examples | None):
        self.examples = dict(examples or {})
        shown = config_hash({f"{a}-{b}": [list(pair) for pair in pairs] for (a, b), pairs in self.examples.items()})
        self.identity = f"{model} examples {shown} tokens {MAX_NEW_TOKENS}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Raises InputError for a text of several lines, Untranslated where requests failed."""
        several = next((row for row, text in enumerate(texts) if "\n" in text.strip()), None)
        if several is not None:
            raise InputError(f"row {several}: a causal LM translates one line at a time, not {texts[several][:60]!r}")
        rows = [row for row, text in enumerate(texts) if text.strip()]
        said = dict(zip(rows, self.answers([texts[row] for row in rows], source, target), strict=True))
        reasons = {row: answer.reason for row, answer in said.items() if isinstance(answer, Failure)}
        done = [None if row in reasons else said.get(row, "") for row in range(len(texts))]
        if reasons:
            raise Untranslated(done, reasons)
        return done

    def answers(self, texts: Sequence[str], source: str, target: str) -> Sequence[str | Failure]:
        """The translations of texts of one line each."""
        raise NotImplementedError

    def prompts(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The prompt that asks for each text, after the examples."""
        examples = self.examples.get((source, target), ())
        return [translation_prompt(text.strip(), source, target, examples) for text in texts]
