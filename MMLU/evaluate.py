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

from common.choices import settings_in
from common.config import parse
from common.errors import hide_siblings, run
from common.evaluation import Evaluation, evaluate
from common.group_scorer import Setting


@dataclass(kw_only=True)
class Evaluate(Evaluation):
    """Evaluate a causal LM on multiple-choice questions in every language setting.

    Attributes:
        data: folder written by build_variants.py, one <setting>.csv each.
        shots: solved questions before each question, 0 or 5, from data/dev.
        demos: their setting, `same` as the question's or `en`.
    """

    data: str
    shots: Literal[0, 5] = 0
    demos: Literal["same", "en"] = "same"

    def available(self) -> list[str]:
        return settings_in(self.data)

    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        return load_settings(self.data, names, shots=self.shots, demos=self.demos, limit=self.limit)

    def depends(self) -> dict[str, Any]:
        return {"shots": self.shots} | ({"demos": self.demos} if self.shots else {})

    def category(self, subject: str) -> str:
        return category(subject)


def main() -> None:
    hide_siblings(__file__)
    evaluate(parse(Evaluate))


if __name__ == "__main__":
    run(main)
