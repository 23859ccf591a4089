"""Models as GGUF files, such as those of llama.cpp: dequantized once into a folder that every script loads."""

import importlib.util
import logging
import os
import shutil
from pathlib import Path

from common.cli import InputError
from common.reporting.provenance import model_content_hash

logger = logging.getLogger(__name__)


def unpacked(name: str) -> str:
    """The folder of a GGUF file's weights in bfloat16, its config and tokenizer; any other model's name as it is.

    The folder is in the cache of Hugging Face (HF_HOME), under the digest of the file. Making it takes about a minute a
    billion weights, and 2 bytes of disk and 3 of memory a weight. Raises InputError for a file that cannot be read.
    """
    if not name.endswith(".gguf"):
        return name
    from huggingface_hub.constants import HF_HOME

    file = Path(name)
    folder = Path(HF_HOME) / "gguf" / f"{file.stem}-{model_content_hash(name)[5:17]}"  # after `file:`
    if not folder.exists():
        if importlib.util.find_spec("gguf") is None:
            raise InputError(f"{file}: a GGUF file needs one more package: bash install.sh --gguf")
        logger.warning("%s: written once in bfloat16 to %s", file, folder)
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        try:
            _unpack(file, temporary)
            if not folder.exists():  # another process may have been faster
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return str(folder)


def _unpack(file: Path, folder: Path) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    dense = GgufConfig(gguf_file=file.name, dequantize=True)
    try:
        has_head = any(tensor.name == "output.weight" for tensor in GGUFReader(file).tensors)
        tokenizer = AutoTokenizer.from_pretrained(**place)
        model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16, quantization_config=dense)
    except Exception as error:  # a damaged file raises what its bytes happen to lead to
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: cannot be read as a GGUF file of a causal LM: {reason}") from error
    if not has_head:  # the output layer is the embedding, which transformers does not see from the file
        model.config.tie_word_embeddings = True
        model.tie_weights()
    model.hf_quantizer, model.is_quantized = None, False
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
