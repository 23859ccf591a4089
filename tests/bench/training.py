"""Training speed and memory: FT/train.py beside TRL's SFTTrainer with packing, same model, text and hardware.

    python tests/bench/training.py --text FILE
    python tests/bench/training.py --text FILE --model MODEL --method lora --precision bf16

FILE is raw WikiText. The sides train the same model, a random Llama of 58M weights without `--model`, for a few steps,
in turns, each time in a process of its own. TRL packs with `bfd_split`, which loses no text. Rows are added to `out`.
Needs `bash install.sh --bench`.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset, load_dataset
from transformers import Trainer, TrainerCallback

from common.cli import InputError, parse, run
from common.lm.loading import load_tokenizer
from common.lm.memory import keep_freed_memory
from common.reporting.provenance import git_commit, now

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "FT")]
from train import Train, arguments, load_model, memory_for_logits, training_rows  # noqa: E402

from common.corpus import read_documents  # noqa: E402
from tests.bench.measure import keep, machine, spread  # noqa: E402
from tests.bench.random_llama import save_random_llama  # noqa: E402

WARM_UP = 2  # steps before the clock starts
KEYS = ("machine", "model", "method", "precision", "row_length", "batch_size", "side")  # of a row of the table


@dataclass
class Config:
    """What to measure."""

    text: str  # raw WikiText file
    out: str = "tests/bench/results/training_cpu.csv"  # CSV to write
    model: str | None = None  # folder of a causal LM; null is a random Llama
    method: str = "full"  # every weight, or lora
    precision: str = "auto"  # of products, as for FT/train.py
    steps: int = 10  # steps that are timed
    repeats: int = 3  # times each side trains
    row_length: int = 512  # tokens in a row
    batch_size: int = 4  # rows in a batch
    sides: str = "ours,trl"  # comma separated
    side: str | None = None  # internal: run one side in this process
    folder: str = ""  # internal: with side, where model and corpus lie


class Clock(TrainerCallback):
    """Seconds of the steps after the warm-up."""

    def on_step_end(self, args, state, control, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == WARM_UP:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", time.perf_counter())


def prepare(config: Config, folder: Path) -> None:
    """Corpus, and where no model is given a random one with a tokenizer trained on the corpus."""
    documents = list(read_documents(config.text, None, "train", "headings", detokenize=False))
    lines = "".join(json.dumps({"text": document.text}) + "\n" for document in documents)
    (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    if not config.model:
        save_random_llama(folder, (document.text for document in documents))


def make_trainer(config: Config, folder: Path, clock: Clock) -> tuple[Trainer, Dataset, AbstractContextManager]:
    """The trainer of one side, its packed rows, and what it trains inside of."""
    ours = Train(
        model=config.model or str(folder),
        method=config.method,
        precision=config.precision,
        data=str(folder / "corpus.jsonl"),
        out=str(folder / config.side),
        row_length=config.row_length,
        batch_size=config.batch_size,
        accumulation=1,
        max_steps=WARM_UP + config.steps,
        log_steps=1,
        learning_rate=3e-4,
    )
    tokenizer = load_tokenizer(ours.model)
    if config.side == "ours":
        model, rows = load_model(ours), training_rows(ours, tokenizer)
        model.config.use_cache = False
        args = arguments(ours, folder / "ours", len(rows), 1)
        trainer = Trainer(model=model, args=args, train_dataset=rows, callbacks=[clock])
        return trainer, rows, memory_for_logits(ours, trainer)
    from trl import SFTConfig, SFTTrainer

    shared = arguments(ours, folder / "trl", 1, 1).to_dict()
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "learning_rate", "weight_decay")
    keys += ("lr_scheduler_type", "bf16", "logging_steps", "report_to", "use_cpu", "seed", "save_steps", "output_dir")
    args = SFTConfig(
        **{key: shared[key] for key in keys},
        packing=True,
        packing_strategy="bfd_split",
        max_length=config.row_length,
        gradient_checkpointing=False,
    )
    data = load_dataset("json", data_files=ours.data, split="train")
    trainer = SFTTrainer(
        model=load_model(ours), args=args, train_dataset=data, processing_class=tokenizer, callbacks=[clock]
    )
    return trainer, trainer.train_dataset, nullcontext()


def run_side(config: Config) -> None:
    """Internal: train one side in this process; prints one line of JSON."""
    keep_freed_memory()  # for both: the side alone is to differ
    clock = Clock()
    trainer, rows, inside = make_trainer(config, Path(config.folder), clock)
    with inside:
        trainer.train()
    tokens = sum(len(row) for row in rows["input_ids"]) / len(rows) * config.batch_size * config.steps
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    on_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {"seconds": clock.seconds, "tokens": round(tokens), "tokens_per_second": tokens / clock.seconds}
    result |= {"peak_memory_mib": peak / 2**20, "first_loss": losses[0], "last_loss": sum(losses[-5:]) / 5}
    print("RESULT " + json.dumps(result))


def main() -> None:
    config = parse(Config)
    if config.side:
        return run_side(config)
    sides, rows = config.sides.split(","), []
    with tempfile.TemporaryDirectory() as folder:
        prepare(config, Path(folder))
        names = ("text", "method", "precision", "steps", "row_length", "batch_size")
        keys = {name: getattr(config, name) for name in names} | {"folder": folder}
        keys |= {"model": config.model} if config.model else {}
        for side in sides * config.repeats:
            command = [sys.executable, __file__, *(f"--{key}={value}" for key, value in keys.items())]
            done = subprocess.run([*command, f"--side={side}"], capture_output=True, text=True)
            lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            if done.returncode or not lines:
                raise InputError(f"the side {side} failed: {done.stderr[-2000:]}")
            rows.append({"side": side} | json.loads(lines[0].removeprefix("RESULT ")))
            print(json.dumps(rows[-1]), flush=True)
    table = summary(pd.DataFrame(rows), config)
    keep(config.out, table, KEYS)
    print(pd.DataFrame(table)[["side", "tokens_per_second", "times_trl", "peak_memory_mib"]].to_string(index=False))


def summary(runs: pd.DataFrame, config: Config) -> list[dict]:
    """A row for each side: median and range of its rates, its largest memory; `times_trl` is the ratio of medians."""
    shared = {"machine": machine("cuda" if torch.cuda.is_available() else "cpu"), "date": now()[:10]}
    shared |= {"commit": git_commit(), "model": Path(config.model).name if config.model else "random Llama (58M)"}
    shared |= {name: getattr(config, name) for name in ("method", "precision", "row_length", "batch_size", "repeats")}
    trl, rows = runs.loc[runs["side"] == "trl", "tokens_per_second"], []
    for side, own in runs.groupby("side", sort=False):
        row = shared | {"side": side, "tokens": int(own["tokens"].iloc[0])} | spread(own["seconds"].tolist())
        row |= spread(own["tokens_per_second"].tolist(), "tokens_per_second")
        row |= {"times_trl": own["tokens_per_second"].median() / trl.median() if len(trl) else ""}
        row |= {"peak_memory_mib": own["peak_memory_mib"].max()}
        rows.append(row | own[["first_loss", "last_loss"]].median().to_dict())
    return rows


if __name__ == "__main__":
    run(main)
