"""Speed of translating with a causal LM: this repository, and transformers' generate one by one and in batches of 8.

    python tests/bench/translation.py --sentences DIR [--model MODEL] --out tests/bench/results/translation_cpu.csv

DIR has en.devtest and de.devtest. A model, or a random Llama of 58M weights, whose answers are all of the largest
length, translates greedily in float32 with five few-shot examples; the sides run one after the other in one process,
and their outputs are compared. Batches of transformers' generate are sorted by length.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from common.cli import parse
from common.lm.generation import generate
from common.lm.loading import load
from common.lm.memory import keep_freed_memory
from common.prompts import translation_prompt
from common.reporting.files import write_csv_atomic

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.random_llama import save_random_llama  # noqa: E402

NUM_FEWSHOT = 5


@dataclass
class Config:
    """What to measure."""

    sentences: str  # folder with en.devtest and de.devtest
    model: str | None = None  # hub name or folder; null: the random Llama
    out: str = "tests/bench/results/translation_cpu.csv"  # CSV to write
    count: int = 100  # sentences
    max_new_tokens: int = 48  # of an answer


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
        model, tokenizer = load(config.model or folder, dtype="float32")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        new = config.max_new_tokens
        sides: dict[str, Callable[[], list[str]]] = {
            "ours": lambda: [a.text for a in generate(model, tokenizer, prompts, new)],
            "batches of 8": lambda: plain(model, tokenizer, prompts, new, 8),
            "one by one": lambda: plain(model, tokenizer, prompts, new, 1),
        }
        rows, answers = [], {}
        for side, answer in sides.items():
            start = time.perf_counter()
            answers[side] = answer()
            seconds = time.perf_counter() - start
            same = sum(a == b for a, b in zip(answers[side], answers["ours"], strict=True))
            rows.append(
                {
                    "model": Path(config.model or "random Llama, 58M").name,
                    "side": side,
                    "sentences": len(prompts),
                    "seconds": seconds,
                    "same_as_ours": same,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    table["times_ours"] = table["seconds"] / table["seconds"].iloc[0]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    table.insert(0, "device", device)
    write_csv_atomic(Path(config.out), table, float_format="%.4f")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
