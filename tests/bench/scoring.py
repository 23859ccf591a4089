"""Crosslingual MMLU scored three ways: this repository, lm-evaluation-harness, and one prompt at a time.

    python tests/bench/scoring.py --data VARIANTS --model MODEL --limit 2 --sample 4

VARIANTS is a folder of MMLU/build_variants.py. One process loads the model, or makes a random Llama, and the sides take
turns with the same prompts. lm-evaluation-harness (`bash install.sh --bench`; left out where it is not installed) runs
with `logits_cache` and the fastest of some batch sizes. Before that, one more run of ours is watched: where its seconds
go, and which matrix products its forward passes call. These are timed alone in every round. The other two may get a
`sample` of the questions: rates are prompts a second. Predictions are compared prompt by prompt.

Rows are added to `out`, so that models, precisions and machines stand in one table; a run again replaces its own.
"""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from common.cli import InputError, comma_list, parse, require_positive, run
from common.evaluation.resume import shards_of
from common.evaluation.scorers import LogprobScorer
from common.lm.loading import DTYPES, load, pick_device
from common.lm.loglikelihood import TOKEN_BUDGET, ScoringStats, loglikelihood
from common.lm.memory import keep_freed_memory
from common.lm.precision import cpu_multiplies, dtype_name
from common.lm.tokenization import tokenize_pairs
from common.questions import Question
from common.reporting.provenance import git_commit, now
from common.settings import Setting, expand_settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "MMLU")]
from evaluate_mmlu import MmluConfig  # noqa: E402

from tests.bench import measure  # noqa: E402
from tests.bench.random_llama import SHAPES, VOCABULARY, random_llama  # noqa: E402
from tests.tiny import byte_level_tokenizer  # noqa: E402

KEYS = ("machine", "model", "dtype", "shots", "fewshot_examples", "settings", "questions", "side")
FORWARD = "en,full,question,options,gt,gt_question,onewrong,threewrong,mixup"

Asked = list[tuple[str, Question]]  # setting and question of every prompt


@dataclass
class Config:
    """Compare the speed of scoring.

    Attributes:
        data: folder of MMLU/build_variants.py.
        model: hub name or folder; null is a random Llama.
        shape: of the random Llama.
        dtype: auto, float32, bfloat16 or float16.
        device: auto, cpu or cuda.
        attention: sdpa or eager, of the other sides; some models have only eager.
        out: table to add to, .csv.
        settings: all, families or settings, separated by commas; the default is the thirty forward ones of five
            languages.
        shots: numbers of few-shot examples, separated by commas.
        fewshot_examples: of the question's own setting, or English.
        subjects: separated by commas; null is all.
        limit: questions of each subject; null is all.
        sample: questions that the other two sides are asked, spread over all of them; null is all.
        batches: batch sizes tried for lm-evaluation-harness, separated by commas.
        sides: what to compare with ours, separated by commas; "" is nothing.
        repeats: rounds.
    """

    data: str
    model: str | None = None
    shape: Literal["llama-58m", "llama3-8b"] = "llama-58m"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    attention: Literal["sdpa", "eager"] = "sdpa"
    out: str = "tests/bench/results/scoring.csv"
    settings: str = FORWARD
    shots: str = "5,0"
    fewshot_examples: Literal["same", "en"] = "same"
    subjects: str | None = None
    limit: int | None = None
    sample: int | None = None
    batches: str = "1,4,16"
    sides: str = "harness,one_at_a_time"
    repeats: int = 3

    def __post_init__(self) -> None:
        require_positive(self, "limit", "sample", "repeats")
        for key in ("shots", "batches"):
            if not all(word.isdecimal() for word in comma_list(getattr(self, key))):
                raise InputError(f"{key} is {getattr(self, key)!r}; it must be whole numbers, separated by commas")
        if unknown := set(comma_list(self.sides)) - set(SIDES):
            raise InputError(f"sides: {min(unknown)!r} is not one of {', '.join(SIDES)}")


def read_settings(config: Config, shots: int) -> dict[str, Setting]:
    """The settings with their few-shot examples, as MMLU/evaluate_mmlu.py reads them."""
    keys = {"fewshot_examples": config.fewshot_examples, "on_few_examples": "fewer"}
    mmlu = MmluConfig(data=config.data, num_fewshot=shots, **keys)
    task = mmlu.task(config.limit)
    found = {name: task.read(name) for name in expand_settings(comma_list(config.settings), task.names)}
    wanted = comma_list(config.subjects or "")
    for setting in found.values() if wanted else ():
        if unknown := set(wanted) - {question.subject for question in setting.questions}:
            raise InputError(f"subjects: {config.data} has no {min(unknown)!r}")
        setting.questions[:] = [question for question in setting.questions if question.subject in wanted]
    return found


def sample_of(config: Config, settings: dict[str, Setting]) -> Asked:
    """What the other sides are asked: `sample` questions in every setting."""
    ids = list(dict.fromkeys(question.id for setting in settings.values() for question in setting.questions))
    places = np.linspace(0, len(ids) - 1, min(config.sample or len(ids), len(ids))).round().astype(int)
    chosen = {ids[place] for place in places}
    return [(name, q) for name, setting in settings.items() for q in setting.questions if q.id in chosen]


def load_model(config: Config, settings: dict[str, Setting]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, or a random Llama with a tokenizer trained on the prompts."""
    if config.model:
        return load(config.model, dtype=config.dtype, device=config.device, attention=config.attention)
    texts = []
    for setting in settings.values():
        follows = ["".join(setting.continuations(question, "letter")) for question in setting.questions]
        texts += map("".join, zip(setting.prompts(setting.questions, "letter"), follows, strict=True))
    size, device = min(VOCABULARY, SHAPES[config.shape]["vocab_size"]), pick_device(config.device)
    dtype = torch.bfloat16 if config.dtype == "auto" else DTYPES[config.dtype]
    if device.type == "cpu" and not cpu_multiplies(dtype):
        dtype = torch.float32
    with tempfile.TemporaryDirectory() as folder:
        byte_level_tokenizer(size, bos=False, texts=texts).save_pretrained(folder)
        return random_llama(config.shape, dtype, str(device)), PreTrainedTokenizerFast.from_pretrained(folder)


def ours(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Setting], first: int | None = None
) -> tuple[dict, ScoringStats]:
    """Predictions {(setting, id): letter} as a run makes them, shard by shard; of the `first` questions of each."""
    scorer = LogprobScorer(model, tokenizer, answer_format="letter")
    shards: dict = {}
    for name, setting in settings.items():
        for shard, questions in shards_of(setting.questions[:first]).items():
            shards.setdefault(shard, {})[name] = questions
    found = pd.concat([scorer.records(parts, settings) for parts in shards.values()])
    return dict(zip(zip(found["setting"], found["id"], strict=True), found["prediction"], strict=True)), scorer.stats


def prompts_of(settings: dict[str, Setting], asked: Asked) -> tuple[list[str], list[list[str]]]:
    """Prompts and what may follow each."""
    prompts = [settings[name].prompts([question], "letter")[0] for name, question in asked]
    return prompts, [settings[name].continuations(question, "letter") for name, question in asked]


def letters(scores: Sequence[Sequence[float]], asked: Asked) -> dict:
    """Predictions {(setting, id): letter} from a score for every letter."""
    return {(name, q.id): q.letters[int(np.argmax(own))] for (name, q), own in zip(asked, scores, strict=True)}


def harness(model, tokenizer, settings: dict[str, Setting], asked: Asked, batch: int) -> dict:
    """Predictions of lm-evaluation-harness, all requests in one call, as for its multiple-choice tasks."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    prompts, follows = prompts_of(settings, asked)
    pairs = [(prompt, text) for prompt, own in zip(prompts, follows, strict=True) for text in own]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of a model that is loaded already
    side = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, logits_cache=True)
    scores = iter(side.loglikelihood(requests, disable_tqdm=True))
    return letters([[next(scores)[0] for _ in own] for own in follows], asked)


def one_by_one(model, tokenizer, settings: dict[str, Setting], asked: Asked, batch: int) -> dict:
    """Predictions of one plain forward pass a prompt, as in the paper's code."""
    prompts, follows = prompts_of(settings, asked)
    pairs = tokenize_pairs(tokenizer, prompts[:1], [max(follows, key=len)])
    tokens = {text: tuple(pair.tokens[pair.start :]) for text, pair in zip(max(follows, key=len), pairs, strict=True)}
    if long := [text for text, own in tokens.items() if len(own) > 1]:
        raise InputError(
            f"the letter {long[0]!r} is several tokens, which one_at_a_time cannot score; name other --sides"
        )
    scored = [[tokens[text] for text in own] for own in follows]
    return letters(loglikelihood(model, tokenizer, prompts, scored, alone=True), asked)


SIDES: dict[str, Callable] = {"harness": harness, "one_at_a_time": one_by_one}


def fastest_batch(config: Config, model, tokenizer, settings: dict[str, Setting], asked: Asked) -> int:
    """The batch size with which lm-evaluation-harness is fastest, on as many prompts as the largest has."""
    sizes = sorted({max(1, int(word)) for word in comma_list(config.batches)})
    places = np.unique(np.linspace(0, len(asked) - 1, min(sizes[-1], len(asked))).astype(int))
    trial = [asked[place] for place in places]
    harness(model, tokenizer, settings, trial[:1], 1)  # the first call imports and allocates
    seconds = {}
    for size in sizes:
        seconds[size], *_ = measure.timed(partial(harness, model, tokenizer, settings, trial, size), model.device)
    say({f"harness, batch {size}": round(value, 2) for size, value in seconds.items()})
    return min(seconds, key=seconds.get)


def say(what: dict) -> None:
    """Progress, a line of JSON."""
    print(json.dumps(what), flush=True)


def compare(config: Config, model, tokenizer, shots: int, settings: dict[str, Setting]) -> list[dict]:
    """Measure one number of few-shot examples; a row a side."""
    asked = sample_of(config, settings)
    ours(model, tokenizer, settings, first=1)  # the first call allocates
    profile = measure.Profile()
    with profile.watching(model):
        answers, stats = ours(model, tokenizer, settings)
    say({"shots": shots, "prompts": len(answers), "seconds watched": round(sum(profile.seconds.values()), 2)})
    batches = {"one_at_a_time": 1}
    if "harness" in comma_list(config.sides) and find_spec("lm_eval"):
        batches["harness"] = fastest_batch(config, model, tokenizer, settings, asked)
    sides = {"ours": lambda: ours(model, tokenizer, settings)[0]}
    for side in comma_list(config.sides):
        if side in batches:
            sides[side] = partial(SIDES[side], model, tokenizer, settings, asked, batches[side])
    passes = measure.typical(profile.passes)
    full = [measure.with_rows(passes[-1], TOKEN_BUDGET.get(model.device.type, TOKEN_BUDGET["cuda"]), model)]
    counted = measure.is_counted(model)
    if not counted:
        print("note: most weights are not in linear layers, so no rate of matrix products is given", file=sys.stderr)
    rounds, rates = [], []
    for number in range(1, config.repeats + 1):
        for side, call in sides.items():
            with measure.counting(model) as tokens:
                seconds, peak, found = measure.timed(call, model.device)
            rounds.append({"side": side, "seconds": seconds, "peak": peak, "tokens": sum(tokens), "found": found})
            say({"round": number, "side": side, "prompts": len(found), "seconds": round(seconds, 2)})
        rates.append([measure.gemm_rate(model, some) / 1e9 if counted else np.nan for some in (passes, full)])
    rows = []
    for side in sides:
        own = [one for one in rounds if one["side"] == side]
        found, seconds = own[0]["found"], measure.spread([one["seconds"] for one in own])
        mine = side == "ours"
        row = {"shots": shots, "fewshot_examples": config.fewshot_examples if shots else "none"}
        row |= {"settings": len(settings), "questions": len({id for _, id in answers}), "side": side}
        row |= {"batch": batches.get(side, ""), "prompts": len(found)}
        row |= {"tokens_in_prompts": stats.prompt_tokens if mine else tokens_in(tokenizer, settings, asked)}
        row |= {"distinct_tokens": stats.tree_tokens if mine else "", "computed_tokens": own[0]["tokens"]}
        row |= seconds | {"prompts_per_second": len(found) / seconds["seconds"]}
        row["times_slower"] = rows[0]["prompts_per_second"] / row["prompts_per_second"] if rows else 1.0
        row["same_as_ours"] = sum(answers[key] == letter for key, letter in found.items())
        row |= {"peak_memory_mib": max(one["peak"] for one in own), "weights_mib": weights(model) / 2**20}
        rows.append(row | (cost_of(profile, stats, row["seconds"], rates) if mine else {}))
    return rows


def cost_of(profile: measure.Profile, stats: ScoringStats, seconds: float, rates: list) -> dict:
    """Where our seconds go, and our rate beside that of matrix products alone; GFLOP and GFLOP/s."""
    found = {"watched_seconds": sum(profile.seconds.values())}
    found |= {f"{part}_seconds": profile.seconds[part] for part in measure.PARTS}
    done = sum(map(measure.flops, profile.passes)) / 1e9
    products = {"passes": len(profile.passes), "gflop": done}
    for name, values in zip(("gemm", "full_gemm"), zip(*rates, strict=True), strict=True):
        products |= measure.spread(values, f"{name}_gflops")
    useful = done * stats.tree_tokens / stats.computed_tokens
    return found | products | {"share_of_gemm": useful / seconds / products["gemm_gflops"]}


def tokens_in(tokenizer: PreTrainedTokenizerBase, settings: dict[str, Setting], asked: Asked) -> int:
    """Tokens of the prompts."""
    return sum(map(len, tokenizer(prompts_of(settings, asked)[0], verbose=False).input_ids))


def weights(model: PreTrainedModel) -> int:
    """Bytes of the weights."""
    return sum(parameter.nbytes for parameter in model.parameters())


def main() -> None:
    config = parse(Config)
    os.environ.setdefault("TQDM_DISABLE", "1")
    if "harness" in comma_list(config.sides) and not find_spec("lm_eval"):
        print("note: without lm-evaluation-harness, which is not installed: bash install.sh --bench", file=sys.stderr)
    keep_freed_memory()  # for all sides
    model = tokenizer = None
    rows: list[dict] = []
    for shots in map(int, comma_list(config.shots)):
        settings = read_settings(config, shots)
        if model is None:
            model, tokenizer = load_model(config, settings)
        shared = {"machine": measure.machine(model.device), "date": now()[:10], "commit": git_commit()}
        shared |= {"model": Path(config.model or f"random {config.shape}").name, "dtype": dtype_name(model)}
        own = [shared | row for row in compare(config, model, tokenizer, shots, settings)]
        measure.keep(config.out, own, KEYS)
        rows += own
    shown = ["shots", "side", "prompts", "seconds", "prompts_per_second", "times_slower", "same_as_ours"]
    print(
        pd.DataFrame(rows)[[*shown, "peak_memory_mib", "share_of_gemm"]].to_string(
            index=False, float_format="{:.3f}".format
        )
    )


if __name__ == "__main__":
    run(main)
