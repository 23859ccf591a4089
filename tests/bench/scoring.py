"""Crosslingual MMLU scored three ways: this repository, lm-evaluation-harness, and one prompt at a time.

    python tests/bench/scoring.py --mmlu DIR --dictionaries DIR --out tests/bench/results/scoring_cpu.csv

--mmlu is a folder with `dev/` and `test/` in the original layout, --dictionaries one of `en-de.tsv` and so on. A random
Llama scores English questions and their word-by-word translations in all thirty settings. Each side runs in its own
process, one after the other, so that peak memory is measured per side. `--preset llama3-8b` is for a GPU.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from common.cli import InputError, parse, run
from common.lm.loglikelihood import ScoringStats, loglikelihood
from common.prompts import mmlu_prompt
from common.questions import Question
from common.reporting.files import write_csv_atomic
from common.settings import build_settings

FOUR = [" A", " B", " C", " D"]
LANGUAGES = ("en", "de", "fr", "es", "it")
PRESETS = {  # hidden, layers, heads, key-value heads, intermediate, vocabulary, dtype, batch of the harness
    "llama-51m": (512, 8, 8, 8, 1376, 50_000, "bfloat16", 16),
    "llama3-8b": (4096, 32, 32, 8, 14_336, 128_256, "bfloat16", 16),
}


@dataclass
class Config:
    """What to measure."""

    mmlu: str  # folder with dev/ and test/ in the original layout
    dictionaries: str  # folder with en-de.tsv and so on
    preset: str = "llama-51m"  # model shape: llama-51m or llama3-8b
    out: str = "tests/bench/results/scoring_cpu.csv"  # CSV to write
    questions_5shot: int = 3  # questions per subject, 5-shot
    questions_0shot: int = 6  # questions per subject, zero-shot
    subjects: str = "anatomy,high_school_geography"  # comma separated
    sides: str = "ours,harness,one_at_a_time"  # comma separated
    float32: bool = True  # also compare predictions in float32
    repeats: int = 3  # times each side is run, of which the median counts; once in float32
    side: str | None = None  # internal: run one side in this process
    shots: int = 5  # internal: with side
    dtype: str = "bfloat16"  # internal: with side
    folder: str = ""  # internal: with side, where tokenizer and prompts lie


def word_by_word(text: str, dictionary: dict[str, str]) -> str:
    """Each word replaced where the dictionary has it; only token counts matter here."""
    return " ".join(dictionary.get(word.lower(), word) for word in text.split(" "))


def build_prompts(config: Config, shots: int) -> list[str]:
    """Prompts of every setting, question and subject; few-shot examples are English."""
    tables = {}
    for language in LANGUAGES[1:]:
        lines = (Path(config.dictionaries) / f"en-{language}.tsv").read_text().splitlines()
        tables[language] = dict(line.split("\t")[:2] for line in lines)
    prompts = []
    for subject in config.subjects.split(","):
        dev, test = (read_english(Path(config.mmlu) / s / f"{subject}_{s}.csv", subject) for s in ("dev", "test"))
        test = test[: config.questions_5shot if shots else config.questions_0shot]
        parallel = {"en": test} | {
            language: [translated(item, language, table) for item in test] for language, table in tables.items()
        }
        for name, setting in build_settings(parallel, LANGUAGES, 42).items():
            if not name.startswith("rev_"):
                prompts += [mmlu_prompt(item, dev[:shots]) for item in setting]
    return prompts


def read_english(path: Path, subject: str) -> list[Question]:
    """Rows of one headerless MMLU file."""
    rows = pd.read_csv(path, header=None, keep_default_na=False, dtype=str).itertuples(index=False)
    return [
        Question(f"{subject}-{i}", subject, "", row[0], tuple(row[1:5]), row[5], "en", "en", ("en",) * 4)
        for i, row in enumerate(rows)
    ]


def translated(item: Question, language: str, table: dict[str, str]) -> Question:
    """The item word by word in another language, marked so that no field equals the English one."""
    options = tuple(f"{word_by_word(option, table)} {language}" for option in item.options)
    question = f"{word_by_word(item.question, table)} {language}"
    return Question(item.id, item.subject, "", question, options, item.answer, language, language, (language,) * 4)


def train_tokenizer(config: Config, folder: Path, size: int) -> None:
    """A byte-level BPE tokenizer with BOS, trained on the questions themselves."""
    texts = [path.read_text() for path in sorted(Path(config.mmlu).glob("*/*.csv"))]
    texts += [path.read_text() for path in sorted(Path(config.dictionaries).glob("*.tsv"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.save_pretrained(folder)


def random_llama(preset: str, dtype: str) -> LlamaForCausalLM:
    """A Llama of the preset's shape with seeded random weights."""
    hidden, layers, heads, kv_heads, intermediate, vocabulary, *_ = PRESETS[preset]
    config = LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=preset == "llama-51m",
        initializer_range=0.05 if preset == "llama-51m" else 0.02,
        dtype=getattr(torch, dtype),
    )
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        torch.set_default_dtype(getattr(torch, dtype))
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    return model.eval()


def run_ours(model, tokenizer, prompts: list[str]) -> tuple[np.ndarray, ScoringStats]:
    """Through the prefix tree."""
    stats = ScoringStats()
    return loglikelihood(model, tokenizer, prompts, FOUR, stats=stats), stats


def run_harness(model, tokenizer, prompts: list[str], batch: int) -> np.ndarray:
    """Through lm-evaluation-harness, as its multiple-choice tasks call it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, add_bos_token=True, max_length=8192)
    requests = [
        Instance("loglikelihood", {}, (prompt, letter), i) for prompt in prompts for i, letter in enumerate(FOUR)
    ]
    scores = harness.loglikelihood(requests, disable_tqdm=True)
    return np.array([score for score, _ in scores], np.float32).reshape(len(prompts), len(FOUR))


@torch.no_grad()
def run_one_at_a_time(model, tokenizer, prompts: list[str]) -> np.ndarray:
    """One prompt, one forward pass over all positions, the letters' logits at the last, as in the original code."""
    letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][-1] for letter in FOUR]
    result = []
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        logits = model(torch.tensor([ids], device=model.device)).logits[0, -1]
        result.append(logits.float().log_softmax(-1)[letters].cpu().numpy())
    return np.array(result)


def run_side(config: Config) -> None:
    """Internal: one side in this process; prints one line of JSON."""
    folder = Path(config.folder)
    prompts = json.loads((folder / f"prompts_{config.shots}.json").read_text())
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = random_llama(config.preset, config.dtype)
    harness_batch = PRESETS[config.preset][-1]
    sides: dict[str, Callable] = {
        "ours": lambda p: run_ours(model, tokenizer, p),
        "harness": lambda p: run_harness(model, tokenizer, p, harness_batch),
        "one_at_a_time": lambda p: run_one_at_a_time(model, tokenizer, p),
    }
    sides[config.side](prompts[:30])  # first calls allocate and compile
    times = []
    for _ in range(config.repeats):
        synchronize()
        before = time.perf_counter()
        result = sides[config.side](prompts)
        synchronize()
        times.append(time.perf_counter() - before)
    seconds = float(np.median(times))
    logprobs, stats = result if config.side == "ours" else (result, None)
    row = {
        "seconds": seconds,
        "peak_memory_mib": peak_memory_mib(),
        "predictions": logprobs.argmax(1).tolist(),
    } | (asdict(stats) if stats else {})
    if config.side == "ours":
        row["fraction_of_matmul_rate"] = linear_rate(model, stats, len(prompts), seconds) / matmul_rate(model)
    print("RESULT " + json.dumps(row))


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory_mib() -> float:
    """Peak GPU memory, or peak resident memory on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def linear_rate(model: LlamaForCausalLM, stats: ScoringStats, prompts: int, seconds: float) -> float:
    """FLOP/s spent on the matrix products of the layers for distinct tokens, and on one row of the head a prompt."""
    layers = sum(p.numel() for p in model.model.layers.parameters() if p.dim() == 2)
    head = model.lm_head.weight.numel()
    return 2 * (layers * stats.tree_tokens + head * prompts) / seconds


def matmul_rate(model: LlamaForCausalLM, tokens: int = 2048, repeats: int = 10) -> float:
    """FLOP/s of the matrix products of one layer alone, at the model's own shapes and dtype."""
    weights = [p for p in model.model.layers[0].parameters() if p.dim() == 2]
    inputs = [torch.randn(tokens, w.shape[1], dtype=w.dtype, device=w.device) for w in weights]

    def once() -> None:
        for x, w in zip(inputs, weights, strict=True):
            torch.nn.functional.linear(x, w)

    with torch.inference_mode():
        once()
        synchronize()
        before = time.perf_counter()
        for _ in range(repeats):
            once()
        synchronize()
    return 2 * repeats * tokens * sum(w.numel() for w in weights) / (time.perf_counter() - before)


def measure(config: Config, folder: Path, side: str, shots: int, dtype: str) -> dict:
    """Run one side in a process of its own."""
    arguments = {"mmlu": config.mmlu, "dictionaries": config.dictionaries, "preset": config.preset}
    arguments |= {"side": side, "shots": shots, "dtype": dtype, "folder": folder}
    arguments["repeats"] = config.repeats if dtype == PRESETS[config.preset][6] else 1
    command = [sys.executable, __file__, *[f"--{key}={value}" for key, value in arguments.items()]]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise InputError(f"the side {side} failed: {done.stderr[-2000:]}")
    return json.loads(lines[0].removeprefix("RESULT "))


def main() -> None:
    config = parse(Config)
    if config.side:
        return run_side(config)
    dtype = PRESETS[config.preset][6]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train_tokenizer(config, folder, min(PRESETS[config.preset][5], 50_000))
        for shots in (5, 0):
            prompts = build_prompts(config, shots)
            (folder / f"prompts_{shots}.json").write_text(json.dumps(prompts))
            results = {side: measure(config, folder, side, shots, dtype) for side in config.sides.split(",")}
            exact = {}
            if config.float32:
                exact = {side: measure(config, folder, side, shots, "float32") for side in results}
            for side, result in results.items():
                row = {"preset": config.preset, "dtype": dtype, "shots": shots, "side": side, "prompts": len(prompts)}
                row |= {key: value for key, value in result.items() if key != "predictions"}
                row["times_ours"] = result["seconds"] / results["ours"]["seconds"]
                if exact:
                    same = np.mean(np.array(exact[side]["predictions"]) == np.array(exact["ours"]["predictions"]))
                    row |= {"seconds_float32": exact[side]["seconds"], "same_predictions_float32": same}
                rows.append(row)
                print(json.dumps(row), flush=True)
    table = pd.DataFrame(rows)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    table.insert(0, "device", device)
    table["prompt_tokens"] = table["prompt_tokens"].ffill()
    table["tree_tokens"] = table["tree_tokens"].ffill()
    write_csv_atomic(Path(config.out), table)
    print(table.drop(columns=["preset", "dtype"]).to_string(index=False))


if __name__ == "__main__":
    run(main)
