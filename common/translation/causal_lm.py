"""Translate with a causal LM, prompted zero-shot or with few-shot examples."""

from collections.abc import Sequence

from common.lm.generation import Answer, generate
from common.lm.loading import load, pick_device
from common.prompts import translation_prompt
from common.reporting.provenance import model_content_hash
from common.translation.base import MAX_NEW_TOKENS, Examples, asked_rows, examples_hash


class CausalTranslator:
    """A causal LM, zero-shot or with few-shot examples; greedy, one line per answer.

    The answer is the translation, even if it is empty. Empty texts are not sent to the model; a text of several lines
    is an InputError.

    Args:
        name, device, dtype: as in common.lm.loading.load.
        examples: {(source, target): sentences and their translations}; other directions are zero-shot.
        max_new_tokens: longest translation, in tokens.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        examples: Examples | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ):
        self.name, self.device, self.dtype = name, device, dtype
        if device != "map":
            pick_device(device)  # refuses an unknown one, before the model is loaded
        self.examples, self.max_new_tokens = dict(examples or {}), max_new_tokens
        shown = examples_hash(self.examples)
        self.identity = f"causal {model_content_hash(name)} {dtype} examples {shown} tokens {max_new_tokens}"
        self._loaded = None

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        return [answer.text for answer in self.answers(texts, source, target)]

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """The translations, each with whether it was complete within max_new_tokens."""
        asked = asked_rows(texts)
        if self._loaded is None:
            self._loaded = load(self.name, device=self.device, dtype=self.dtype)
        examples = self.examples.get((source, target), ())
        prompts = [translation_prompt(texts[row].strip(), source, target, examples) for row in asked]
        found = dict(zip(asked, generate(*self._loaded, prompts, self.max_new_tokens), strict=True))
        return [found.get(row, Answer("", True, 0)) for row in range(len(texts))]
