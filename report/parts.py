"""The experiments that reproduce.py runs on a model, and how each is called."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.cli import InputError, comma_list, model_name, require_positive

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """An experiment.

    Attributes:
        title: in words.
        script: bash script, or Python script that needs no model.
        limit: key that takes --limit; None for none.
        settings: whether it takes --settings.
        first_settings: those of a run with --limit, unless the caller names some; "" is those of its YAML file.
        first_variables: of the environment in a run with --limit, unless the caller has set them.
        training: whether it trains, and so belongs to --with_training.
        smallest: smallest value of the limit.
        variables: of the environment in every run, unless the caller has set them: the claims are on these.
    """

    title: str
    script: str
    limit: str | None = "limit"
    settings: bool = False
    first_settings: str = ""
    first_variables: Mapping[str, str] = field(default_factory=dict)
    training: bool = False
    smallest: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)


PARTS = {
    "mmlu": Part("MMLU, 0-shot", "MMLU/scripts/zero_shot.sh", settings=True),
    "five_shot": Part("MMLU, 5-shot", "MMLU/scripts/five_shot.sh", settings=True, first_settings="en,full_de,mixup"),
    "belebele": Part("Belebele", "MMLU/scripts/belebele.sh", settings=True),
    "facts": Part("knowledge or reasoning", "MMLU/scripts/facts.sh"),
    "variance": Part("bias or noise", "MMLU/scripts/variance.sh", first_variables={"ORDERS": "1"}),
    "quiz": Part("domain quiz", "HP/scripts/quiz.sh", settings=True),
    "translation": Part("translation", "Translation/scripts/translation.sh"),
    "embeddings": Part("mixed-language embeddings", "Translation/scripts/embeddings.sh", "count", smallest=2),
    "lens": Part("logit lens", "Translation/scripts/lens.sh", "count"),
    "mexa": Part("alignment that predicts accuracy", "Translation/scripts/mexa.sh", "count", smallest=2),
    "mitigation": Part(
        "fixes without training",
        "MMLU/scripts/mitigation.sh",
        settings=True,
        first_settings="en,full_de,mixup",
        first_variables={"METHODS": "hint_various,shots_english,translate_test"},
    ),
    "tofu": Part("TOFU, untaught", "TOFU/scripts/untaught.sh"),
    "cloze": Part("cloze sentences", "Recall/scripts/cloze.sh"),
    "wording": Part("facts in several wordings", "Recall/scripts/wording.sh"),
    "frequency": Part("facts by frequency", "Recall/scripts/frequency.sh"),
    "editing": Part("facts changed in English", "Recall/scripts/edit.sh"),
    "closed_book": Part("what readers of one language know", "Recall/scripts/closed_book.sh"),
    "probe": Part("probe for right answers", "Translation/scripts/probe.sh"),
    "clika": Part("CLiKA's tasks in ten languages", "CLiKA/scripts/tasks.sh"),
    "consistency": Part("consistency of MMLU across languages", "CLiKA/consistency.py", None),
    "tofu_taught": Part("TOFU, taught in English", "TOFU/scripts/authors.sh", training=True),
    "remedy": Part(
        "fine-tuning on mixed-language text",
        "FT/scripts/remedy.sh",
        training=True,
        variables={"ARMS": "en,word"},
    ),
}


@dataclass
class Reproduce:
    """Run the paper's experiments on one model.

    Attributes:
        model: hub name, folder, LoRA folder, GGUF file, endpoint:NAME or chat:NAME.
        out: folder of all results; {model} is the last part of the model's name, null is results/{model} here.
        limit: only so many first questions of each subject, sentences, passages and words; null is all.
        settings: of the multiple-choice parts, as in their YAML files; null is what these say.
        only: parts to run, a list or separated by commas; null is all that need no training.
        with_training: also teach TOFU, and fine-tune.
        plan: say what would run, and stop.
    """

    model: str
    out: str | None = None
    limit: int | None = None
    settings: str | None = None
    only: str | list[str] | None = None
    with_training: bool = False
    plan: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "limit")
        self.plan |= bool(os.environ.get("PLAN"))
        # The parts run in the repository's folder, the paths are those of the caller's.
        self.out = str(Path(self.out or ROOT / "results" / model_name(self.model)).resolve())
        if Path(self.model).exists():
            self.model = str(Path(self.model).resolve())
        if not self.chosen:
            raise InputError(f"only is empty; the parts are {', '.join(PARTS)}")
        if unknown := [name for name in self.chosen if name not in PARTS]:
            raise InputError(f"only has {unknown[0]!r}; the parts are {', '.join(PARTS)}")

    @property
    def chosen(self) -> list[str]:
        """Names of the parts to run, in their order."""
        if self.only is not None:
            names = comma_list(self.only)
            return [name for name in PARTS if name in names] + [name for name in names if name not in PARTS]
        return [name for name, part in PARTS.items() if self.with_training or not part.training]

    def command(self, name: str) -> list[str]:
        """What runs a part."""
        part = PARTS[name]
        if name == "consistency":
            runs = f"{model_name(self.model)}={self.out}/mmlu"
            return [sys.executable, part.script, "--runs", runs, "--out", f"{self.out}/consistency", "--chance", "0.25"]
        words = ["bash", part.script, self.model]
        if part.limit and self.limit:
            words += [f"--{part.limit}", str(max(self.limit, part.smallest))]
        if name == "mexa" and any(Path(self.out, "mmlu").glob("full_*.csv")):
            words += ["--run", f"{self.out}/mmlu"]
        settings = self.settings or (part.first_settings if self.limit else "")
        return words + (["--settings", settings] if part.settings and settings else [])

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """Where a part writes, and which Python it uses."""
        part = PARTS[name]
        own = {"PYTHON": sys.executable, "RESULTS": f"{self.out}/{name}"}
        for key in ("CONFIG", "CORPUS", "DATA_CONFIG", "EVALUATE"):  # else they are the repository's, or on the hub
            if (value := os.environ.get(key)) and (key == "DATA_CONFIG" or Path(value).exists()):
                own[key] = str(Path(value).resolve())
        for key, value in {**part.variables, **(part.first_variables if self.limit else {})}.items():
            own[key] = os.environ.get(key) or value
        return {key: value for key, value in os.environ.items() if key != "PLAN"} | own | more


def last_line(text: str) -> str:
    """The last line that says something, that of an error first, which a launcher may write more behind."""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it ended without a word"])[-1]
