"""How the paper's systems were asked to translate: the prompts to the character, and the decoding.

    paper_translator("meta-llama/Llama-2-7b-hf").translate(["The dog sleeps."], "en", "de")

GPT as in the original code's Translation/translate_gpt.py; LLMs with ALMA's run_llmmt.py, which its README names, with
the defaults of that script.
"""

from collections.abc import Sequence

from common.cli import InputError
from common.languages import get
from common.lm.server import Failure, split_server
from common.progress import Progress
from common.translation.base import Translator
from common.translation.causal_lm import CausalTranslator, PromptedTranslator, ServerTranslator
from common.translation.factory import is_encoder_decoder
from common.translation.web_service import SERVICES

CHAT_TOKENS, CHAT_SAMPLING = 64, {"temperature": 0.7, "top_p": 1}
BEAMS, BEAM_TOKENS, SEED = 5, 256, 42


class PaperChatTranslator(ServerTranslator):
    """A chat model: the instruction is the system's message, the text alone the user's; sampled, without a seed."""

    def __init__(self, model: str):
        super().__init__(model, chat=True)
        self.identity = f"paper chat {model} {CHAT_SAMPLING} tokens {CHAT_TOKENS}"

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str | Failure]:
        """The whole replies, of which no line is cut off."""
        instruction = f"Translate the following {get(source).name} text to {get(target).name}:"
        messages = [{"role": "system", "content": instruction}]
        replies = self.server.ask([text.strip() for text in texts], CHAT_TOKENS, messages=messages, **CHAT_SAMPLING)
        return [reply if isinstance(reply, Failure) else reply.text for reply in replies]


class PaperBeamTranslator(PromptedTranslator):
    """A causal LM: beam search, one text at a time.

    A model whose generation config asks for sampling, as Llama's does, samples within the beams, since ALMA's script
    leaves that to the model; the seed is set before each text, so that a translation does not depend on the others.
    """

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto"):
        greedy = CausalTranslator(name, device=device, dtype=dtype)
        super().__init__(name, None)
        self.identity = f"paper {greedy.identity} beams {BEAMS} of {BEAM_TOKENS} seed {SEED}"
        self.loaded = greedy.loaded

    def answers(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The beam search's translations, cut as in `first_line`."""
        import torch

        from common.lm.generation import tokens_of

        model, tokenizer = self.loaded()
        prompts = [beam_prompt(text, source, target) for text in texts]
        found = []
        with torch.inference_mode(), Progress(len(prompts), "answers") as progress:
            for tokens in tokens_of(model, tokenizer, prompts, BEAM_TOKENS):
                prompt = torch.tensor([tokens], device=model.device)
                torch.manual_seed(SEED)
                output = model.generate(
                    prompt, attention_mask=torch.ones_like(prompt), num_beams=BEAMS, max_new_tokens=BEAM_TOKENS
                )
                said = tokenizer.decode(output[0, len(tokens) :], skip_special_tokens=True)
                found.append(first_line(said, target))
                progress.update()
        return found


def beam_prompt(text: str, source: str, target: str) -> str:
    """ALMA's prompt (utils/utils.py, get_prompt); white space around the text is kept."""
    names = get(source).name, get(target).name
    return f"Translate this from {names[0]} to {names[1]}:\n{names[0]}: {text}\n{names[1]}:"


def first_line(said: str, target: str) -> str:
    """The translation in what a model says after the prompt (ALMA's utils/utils.py, clean_outputstring).

    It is the first of the next three lines that is not empty, and ends where the model goes on to another example. If
    that comes too early, it is the first line of that example's translation.
    """
    own, *others = said.rstrip().split(f"\n{get(target).name}:")
    lines = [line.strip() for line in own.split("\n")]
    if any(lines[:2]) or len(lines) > 2:
        return next(filter(None, lines[:3]), "")
    return others[0].split("\n")[0].strip() if others else ""


def paper_translator(name: str, device: str = "auto", dtype: str = "auto") -> Translator:
    """The translator for `chat:MODEL` or a causal LM; InputError for any other."""
    model, chat = split_server(name) or (name, False)
    if chat:
        return PaperChatTranslator(model)
    if model != name:
        raise InputError(
            f"translator {name!r}: a server has no beam search for protocol paper; use chat:NAME, or a model"
        )
    if name in ("dictionary", *SERVICES) or name.startswith("command:") or is_encoder_decoder(name):
        raise InputError(f"translator {name!r}: protocol paper is for causal LMs and chat:NAME; leave it out")
    return PaperBeamTranslator(name, device=device, dtype=dtype)
