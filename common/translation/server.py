"""Translate with a model behind an OpenAI-compatible server."""

from collections.abc import Sequence

from common.lm.server import Failure, Server
from common.prompts import translation_instruction, translation_prompt
from common.translation.base import MAX_NEW_TOKENS, Examples, Untranslated, asked_rows, examples_hash


class ServerTranslator:
    """A causal LM behind a server, zero-shot or with few-shot examples; greedy, one line per answer.

    `chat` puts an instruction before the prompt, for instruction-tuned models. The address of the server does not
    determine a translation, so it is not in `identity`.
    """

    def __init__(self, model: str, *, chat: bool = False, examples: Examples | None = None):
        self.server, self.examples = Server(model, chat=chat), dict(examples or {})
        kind = "chat" if chat else "completions"
        self.identity = f"{kind} {model} examples {examples_hash(self.examples)} tokens {MAX_NEW_TOKENS}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Raises Untranslated, with all other translations, where requests failed."""
        asked = asked_rows(texts)
        prompts = [
            translation_prompt(texts[row].strip(), source, target, self.examples.get((source, target), ()))
            for row in asked
        ]
        if self.server.chat:
            prompts = [f"{translation_instruction(source, target)}\n\n{prompt}" for prompt in prompts]
        answers = self.server.ask(prompts, MAX_NEW_TOKENS, stop=None if self.server.chat else "\n")
        done: list[str | None] = [""] * len(texts)
        reasons = {}
        for row, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Failure):
                done[row], reasons[row] = None, answer.reason
            else:
                done[row] = answer.text.strip().split("\n")[0].strip()
        if reasons:
            raise Untranslated(done, reasons)
        return done
