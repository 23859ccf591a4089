"""Make the translator that a configuration names; every script gets its translator here."""

from common.cli import InputError
from common.lm.gguf import unpacked
from common.lm.server import split_server
from common.translation.base import Translator
from common.translation.cache import CachedTranslator
from common.translation.causal_lm import CausalTranslator, Examples, ServerTranslator
from common.translation.command import CommandTranslator
from common.translation.dictionary import DictionaryTranslator
from common.translation.web_service import SERVICES, WebServiceTranslator


def make_translator(
    name: str,
    *,
    dictionary: str | None = None,
    cache_file: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    examples: Examples | None = None,
) -> Translator:
    """The translator called `name`.

    Args:
        name: `dictionary`, `google`, `deepl`, `libre`; a model by hub name or folder, encoder-decoder or causal;
            `endpoint:MODEL`, `chat:MODEL` for a causal LM behind an OpenAI-compatible server; or `command:PROGRAM`.
        cache_file: SQLite file for the translations of models and services; None for no cache.
        examples: few-shot examples of a causal LM, {(source, target): sentences and their translations}.

    Raises InputError for a dictionary without its folder and for a model that cannot be loaded.
    """
    if device not in ("auto", "cpu", "cuda", "map"):
        from common.lm.loading import pick_device  # takes seconds to import

        pick_device(device)
    if name == "dictionary":
        if not dictionary:
            raise InputError("translator dictionary: name with --dictionary the folder of en-de.tsv and so on")
        return DictionaryTranslator(dictionary)
    if server := split_server(name):
        translator = ServerTranslator(server[0], chat=server[1], examples=examples)
    elif name.startswith("command:"):
        translator = CommandTranslator(name.removeprefix("command:"))
    elif name in SERVICES:
        translator = WebServiceTranslator(name)
    elif is_encoder_decoder(name):
        from common.translation.encoder_decoder import EncoderDecoderTranslator  # takes seconds to import

        translator = EncoderDecoderTranslator(name, device=device, dtype=dtype)
    else:
        translator = CausalTranslator(name, device=device, dtype=dtype, examples=examples)
    return CachedTranslator(translator, cache_file) if cache_file else translator


def is_encoder_decoder(name: str) -> bool:
    """Whether a model, or an adapter's base, is one; `{source}` in a name stands for one model a pair, as Marian's."""
    if "{" in name:
        return True
    from common.lm.loading import without_weights  # takes seconds to import

    return without_weights(unpacked(name), None)[1].is_encoder_decoder
