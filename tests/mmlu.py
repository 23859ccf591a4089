"""Small variants of a made-up benchmark, and the scripts of MMLU/ called in this process (a start costs seconds)."""

import importlib.util
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from common.choices import LETTERS, build_settings, monolingual, write_items

MMLU = Path(__file__).resolve().parent.parent / "MMLU"
LANGUAGES = ["en", "de", "fr", "es", "it"]
DEMONSTRATIONS = 6


def load_script(name: str) -> ModuleType:
    """Import MMLU/<name>.py with its siblings, and leave none of them in sys.modules for others to take by mistake."""
    spec = importlib.util.spec_from_file_location(f"mmlu_{name}", MMLU / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    sys.path.insert(0, str(MMLU))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = path
        for sibling in MMLU.glob("*.py"):
            sys.modules.pop(sibling.stem, None)
    return module


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
