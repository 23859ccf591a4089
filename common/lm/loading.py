"""Load a causal LM and its tokenizer by hub name, local folder, LoRA folder or GGUF file."""

import json
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from common.cli import InputError, require_positive
from common.lm.gguf import unpacked
from common.lm.memory import keep_freed_memory
from common.lm.precision import cpu_multiplies, keeps_weights, multiply_in_float32
from common.lm.server import split_server
from common.reporting.files import write_json_atomic
from common.reporting.provenance import base_of_adapter, model_content_hash

DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(kw_only=True)
class ModelConfig:
    """The model, and how it is run.

    Attributes:
        model: hub name or folder of a causal LM or of a LoRA adapter, or a GGUF file; where only labels or written
            answers are needed, also endpoint:NAME or chat:NAME on a server.
        dtype: auto (as its configuration says; on a CPU without instructions for that, float32), float32, bfloat16 or
            float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
        revision: branch, tag or commit on the hub.
        attention: attention implementation, used where no prefix tree is computed.
        token_budget: most tokens in one forward pass; null is the scorer's default for the device.
    """

    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    revision: str | None = None
    attention: str = "sdpa"
    token_budget: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "token_budget")
        if self.revision and Path(self.model).exists():
            raise InputError(f"revision {self.revision!r}: {self.model} is on disk and has no revisions; leave it out")

    def processes(self) -> PartialState:
        """The processes that share the work; InputError where they would all use one device."""
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        # A process that has finished may wait for hours; the default timeout would end the run.
        state = PartialState(cpu=on_cpu, timeout=timedelta(days=7))
        if state.num_processes > 1 and self.device not in ("auto", "cpu"):
            raise InputError(f"device {self.device!r} with {state.num_processes} processes: use auto, or one process")
        return state

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Model and tokenizer, on this process's own device where several share the work."""
        state = self.processes()
        # Not "cpu:0" for "cpu": that copies the weights to other addresses, which changes the last bits of products.
        several_gpus = state.num_processes > 1 and state.device.type != "cpu"
        device = str(state.device) if several_gpus else self.device
        return load(self.model, dtype=self.dtype, device=device, revision=self.revision, attention=self.attention)

    def content_hash(self) -> str:
        """What identifies the weights; a model behind a server is identified by its name alone."""
        return self.model if split_server(self.model) else model_content_hash(self.model, self.revision)


def load(
    name: str, *, dtype: str = "auto", device: str = "auto", revision: str | None = None, attention: str = "sdpa"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer in evaluation mode; the keys are those of ModelConfig.

    An adapter is merged into its base model. For float32 on a CPU the weights stay as stored (precision.py).
    Raises InputError where the folder or name cannot be loaded, or a key has an unknown value.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    place = {"device_map": "auto"} if device == "map" else {}
    target = None if place else pick_device(device)
    name = unpacked(name)
    base, config, tokenizer = without_weights(name, revision)
    adapter = base != name
    try:
        wanted = DTYPES[dtype]
        if on_cpu := target == torch.device("cpu"):
            keep_freed_memory()
        if on_cpu and wanted == "auto" and not cpu_multiplies(config.dtype):
            wanted = torch.float32
        widen = on_cpu and wanted == torch.float32 and not adapter and keeps_weights(config)
        if widen:
            config.dtype = None  # so that `auto` means the precision of the stored weights
        keys = {"config": config, "dtype": "auto" if widen else wanted, "attn_implementation": attention}
        model = whole_model(AutoModelForCausalLM, base, **keys, **place, revision=None if adapter else revision)
        with bad_model(name):
            if adapter:
                from peft import PeftModel  # slow to import

                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "Found missing adapter keys")
                    model = PeftModel.from_pretrained(model, name, revision=revision).merge_and_unload()
            if widen and model.dtype != torch.float32:
                multiply_in_float32(model)
            if target is not None:
                model = model.to(target)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"model {name!r} does not fit on {target or 'the GPUs'}; use --device map, or a smaller dtype"
        ) from error
    return model.eval(), tokenizer


def without_weights(name: str, revision: str | None) -> tuple[str, Any, PreTrainedTokenizerBase]:
    """The model itself or the base model of an adapter, its config, and the tokenizer."""
    adapter = _adapter_config(name, revision)
    base = adapter.base_model_name_or_path if adapter else name
    with bad_model(name):
        config = AutoConfig.from_pretrained(base, revision=None if adapter else revision)
    return base, config, _tokenizer_of(name, base, revision)


def whole_model(family: type, name: str, **keys: Any) -> PreTrainedModel:
    """`family.from_pretrained`; InputError where the checkpoint lacks weights, which would be random ones."""
    if Path(name).exists():
        disable_progress_bar()  # those of a download are welcome
    with bad_model(name):
        if keys.get("attn_implementation") == "sdpa":
            del keys["attn_implementation"]  # transformers' choice; eager where there is none, as for BLOOM
        model, found = family.from_pretrained(name, use_safetensors=True, output_loading_info=True, **keys)
    lacking = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if lacking:
        raise InputError(f"model {name!r}: config.json asks for {_some(lacking)}, which the weights lack; repair it")
    if more := found["unexpected_keys"]:
        print(f"note: {name} has weights that its model does not use: {_some(more)}", file=sys.stderr)
    return model


@contextmanager
def bad_model(name: str) -> Iterator[None]:
    """Whatever the libraries raise on reading a model's files, but for want of memory, is an InputError."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        cause = "no safetensors (see refs/pr/N)" if "named model.safetensors" in reason else "its files may be damaged"
        raise InputError(f"model {name!r} cannot be loaded, {cause}: {reason:.300}") from error


def _some(names: Collection[str]) -> str:
    return f"{sorted(names)[0]} and {len(names) - 1} others" if len(names) > 1 else next(iter(names))


def set_dtype(folder: str | Path, dtype: torch.dtype) -> None:
    """Write a saved model's precision, with `dtype: auto`, into its config.json; the stored weights are unchanged."""
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json_atomic(path, config | {"dtype": str(dtype).removeprefix("torch.")})


def load_tokenizer(name: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a hub name, folder or GGUF file."""
    with bad_model(name):
        return AutoTokenizer.from_pretrained(unpacked(name), revision=revision)


def _adapter_config(name: str, revision: str | None) -> Any:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "adapter_config.json").exists():
            return None
        base_of_adapter(folder)
        if not (folder / "adapter_model.safetensors").is_file():
            raise InputError(f"{folder}: no adapter_model.safetensors; other weights of adapters are not read")
    from peft import PeftConfig

    with bad_model(name):
        try:
            return PeftConfig.from_pretrained(name, revision=revision)
        except ValueError:  # peft's error for a name without an adapter config
            if folder.is_dir():
                raise
            return None


def _tokenizer_of(name: str, base: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of the model; for an adapter without one, that of its base model."""
    if name == base:
        return load_tokenizer(name, revision=revision)
    if Path(name).is_dir() and not (Path(name) / "tokenizer_config.json").exists():
        return load_tokenizer(base)
    try:
        return load_tokenizer(name, revision=revision)
    except InputError:
        return load_tokenizer(base)


def pick_device(device: str) -> torch.device:
    """The device of this name; `auto` is a GPU if there is one. InputError for an unknown name."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r} is not known; use auto, cpu, cuda, cuda:N or map") from error
    if found.type == "meta":
        raise InputError("device 'meta' holds no weights; use auto, cpu, cuda, cuda:N or map")
    return found
