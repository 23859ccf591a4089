"""Translate with a causal LM, prompted zero-shot or with few-shot examples."""

from collections.abc import Sequence
from functools import cache

from common.lm.generation import generate
from common.lm.loading import load, pick_device
from common.reporting.provenance import model_content_hash
from common.translation.base import MAX_NEW_TOKENS, Examples, PromptedTranslator


class CausalTranslator(PromptedTranslator):
    """A causal LM, zero-shot or with few-shot examples; greedy, one line per answer. `device` is that of `load`."""

    def __init__(self, name: str, *, device: str = "auto", examples: Examples | None = None):
        if device != "map":
            pick_device(device)  # refuses an unknown one, before the model is loaded
        super().__init__(f"causal {model_content_hash(name)} auto", examples)
        self.loaded = cache(lambda: load(name, device=device))

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See PromptedTranslator."""
        return [answer.text for answer in generate(*self.loaded(), self.prompts(texts, source, target), MAX_NEW_TOKENS)]
