"""What every run of a loaded model shares: its keys, its processes, and work by units, which survives a kill."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.config import config_hash
from common.errors import InputError
from common.files import remove_temporary_files, write_csv_atomic, write_json_atomic
from common.models import load
from common.provenance import device_name, git_commit, model_fingerprint, now, package_versions, peak_memory
from common.records import read_run
from common.units import SHARD_SIZE, Group, UnitStore


@dataclass(kw_only=True)
class ModelRun:
    """Run a causal LM.

    Attributes:
        model: hub name or folder of a causal LM or of a LoRA adapter.
        out: folder for what is written.
        dtype: auto (as stored), float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, or map to spread the layers over all GPUs.
        revision: branch, tag or commit on the hub.
        attention: attention implementation, used where no prefix tree is computed.
        token_budget: most tokens in one forward pass; null is the scorer's default for the device.
    """

    model: str
    out: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    revision: str | None = None
    attention: str = "sdpa"
    token_budget: int | None = None

    def __post_init__(self) -> None:
        self.require_positive("token_budget")

    def require_positive(self, *keys: str) -> None:
        """InputError for a key that is a number below 1."""
        for key in keys:
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise InputError(f"{key} is {getattr(self, key)}; it must be 1 or more, or null")

    def processes(self) -> PartialState:
        """The processes that share the work; InputError where they would all take one device."""
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        # A process that has done its share may wait for hours; the default timeout would end the whole run.
        state = PartialState(cpu=on_cpu, timeout=timedelta(days=7))
        if state.num_processes > 1 and self.device not in ("auto", "cpu"):
            raise InputError(f"device {self.device!r} with {state.num_processes} processes: use auto, or one process")
        return state

    def load_model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Model and tokenizer, on this process's own device where several share the work."""
        state = self.processes()
        # "cpu:0" is not "cpu": it would copy the weights to other addresses, which changes the last bits of products.
        several_gpus = state.num_processes > 1 and state.device.type != "cpu"
        device = str(state.device) if several_gpus else self.device
        return load(self.model, dtype=self.dtype, device=device, revision=self.revision, attention=self.attention)

    def fingerprint(self) -> str:
        """What identifies the model."""
        return model_fingerprint(self.model, self.revision)


Compute = Callable[[Sequence[Any], PreTrainedModel, PreTrainedTokenizerBase], pd.DataFrame]


def by_units(
    config: ModelRun, out: Path, keys: Sequence[str], parallel: Mapping[str, Sequence[Any]], compute: Compute
) -> dict[str, pd.DataFrame]:
    """A table of each language, one row a question, computed unit by unit; all cells as the text that is written.

    A unit is one language and at most 100 questions; several processes share the units. Writes `<out>/<language>.csv`
    and `<out>/run.json`.

    Args:
        keys: of the configuration, that decide what is computed besides the model and the questions.
        parallel: questions by language, dataclasses with an `id`, as many in each language.
        compute: makes the rows of some questions; its InputError is given the language and the questions.

    Raises InputError where `out` has the tables of another configuration.
    """
    depends = {key: getattr(config, key) for key in keys} | {"model": config.fingerprint()}
    hashes = {code: config_hash(depends | {"rows": [asdict(row) for row in rows]}) for code, rows in parallel.items()}
    info = read_run(out) if (out / "run.json").exists() else {"hash": config_hash(depends), "languages": {}}
    other = [code for code, old in info["languages"].items() if hashes.get(code, old) != old]
    if info["hash"] != config_hash(depends) or other:
        raise InputError(f"{out}: answers of another configuration or data; use another --out or delete the folder")
    store = UnitStore(out / "units", hashes)
    groups = [Group("questions", shard) for shard in range(-(-len(next(iter(parallel.values()))) // SHARD_SIZE))]
    state = config.processes()
    if state.is_main_process:
        remove_temporary_files(out)
    pending = [(group, code) for group, codes in store.pending(groups).items() for code in codes]
    state.wait_for_everyone()  # all must have seen the same pending units before one of them is finished
    if pending:
        session = {"start": now(), "git_commit": git_commit(), "packages": package_versions()}
        model, tokenizer = config.load_model()
        session |= {"device": device_name(model.device), "processes": state.num_processes}
        mine = pending[state.process_index :: state.num_processes]
        for group, code in tqdm(mine, unit="unit", disable=not state.is_main_process):
            rows = parallel[code][group.shard * SHARD_SIZE : (group.shard + 1) * SHARD_SIZE]
            try:
                table = compute(rows, model, tokenizer)
            except InputError as error:
                raise InputError(f"{code}, questions {rows[0].id} to {rows[-1].id}: {error}") from error
            store.write(group, table.assign(setting=code))
        state.wait_for_everyone()
        info["sessions"] = [*info.get("sessions", []), session | {"end": now(), **peak_memory()}]
    tables = {code: table.drop(columns="setting") for code, table in store.read(groups).items()}
    if state.is_main_process:
        for code, table in tables.items():
            write_csv_atomic(out / f"{code}.csv", table)
        info |= {"config": asdict(config), "languages": info["languages"] | hashes}
        write_json_atomic(out / "run.json", info)
    return tables
