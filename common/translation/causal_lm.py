"""Translate with a causal LM, loaded or behind a server: it is asked in words, zero-shot or with examples."""

from collections.abc import Mapping, Sequence
from functools import cache

from common.cli import InputError, config_hash
from common.languages import LANGUAGES
from common.lm.server import Failure, Server
from common.prompts import INSTRUCTION, translation_prompt
from common.reporting.provenance import model_content_hash
from common.translation.base import Untranslated

MAX_NEW_TOKENS = 256
Examples = Mapping[tuple[str, str], Sequence[tuple[str, str]]]  # {(source, target): sentences and their translations}


class PromptedTranslator:
    """A causal LM; greedy, one line per answer, the translation even if it is empty. Empty texts are not asked for.

    Args:
        model: what `identity` says of the model and its decoding.
        examples: few-shot examples; other directions are zero-shot.
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


class CausalTranslator(PromptedTranslator):
    """A model that is loaded here; `device` and `dtype` are those of `common.lm.loading.load`."""

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto", examples: Examples | None = None):
        from common.lm.loading import load, pick_device  # takes seconds to import

        if device != "map":
            pick_device(device)  # refuses an unknown one, before the model is loaded
        super().__init__(f"causal {model_content_hash(name)} {dtype}", examples)
        self.loaded = cache(lambda: load(name, dtype=dtype, device=device))

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See PromptedTranslator."""
        from common.lm.generation import generate  # takes seconds to import

        return [answer.text for answer in generate(*self.loaded(), self.prompts(texts, source, target), MAX_NEW_TOKENS)]


class ServerTranslator(PromptedTranslator):
    """A model behind a server, whose address does not determine a translation and is not in `identity`.

    `chat` puts an instruction before the prompt, for instruction-tuned models.
    """

    def __init__(self, model: str, *, chat: bool = False, examples: Examples | None = None):
        self.server = Server(model, chat=chat)
        super().__init__(f"{'chat' if chat else 'completions'} {model}", examples)

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str | Failure]:
        """See PromptedTranslator."""
        prompts = self.prompts(texts, source, target)
        if self.server.chat:
            told = INSTRUCTION.format(source=LANGUAGES[source].name, target=LANGUAGES[target].name)
            prompts = [f"{told}\n\n{prompt}" for prompt in prompts]
        answers = self.server.ask(prompts, MAX_NEW_TOKENS, stop=None if self.server.chat else "\n")
        return [one if isinstance(one, Failure) else one.text.strip().split("\n")[0].strip() for one in answers]
