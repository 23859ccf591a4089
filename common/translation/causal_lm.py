"""Translate with a causal LM that is shown what to do in its prompt; `common.translation.factory` names them."""

from collections.abc import Mapping, Sequence

from common.cli import InputError, config_hash
from common.lm.generation import Answer, generate
from common.lm.loading import load
from common.prompts import translation_prompt
from common.reporting.provenance import model_content_hash

MAX_NEW_TOKENS = 256

Pairs = Sequence[tuple[str, str]]  # sentences and their translations


def examples_hash(examples: Mapping[tuple[str, str], Pairs]) -> str:
    """The same for the same examples of each direction."""
    return config_hash({f"{a}-{b}": [list(pair) for pair in pairs] for (a, b), pairs in examples.items()})


def asked_rows(texts: Sequence[str]) -> list[int]:
    """The rows that are not empty; InputError for a text of several lines."""
    several = next((row for row, text in enumerate(texts) if "\n" in text.strip()), None)
    if several is not None:
        raise InputError(f"row {several}: a causal LM translates one line at a time, not {texts[several][:60]!r}")
    return [row for row, text in enumerate(texts) if text.strip()]


class CausalTranslator:
    """A causal LM, zero-shot or with examples of each direction, greedy, one line an answer.

    Args:
        name, device, dtype: as in common.lm.loading.load.
        examples: {(source, target): sentences and their translations}; directions that it lacks are zero-shot.

    What the model answers is its translation, even where that is nothing; it is not asked about an empty text, and a
    text of several lines is refused.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        examples: Mapping[tuple[str, str], Pairs] | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ):
        self.name, self.device, self.dtype = name, device, dtype
        self.examples, self.max_new_tokens = dict(examples or {}), max_new_tokens
        shown = examples_hash(self.examples)
        self.identity = f"causal {model_content_hash(name)} {dtype} examples {shown} tokens {max_new_tokens}"
        self._loaded = None

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See common.translation.factory.Translator."""
        return [answer.text for answer in self.answers(texts, source, target)]

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """The translations, each with whether it came to an end."""
        asked = asked_rows(texts)
        if self._loaded is None:
            self._loaded = load(self.name, device=self.device, dtype=self.dtype)
        examples = self.examples.get((source, target), ())
        prompts = [translation_prompt(texts[row].strip(), source, target, examples) for row in asked]
        found = dict(zip(asked, generate(*self._loaded, prompts, self.max_new_tokens), strict=True))
        return [found.get(row, Answer("", True, 0)) for row in range(len(texts))]
