"""Translate with a model behind an OpenAI-compatible server."""

from collections.abc import Sequence

from common.lm.server import Failure, Server
from common.prompts import translation_instruction
from common.translation.base import MAX_NEW_TOKENS, Examples, PromptedTranslator


class ServerTranslator(PromptedTranslator):
    """A causal LM behind a server, zero-shot or with few-shot examples; greedy, one line per answer.

    `chat` puts an instruction before the prompt, for instruction-tuned models. The address of the server does not
    determine a translation, so it is not in `identity`.
    """

    def __init__(self, model: str, *, chat: bool = False, examples: Examples | None = None):
        self.server = Server(model, chat=chat)
        super().__init__(f"{'chat' if chat else 'completions'} {model}", examples)

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str | Failure]:
        """See PromptedTranslator."""
        prompts = self.prompts(texts, source, target)
        if self.server.chat:
            prompts = [f"{translation_instruction(source, target)}\n\n{prompt}" for prompt in prompts]
        answers = self.server.ask(prompts, MAX_NEW_TOKENS, stop=None if self.server.chat else "\n")
        return [
            answer if isinstance(answer, Failure) else answer.text.strip().split("\n")[0].strip() for answer in answers
        ]
