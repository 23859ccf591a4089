"""The translator that a configuration names: the one place where every task gets its translator.

translator = make_translator("dictionary", dictionary="DIR")
translator.translate(["The dog sleeps."], "en", "de")
"""

from collections.abc import Mapping, Sequence

from transformers import AutoConfig

from common.cli import InputError
from common.lm.server import split_server
from common.translation.base import Translator
from common.translation.cache import CachedTranslator
from common.translation.causal_lm import CausalTranslator
from common.translation.dictionary import DictionaryTranslator
from common.translation.encoder_decoder import EncoderDecoderTranslator
from common.translation.server import ServerTranslator
from common.translation.web_service import SERVICES, WebServiceTranslator


def make_translator(
    name: str,
    *,
    dictionary: str | None = None,
    cache_file: str | None = None,
    device: str = "auto",
    examples: Mapping[tuple[str, str], Sequence[tuple[str, str]]] | None = None,
) -> Translator:
    """The translator that a configuration names.

    Args:
        name: `dictionary`, `google`, `deepl`, `libre`; a model by hub name or folder, encoder-decoder or causal; or
            `endpoint:MODEL`, `chat:MODEL` for a causal model behind an OpenAI-compatible server.
        dictionary: folder of the dictionary's files.
        cache_file: SQLite file in which models and services keep their translations; None keeps none.
        device: of a model: auto, cpu, cuda, cuda:N.
        examples: {(source, target): sentences and their translations} that a causal LM is shown.
    """
    if name == "dictionary":
        if not dictionary:
            raise InputError("translator dictionary: say with --dictionary in which folder en-de.tsv and so on are")
        return DictionaryTranslator(dictionary)
    slow: Translator
    if server := split_server(name):
        slow = ServerTranslator(server[0], chat=server[1], examples=examples)
    elif name in SERVICES:
        slow = WebServiceTranslator(name)
    elif is_encoder_decoder(name):
        slow = EncoderDecoderTranslator(name, device=device)
    else:
        slow = CausalTranslator(name, device=device, examples=examples)
    return CachedTranslator(slow, cache_file) if cache_file else slow


def is_encoder_decoder(name: str) -> bool:
    """Whether a model's configuration says so; `{source}` in a name stands for models of one pair, as Marian's are."""
    if "{" in name:
        return True
    try:
        return AutoConfig.from_pretrained(name).is_encoder_decoder
    except (OSError, ValueError) as error:
        raise InputError(f"translator {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
