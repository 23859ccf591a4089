"""Speed of translating with a causal LM: this repository, and transformers' generate one by one and in batches of 8.

    python tests/bench/translation.py --sentences DIR [--model MODEL]

DIR has en.devtest and de.devtest. A model, or a random Llama of 58M weights, whose answers are all of the largest
length, translates greedily with five few-shot examples; the sides take turns in one process, and their outputs are
compared. Batches of transformers' generate are sorted by length. Rows are added to `out`, as by scoring.py.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from common.cli import InputError, comma_list, parse, require_positive, run
from common.lm.generation import generate
from common.lm.loading import load
from common.lm.memory import keep_freed_memory
from common.lm.precision import dtype_name
from common.prompts import translation_prompt
from common.reporting.provenance import git_commit, now

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench import measure  # noqa: E402
from tests.bench.random_llama import save_random_llama  # noqa: E402

NUM_FEWSHOT = 5
SIDES = {"batches of 8": 8, "one by one": 1}  # of transformers' generate, by the prompts in a batch
KEYS = ("machine", "model", "dtype", "sentences", "max_new_tokens", "side")


@dataclass
class Config:
    """Compare the speed of translating.

    Attributes:
        sentences: folder with en.devtest and de.devtest.
        model: hub name or folder; null is a random Llama.
        dtype: float32, in which all sides answer alike, or auto, bfloat16, float16.
        out: table to add to, .csv.
        count: sentences.
        max_new_tokens: of an answer.
        sides: what to compare with ours, separated by commas.
        repeats: rounds.
    """

    sentences: str
    model: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    out: str = "tests/bench/results/translation.csv"
    count: int = 100
    max_new_tokens: int = 48
    sides: str = ",".join(SIDES)
    repeats: int = 3

    def __post_init__(self) -> None:
        require_positive(self, "count", "max_new_tokens", "repeats")
        if unknown := set(comma_list(self.sides)) - set(SIDES):
            raise InputError(f"sides: {min(unknown)!r} is not one of {', '.join(SIDES)}")


def plain(model, tokenizer, prompts: list[str], max_new_tokens: int, batch: int) -> list[str]:
    """transformers' generate, the longest first, ended by a line end as ours is."""
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    answers = {}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        inputs = tokenizer([prompts[row] for row in rows], return_tensors="pt", padding=True, padding_side="left")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            output = model.generate(
                **inputs.to(model.device), max_new_tokens=max_new_tokens, do_sample=False, stop_strings=["\n"],
                tokenizer=tokenizer, pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        answers |= {row: text.split("\n")[0].strip() for row, text in zip(rows, texts, strict=True)}
    return [answers[row] for row in range(len(prompts))]


def main() -> None:
    config = parse(Config)
    lines = {
        c: (Path(config.sentences) / f"{c}.devtest").read_text(encoding="utf-8").splitlines() for c in ("en", "de")
    }
    pairs = list(zip(lines["en"], lines["de"], strict=True))
    examples, asked = pairs[-NUM_FEWSHOT:], [english for english, _ in pairs[: config.count]]
    prompts = [translation_prompt(text, "en", "de", examples) for text in asked]
    keep_freed_memory()  # for all sides
    with tempfile.TemporaryDirectory() as folder:
        if not config.model:
            save_random_llama(Path(folder), [line for own in lines.values() for line in own])
        model, tokenizer = load(config.model or folder, dtype=config.dtype)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        new = config.max_new_tokens
        sides: dict[str, Callable[[], list[str]]] = {}
        sides["ours"] = lambda: [answer.text for answer in generate(model, tokenizer, prompts, new)]
        sides |= {
            side: partial(plain, model, tokenizer, prompts, new, SIDES[side]) for side in comma_list(config.sides)
        }
        generate(model, tokenizer, prompts[:1], new)  # the first call allocates
        runs: dict[str, list[tuple]] = {side: [] for side in sides}
        for number in range(1, config.repeats + 1):
            for side, answer in sides.items():
                runs[side].append(measure.timed(answer, model.device))
                print(json.dumps({"round": number, "side": side, "seconds": round(runs[side][-1][0], 2)}), flush=True)
    shared = {"machine": measure.machine(model.device), "date": now()[:10], "commit": git_commit()}
    shared |= {"model": Path(config.model or "random Llama (58M)").name, "dtype": dtype_name(model)}
    shared |= {"sentences": len(prompts), "max_new_tokens": new, "repeats": config.repeats}
    rows: list[dict] = []
    for side, own in runs.items():
        row = shared | {"side": side} | measure.spread([seconds for seconds, *_ in own])
        row["times_ours"] = row["seconds"] / rows[0]["seconds"] if rows else 1.0
        row["same_as_ours"] = sum(a == b for a, b in zip(own[0][2], runs["ours"][0][2], strict=True))
        rows.append(row | {"peak_memory_mib": max(peak for _, peak, _ in own)})
    measure.keep(config.out, rows, KEYS)
    shown = ["side", "seconds", "times_ours", "same_as_ours", "peak_memory_mib"]
    print(pd.DataFrame(rows)[shown].to_string(index=False))


if __name__ == "__main__":
    run(main)
