"""What the benchmarks measure with: seconds by part, peak memory, the rate of matrix products alone, kept tables."""

import ctypes
import platform
import resource
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AttentionInterface, PreTrainedModel

from common.cli import InputError
from common.lm import loglikelihood
from common.lm.precision import compute_dtype
from common.lm.tree_attention import TreeBatch, tree_attention
from common.reporting.files import read_csv, write_csv_atomic, write_json_atomic
from common.reporting.provenance import device_name, git_commit, now
from common.reporting.results import ENDING

GEMM_PASSES = 4  # forward passes whose products are computed again alone
CHUNK_BYTES = 2**29  # weights converted before products are timed: more than a cache holds
COUNTED = 0.95  # of the weights in matrices, where the rate of products says something of the model
PARTS = ("tokenizing", "planning", "linear", "attention", "other_forward", "head", "rest")


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine(device: torch.device | str) -> str:
    """The GPU, or the processor with its threads and its instructions for matrix products."""
    name = device_name(device)
    if torch.device(device).type != "cpu":
        return name
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    found = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    flags = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in found.get("flags", "").split()]
    return f"{found.get('model name', platform.machine())}, {name.removeprefix('cpu, ')}, {flags[0] if flags else ''}"


@contextmanager
def peak_memory(device: torch.device | str) -> Iterator[Callable[[], float]]:
    """Yields a function that says the largest memory inside the block so far, MiB: of a GPU what is allocated.

    On a CPU the resident memory, of which Linux forgets the peak so far; elsewhere that of the process until now.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / 2**20
        return
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what another side has freed
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not forget.exists():
        yield lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return
    forget.write_text("5")
    yield lambda: int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


def timed(call: Callable, device: torch.device) -> tuple[float, float, Any]:
    """Seconds, peak memory (MiB) and what the call returns."""
    with peak_memory(device) as peak:
        synchronize()
        start = time.perf_counter()
        result = call()
        synchronize()
        return time.perf_counter() - start, peak(), result


@dataclass
class Profile:
    """Where the seconds of scoring go, and which products a forward pass calls; filled inside `watching`.

    Attributes:
        seconds: by part; what a part calls that is a part itself counts there alone.
        passes: of each forward pass, every linear layer that was called with the number of its rows.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    passes: list[list[tuple[nn.Linear, int]]] = field(default_factory=list)
    _open: list[str] = field(default_factory=lambda: ["rest"])
    _since: float = 0.0

    def _enter(self, part: str) -> None:
        self._switch()
        self._open.append(part)

    def _leave(self) -> None:
        self._switch()
        self._open.pop()

    def _switch(self) -> None:
        synchronize()
        here = time.perf_counter()
        self.seconds[self._open[-1]] += here - self._since
        self._since = here

    def _timed(self, part: str, function: Callable) -> Callable:
        def call(*arguments, **keys):
            self._enter(part)
            try:
                return function(*arguments, **keys)
            finally:
                self._leave()

        return call

    @contextmanager
    def watching(self, model: PreTrainedModel) -> Iterator[None]:
        """Inside the block, what `common.lm.loglikelihood` does with the model is timed."""
        head = model.get_output_embeddings()
        with ExitStack() as stack:
            for name, part in (
                ("tokenize_pairs", "tokenizing"),
                ("build_tree", "planning"),
                ("_predictions", "planning"),
                ("next_stop", "planning"),
                ("TreeBatch", "planning"),
                ("_target_logprobs", "head"),
            ):
                timed = self._timed(part, getattr(loglikelihood, name))
                stack.enter_context(patch.object(loglikelihood, name, timed))
            stack.enter_context(patch.object(TreeBatch, "mask", self._timed("planning", TreeBatch.mask)))
            AttentionInterface.register("prefix_tree", self._timed("attention", tree_attention))
            stack.callback(AttentionInterface.register, "prefix_tree", tree_attention)
            self._hook(stack, model, "other_forward")
            for module in model.modules():
                if type(module) is nn.Linear or module is head:
                    self._hook(stack, module, "head" if module is head else "linear")
            self._since = time.perf_counter()
            yield
            self._switch()

    def _hook(self, stack: ExitStack, module: nn.Module, part: str) -> None:
        def before(module, arguments):
            self._enter(part)
            if part == "other_forward":
                self.passes.append([])
            elif type(module) is nn.Linear:
                self.passes[-1].append((module, arguments[0].numel() // module.in_features))

        def after(*_):
            self._leave()

        stack.callback(module.register_forward_pre_hook(before).remove)
        stack.callback(module.register_forward_hook(after, always_call=True).remove)


def flops(calls: Sequence[tuple[nn.Linear, int]]) -> int:
    """Multiplications and additions of linear layers."""
    return sum(2 * rows * module.weight.numel() for module, rows in calls)


def typical(passes: Sequence[list[tuple[nn.Linear, int]]]) -> list[list[tuple[nn.Linear, int]]]:
    """GEMM_PASSES of the passes, from small to large, each standing for an equal share of all products."""
    ordered = sorted(passes, key=flops)
    done = np.cumsum([flops(calls) for calls in ordered])
    wanted = (np.arange(GEMM_PASSES) + 0.5) / GEMM_PASSES * done[-1]
    return [ordered[place] for place in np.searchsorted(done, wanted)]


def with_rows(calls: Sequence[tuple[nn.Linear, int]], rows: int, model: PreTrainedModel) -> list[tuple[nn.Linear, int]]:
    """The calls of a pass as if all of it were `rows` tokens, without the head."""
    return [(module, rows) for module, _ in calls if module is not model.get_output_embeddings()]


@torch.inference_mode()
def gemm_rate(model: PreTrainedModel, passes: Sequence[list[tuple[nn.Linear, int]]]) -> float:
    """FLOP/s of the products of forward passes alone, in the precision that the model computes in.

    Every call has the weights of its own layer, which are in that precision before the clock runs: at most CHUNK_BYTES
    of them at once, unless a layer has more, so that caches hold no more of them than they do in a forward pass.
    """
    dtype, seconds = compute_dtype(model), 0.0
    for calls in passes:
        start = 0
        while start < len(calls):
            weights, size, stop = [], 0, start
            while stop < len(calls) and (stop == start or size < CHUNK_BYTES):
                weights.append(calls[stop][0].weight.to(dtype))
                size += weights[-1].nbytes
                stop += 1
            inputs = {}
            for weight, (module, rows) in zip(weights, calls[start:stop], strict=True):
                shape = rows, module.in_features
                inputs[shape] = inputs.get(shape, torch.randn(shape, dtype=dtype, device=weight.device))
            synchronize()
            before = time.perf_counter()
            for weight, (module, rows) in zip(weights, calls[start:stop], strict=True):
                linear(inputs[rows, module.in_features], weight)
            synchronize()
            seconds += time.perf_counter() - before
            start = stop
    return sum(map(flops, passes)) / seconds


def is_counted(model: PreTrainedModel) -> bool:
    """Whether the model's matrices, but for its embeddings, are those of linear layers."""
    embeddings = model.get_input_embeddings().weight
    matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1 and p is not embeddings)
    linears = [m.weight for m in model.modules() if type(m) is nn.Linear and m.weight is not embeddings]
    return sum(weight.numel() for weight in linears) >= COUNTED * matrices


@contextmanager
def counting(model: PreTrainedModel) -> Iterator[list[int]]:
    """Inside the block, the tokens of every forward pass are added to the list, padding included."""
    counts: list[int] = []

    def count(module, arguments, keys):
        counts.append((arguments[0] if arguments else keys["input_ids"]).numel())

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        handle.remove()


def spread(values: Sequence[float], name: str = "seconds") -> dict[str, float]:
    """Median, minimum and maximum as columns."""
    return {name: float(np.median(values)), f"{name}_min": min(values), f"{name}_max": max(values)}


def keep(out: str, rows: Sequence[dict], keys: Sequence[str]) -> pd.DataFrame:
    """Add rows to the table `out`, .csv, and write it with its provenance; returns it.

    Rows of it that have the same `keys` are replaced. InputError where `out` has other columns.
    """
    table = pd.DataFrame(rows)
    if Path(out).exists():
        old = read_csv(out)
        if list(old.columns) != list(table.columns):
            raise InputError(f"{out}: not a table of this benchmark as it is today; move it, or name another --out")
        old_keys, new_keys = (pd.MultiIndex.from_frame(one[[*keys]].astype(str)) for one in (old, table))
        table = pd.DataFrame([*old[~old_keys.isin(new_keys)].to_dict("records"), *rows])
    write_csv_atomic(out, table.replace("", np.nan).convert_dtypes(), "%.6g")
    words = ["DIR" if Path(word).is_dir() else word for word in sys.argv[1:]]
    made = {
        "command": shlex.join(["python", f"tests/bench/{Path(sys.argv[0]).name}", *words]),
        "commit": git_commit(),
        "model": ", ".join(dict.fromkeys(table["model"])),
        "machine": "; ".join(dict.fromkeys(table["machine"])),
        "date": now()[:10],
    }
    write_json_atomic(f"{out.removesuffix('.csv')}{ENDING}", made)
    return table
