"""The plan of reproduce.py: what each experiment has left to do, and how long that takes on this machine."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from measure import Speed
from parts import PARTS, ROOT, Reproduce, last_line

from common.cli import InputError
from common.lm.server import split_server
from common.plan import MARK
from common.reporting.files import write_text_atomic

RECORD_BYTES = 400  # of disk for each question in each setting


@dataclass
class Estimate:
    """What a part has left to do; `reason` says why it cannot run.

    Attributes:
        start: seconds that its script took to plan; tables and plots take about as long again.
        loads: how often it loads the model.
    """

    name: str
    start: float = 0
    items: int = 0
    read: int = 0
    written: int = 0
    loads: int = 0
    samples: list[str] = field(default_factory=list)
    reason: str = ""
    seconds: float | None = None

    def time(self, speed: Speed | None) -> None:
        """Set `seconds`; None stays for what is not foreseen: training, and models on a server."""
        if not PARTS[self.name].training and speed:
            working = speed.of(self.read, self.written, self.items) + self.loads * speed.load_seconds
            self.seconds = 2 * self.start + working


def plan(config: Reproduce) -> list[Estimate]:
    """Ask as many scripts at a time as there are cores what they have left to do; they build their data on the way."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {one.name: one for one in pool.map(partial(ask, config), config.chosen)}
    if "consistency" in found and "mmlu" in found and not Path(config.out, "mmlu", "run.json").exists():
        found["consistency"].reason = found["mmlu"].reason and f"needs the part mmlu: {found['mmlu'].reason}"
    return list(found.values())


def ask(config: Reproduce, name: str) -> Estimate:
    """What a part has left to do."""
    print(f"planning: {PARTS[name].title}", file=sys.stderr)
    estimate = Estimate(name)
    if name == "consistency" or PARTS[name].training:
        return estimate
    start = time.monotonic()
    done = subprocess.run(
        config.command(name), env=config.environment(name, PLAN="1"), cwd=ROOT, capture_output=True, text=True
    )
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            work = json.loads(line.removeprefix(MARK))
            estimate.loads += work["items"] > 0
            estimate.samples.append(work.pop("sample"))
            for key, value in work.items():
                setattr(estimate, key, getattr(estimate, key) + value)
    estimate.start = time.monotonic() - start
    if done.returncode:
        estimate.reason = last_line(done.stderr)
    return estimate


def measure(config: Reproduce, samples: Iterable[str]) -> Speed | None:
    """The model's speed on this machine; None for a model on a server. InputError where it cannot be loaded."""
    if split_server(config.model):
        return None
    sample = Path(config.out, "sample.txt")
    write_text_atomic(sample, "\n".join(samples) or "A river is a natural stream of water.")
    print("measuring the model for half a minute", file=sys.stderr)
    words = [sys.executable, "report/measure.py", "--model", config.model, "--sample", str(sample)]
    dtype = ["--dtype", os.environ["DTYPE"]] if os.environ.get("DTYPE") else []
    done = subprocess.run([*words, *dtype], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"model {config.model!r} cannot be measured: {last_line(done.stderr)}")
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def show(config: Reproduce, estimates: Sequence[Estimate], speed: Speed | None) -> None:
    """Print the plan."""
    rows = []
    for one in estimates:
        tokens = one.read * (speed.tokens_per_byte if speed else 0.3)
        minutes = "?" if one.seconds is None else f"{one.seconds / 60:.1f}"
        cells = ("-", "-", "-", "-") if one.reason else (one.items, f"{tokens:,.0f}", f"{one.written:,}", minutes)
        rows.append([one.name, PARTS[one.name].title, *cells])
    header = ["part", "experiment", "questions or texts", "tokens to read", "tokens to write", "minutes"]
    print(pd.DataFrame(rows, columns=header).to_string(index=False))
    for one in estimates:
        if one.reason:
            print(f"{one.name} cannot run: {one.reason}")
    free = shutil.disk_usage(config.out).free
    print(f"all: about {minutes_of(estimates):.0f} minutes, where known", end="")
    print(f"; disk: about {sum(one.items for one in estimates) * RECORD_BYTES / 1e6:.0f} MB, {free / 1e9:.0f} GB free")
    if speed:
        print(
            f"measured: {speed.weights:,} weights, {speed.read_tokens_per_second:.0f} tokens a second read,"
            f" {speed.load_seconds:.0f} seconds to load the model; training needs {speed.weights * 16 / 1e9:.0f} GB of"
            " memory, a LoRA adapter an eighth of it where weights are in bfloat16"
        )


def minutes_of(estimates: Iterable[Estimate]) -> float:
    """Sum of the minutes that are known."""
    return sum(one.seconds or 0 for one in estimates if not one.reason) / 60
