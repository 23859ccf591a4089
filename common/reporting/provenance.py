"""Where a result came from: code, packages, model, memory. What changes from run to run stays out of the CSV files."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.cli import InputError, config_hash
from common.reporting.files import write_json_atomic

if TYPE_CHECKING:  # takes seconds to import, and tables and plots do without it
    import torch

# Those that can change a number.
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "numpy", "pandas", "statsmodels")
# What decides what a model computes; training logs and notes that lie beside it do not count.
MODEL_FILES = ("*config.json", "*.index.json", "*.safetensors", "tokenizer*.json", "vocab.*", "merges.txt", "*.model")
MODEL_FILES += ("added_tokens.json", "special_tokens_map.json", "chat_template.jinja")
BLOCK = 1 << 20


def now() -> str:
    """The time as UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_commit() -> str | None:
    """Commit of this repository, with `-dirty` where files differ from it; None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes; InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def model_content_hash(name: str, revision: str | None = None) -> str:
    """What identifies the weights behind a model name: `folder:` or `file:` and a digest, or `hub:` and the commit.

    A folder counts by what is in it, so that a model trained anew under the same path is another model. Of files
    above 64 MB, 64 blocks spread over the file are read: other weights show in any of them. A LoRA adapter includes
    its base model. Raises InputError for a name that is neither a folder with a model nor on the hub (or its cache).
    """
    path = Path(name)
    if path.is_dir():
        files = sorted({found for pattern in MODEL_FILES for found in path.glob(pattern)})
        if not {"config.json", "adapter_config.json"} & {file.name for file in files}:
            raise InputError(f"{path}: no config.json or adapter_config.json, so this folder holds no model")
        digest = _digest(files)
        if (path / "adapter_config.json").exists():
            digest.update(model_content_hash(base_of_adapter(path)).encode())
        return f"folder:{digest.hexdigest()}"
    if path.suffix == ".gguf":
        return f"file:{_digest([path]).hexdigest()}"
    from transformers.utils import cached_file

    try:
        for filename in ("config.json", "adapter_config.json"):
            found = cached_file(name, filename, revision=revision, _raise_exceptions_for_missing_entries=False)
            if found:
                return f"hub:{Path(found).parent.name}"
    except OSError as error:
        raise InputError(f"model {name!r} cannot be found: {str(error).splitlines()[0]}") from error
    raise InputError(
        f"model {name!r} has no config.json or adapter_config.json on the hub, or the hub cannot be reached and it is"
        " not in the cache; check the name, or download it first"
    )


def _digest(files: Iterable[Path]) -> "hashlib._Hash":
    """Digest of names, sizes and 64 blocks of each file; InputError where one cannot be read."""
    digest = hashlib.sha256()
    for path in files:
        try:
            size = path.stat().st_size
            digest.update(f"{path.name}\0{size}\0".encode())
            with open(path, "rb") as file:
                for offset in range(0, size, max(BLOCK, size // 64)):
                    file.seek(offset)
                    digest.update(file.read(BLOCK))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest


def base_of_adapter(folder: Path) -> str:
    """The model that a LoRA folder was trained from; InputError where its adapter_config.json names none."""
    path = folder / "adapter_config.json"
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
        if (Path(base) / path.name).exists():
            raise InputError(f"{path}: its base {base} is an adapter too; merge that one into its model first")
        return base
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no JSON object with a base_model_name_or_path, its model ({error!r})") from error


def device_name(device: "torch.device | str") -> str:
    """`cpu` with its thread count, or the name of the GPU."""
    import torch

    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def peak_memory() -> dict[str, int]:
    """Largest memory of this process so far, in bytes: resident set, and what PyTorch allocated on each GPU in sum."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    torch = sys.modules.get("torch")  # what has not imported it has used no GPU
    gpus = range(torch.cuda.device_count()) if torch else ()
    return {"rss_bytes": resident, "cuda_bytes": sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus)}


def write_run(out: str | os.PathLike, info: Mapping[str, Any]) -> None:
    """Write `run.json` of a run folder, with a digest of its content."""
    write_json_atomic(Path(out) / "run.json", {**info, "digest": config_hash(info)})


def read_run(out: str | os.PathLike) -> dict[str, Any]:
    """`run.json` of a run folder, as it was given to `write_run`; InputError where it is missing or was changed."""
    path = Path(out) / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = found.pop("digest") == config_hash(found)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the evaluation first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(
            f"{path}: cut short, changed or of another program; if it is of this one, delete it and run what wrote it"
            " again, which keeps finished work"
        )
    return found


def begun() -> dict[str, Any]:
    """What `run.json` says of work that begins now: times, `end` null until it has ended, code and packages."""
    packages = {name: version(name) for name in PACKAGES}
    return {"start": now(), "end": None, "git_commit": git_commit(), "packages": packages}


def session(start: str) -> dict[str, Any]:
    """What `run.json` says of work that began at `start` (of `now`) and ends now, with memory."""
    return begun() | {"start": start, "end": now()} | peak_memory()
