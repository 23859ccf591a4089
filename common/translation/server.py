"""Translate with a model behind an OpenAI-compatible server; `common.translation.factory` names them."""

from collections.abc import Mapping, Sequence

from common.lm.server import Failure, Server
from common.prompts import translation_instruction, translation_prompt
from common.translation.base import Untranslated
from common.translation.causal_lm import MAX_NEW_TOKENS, Pairs, asked_rows, examples_hash


class ServerTranslator:
    """A causal LM behind a server, zero-shot or with examples of each direction, greedy, one line an answer.

    `chat` puts an instruction before the prompt, for instruction-tuned models. Where the server is does not matter to
    a translation, so it is not in `identity`.
    """

    def __init__(self, model: str, *, chat: bool = False, examples: Mapping[tuple[str, str], Pairs] | None = None):
        self.endpoint, self.examples = Server(model, chat=chat), dict(examples or {})
        kind = "chat" if chat else "completions"
        self.identity = f"{kind} {model} examples {examples_hash(self.examples)} tokens {MAX_NEW_TOKENS}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Sentences without an answer are in the Untranslated that it raises, the others with them."""
        asked = asked_rows(texts)
        prompts = [
            translation_prompt(texts[row].strip(), source, target, self.examples.get((source, target), ()))
            for row in asked
        ]
        if self.endpoint.chat:
            prompts = [f"{translation_instruction(source, target)}\n\n{prompt}" for prompt in prompts]
        answers = self.endpoint.ask(prompts, MAX_NEW_TOKENS, stop=None if self.endpoint.chat else "\n")
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
