"""Ask a causal LM multiple-choice questions in every setting; writes one record per question, and a summary.

    python MMLU/evaluate.py --config MMLU/configs/zero_shot.yaml --model gpt2 --data DIR --out MMLU/results/gpt2

Several GPUs share the work with `accelerate launch --multi_gpu --num_processes 2 MMLU/evaluate.py ...`, and so do
several CPU processes with `--device cpu` at the end (nodes need a common file system for `out`). Killed at any moment,
the same command goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from categories import category
from questions import load_settings

from common.choices import LETTERS, settings_in
from common.config import comma_list, parse
from common.errors import InputError, hide_siblings, run
from common.evaluation import Evaluation, evaluate
from common.group_scorer import Setting
from common.prompts import PAPER_STYLE, Style, hinted_header, mmlu_header


@dataclass(kw_only=True)
class Evaluate(Evaluation):
    """Evaluate a causal LM on multiple-choice questions in every language setting.

    Attributes:
        data: folder written by build_variants.py, one <setting>.csv each.
        shots: solved questions before each question, 0 or 5, from data/dev.
        demos: their setting, `same` as the question's or `en`, or `mixed`, each in the next of the languages.
        labels: of the options, four, separated by commas.
        hint: a sentence after the instruction, such as that languages are mixed; null is none.
    """

    data: str
    shots: Literal[0, 5] = 0
    demos: Literal["same", "en", "mixed"] = "same"
    labels: str = "A,B,C,D"
    hint: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(comma_list(self.labels))) != len(LETTERS):
            raise InputError(f"labels {self.labels!r}: four different ones are needed, separated by commas")

    @property
    def style(self) -> Style:
        return Style(hinted_header(self.hint) if self.hint else mmlu_header, tuple(comma_list(self.labels)))

    def available(self) -> list[str]:
        return settings_in(self.data)

    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        keys = {key: getattr(self, key) for key in ("shots", "demos", "limit", "style")}
        return load_settings(self.data, names, **keys)

    def depends(self) -> dict[str, Any]:
        values = {"shots": self.shots} | ({"demos": self.demos} if self.shots else {})
        if self.style != PAPER_STYLE:
            values |= {"labels": self.labels, "hint": self.hint}
        return values

    def category(self, subject: str) -> str:
        return category(subject)


def main() -> None:
    hide_siblings(__file__)
    evaluate(parse(Evaluate))


if __name__ == "__main__":
    run(main)
