"""Small variants of a made-up benchmark in the layout that MMLU/evaluate_mmlu.py reads."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.evaluation.records import record_rows, write_setting
from common.questions import FOUR, monolingual, write_questions
from common.reporting import provenance
from common.settings import build_settings

LANGUAGES = ["en", "de", "fr", "es", "it"]
LOGPROBS = [f"logprob_{letter}" for letter in FOUR]
EXAMPLES = 6


def write_variants(folder: Path, subjects: Sequence[str], questions: int, context: str = "") -> Path:
    """Every setting of `questions` questions a subject in five languages, and six examples a subject in dev/."""
    rng = random.Random(0)
    for split, count in (("", questions), ("dev", EXAMPLES)):
        parallel = {code: [] for code in LANGUAGES}
        for subject in subjects:
            for number in range(count):
                answer = rng.choice(FOUR)
                for code in LANGUAGES:
                    options = [f"{code} {word}{number}" for word in ("river", "hill", "sea", "a town")]
                    question = f"{code}: which {split} place is {number} in {subject}?"
                    passage = context and f"{code} {context} {number}"
                    name = f"{subject}-{split}{number:03d}"
                    parallel[code].append(monolingual(name, subject, passage, question, options, answer, code))
        for setting, items in build_settings(parallel, LANGUAGES, seed=1).items():
            write_questions(folder / split / f"{setting}.csv", items)
    return folder


def write_run(out, seed, accuracy, model="world", reversed_too=False):
    """A run folder whose questions are answered right at random, with the given probability outside English."""
    rng = np.random.default_rng(seed)
    parallel = {
        code: [
            monolingual(f"{subject}{n}", subject, "", f"{code} {n}", list("wxyz"), "A", code)
            for subject in ("english_only_birth", "shared_birth")
            for n in range(40)
        ]
        for code in LANGUAGES
    }
    written = {}
    for name, items in build_settings(parallel, LANGUAGES, 1).items():
        if name.startswith("rev_") and not reversed_too:
            continue
        logprobs = np.tile([-2.0, -1.0, -3.0, -3.0], (len(items), 1))
        logprobs[rng.random(len(items)) < (1.0 if name == "en" else accuracy), 0] = -0.5
        table = record_rows(items, name, logprobs).astype(str)
        written[name] = write_setting(out, table, list(table["id"]))
    config = {"model": model, "num_fewshot": 0, "answer_format": "letter"}
    rewrite(out, config=config, hash="0" * 12, model={"name": model}, records=written)
    return out


def rewrite(folder, **changes):
    """Change keys of a run.json, or make one."""
    known = provenance.read_run(folder) if (folder / "run.json").exists() else {}
    provenance.write_run(folder, known | changes)
