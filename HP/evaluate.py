"""Ask a causal LM the domain quiz in each language and in every mixed setting; writes records and summaries.

    python HP/evaluate.py --config HP/configs/quiz.yaml --model gpt2 --out HP/results/gpt2

The settings, the scorer and the files are those of MMLU/evaluate.py; the instruction is in the question's language.
Killed at any moment, the same command goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from quiz import read_quiz

from common.choices import expand_settings
from common.config import comma_list, parse
from common.errors import hide_siblings, run
from common.evaluation import Evaluation, evaluate
from common.group_scorer import Setting, make_settings
from common.parallel import align, check_languages
from common.prompts import Style, native_header


@dataclass(kw_only=True)
class Evaluate(Evaluation):
    """Evaluate a causal LM on the domain quiz.

    Attributes:
        data: cross-ling-know/HarryPotter-Quiz or a copy of it, a folder of <Language>.csv files, or a CSV file as
            HP/data/sample.csv.
        languages: ISO codes, English first.
        topic: of the questions, as the instruction names it in every language.
        seed: of what is drawn, the wrong option of onewrong and the permutation of mixup.
        on_mismatch: what to do with a question whose answer differs between languages; drop leaves it out of all of
            them.
    """

    data: str
    languages: str | list[str] = "en,de,fr,es,it"
    topic: str = "Harry Potter"
    seed: int = 42
    on_mismatch: Literal["refuse", "drop"] = "refuse"

    @cached_property
    def all_settings(self) -> dict[str, Setting]:
        """Every setting of the quiz in these languages."""
        languages = comma_list(self.languages)
        check_languages(languages)
        parallel, dropped = align(read_quiz(self.data, languages), self.on_mismatch)
        if dropped:
            print(f"note: {len(dropped)} questions left out, their answers differ between languages")
        return make_settings(parallel, self.seed, Style(native_header(self.topic)), self.limit)

    def depends(self) -> dict[str, Any]:
        return {"topic": self.topic, "seed": self.seed}

    def available(self) -> list[str]:
        return list(self.all_settings)

    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        return {name: self.all_settings[name] for name in expand_settings(names, self.available())}


def main() -> None:
    hide_siblings(__file__)
    evaluate(parse(Evaluate))


if __name__ == "__main__":
    run(main)
