"""Small variants of a made-up benchmark in the layout that MMLU/evaluate.py reads."""

import random
from collections.abc import Sequence
from pathlib import Path

from common.choices import LETTERS, build_settings, monolingual, write_items

LANGUAGES = ["en", "de", "fr", "es", "it"]
DEMONSTRATIONS = 6


def write_variants(folder: Path, subjects: Sequence[str], questions: int, context: str = "") -> Path:
    """Every setting of `questions` questions a subject in five languages, and six demonstrations a subject in dev/."""
    rng = random.Random(0)
    for split, count in (("", questions), ("dev", DEMONSTRATIONS)):
        parallel = {code: [] for code in LANGUAGES}
        for subject in subjects:
            for number in range(count):
                answer = rng.choice(LETTERS)
                for code in LANGUAGES:
                    options = [f"{code} {word}{number}" for word in ("river", "hill", "sea", "a town")]
                    question = f"{code}: which {split} place is {number} in {subject}?"
                    passage = context and f"{code} {context} {number}"
                    name = f"{subject}-{split}{number:03d}"
                    parallel[code].append(monolingual(name, subject, passage, question, options, answer, code))
        for setting, items in build_settings(parallel, LANGUAGES, seed=1).items():
            write_items(folder / split / f"{setting}.csv", items)
    return folder
