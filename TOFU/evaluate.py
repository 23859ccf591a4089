"""Ask a causal LM TOFU in many languages: answers in its own words, and a choice between the answer and perturbations.

    python TOFU/evaluate.py --config TOFU/configs/tofu.yaml --model MODEL --data FILE.json --translations DIR --out DIR

The choice is asked in every mixed setting and leaves the records of MMLU/evaluate.py; the answers are in
<out>/answers/<language>.csv. Killed at any moment, the same command goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from answers import ask
from tofu import Question, choices, question_label, read_languages

from common.choices import expand_settings
from common.config import comma_list, parse
from common.endpoint import split_server
from common.errors import InputError, hide_siblings, run
from common.evaluation import Evaluation, evaluate
from common.group_scorer import Setting, make_settings
from common.parallel import check_languages
from common.prompts import Style


@dataclass(kw_only=True)
class Evaluate(Evaluation):
    """Evaluate a causal LM on TOFU.

    Attributes:
        data: JSON file in TOFU's fields, in English, or a data set's name (locuslab/TOFU).
        subset: of the data set, such as forget10_perturbed.
        translations: folder of TOFU/translate.py, with <language>/<name>.json.
        languages: ISO codes, English first; each but English needs a translation.
        score: `cloze` compares the texts of the options per byte, options not shown; `letter` the answer letters.
        max_new_tokens: most tokens of an answer in the model's own words.
        seed: of what is drawn, the perturbations of a choice, their order and the mixed settings; of the intervals.
    """

    data: str
    subset: str | None = None
    translations: str | None = None
    languages: str | list[str] = "en"
    score: Literal["letter", "cloze"] = "cloze"
    max_new_tokens: int = 200
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        if split_server(self.model):
            raise InputError(f"model {self.model}: the probability of an answer needs the model itself, not a server")
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")

    @cached_property
    def parallel(self) -> dict[str, list[Question]]:
        """The questions by language, row for row."""
        languages = comma_list(self.languages)
        check_languages(languages)
        found = read_languages(self.data, self.subset, self.translations, languages)
        return {code: rows[: self.limit] for code, rows in found.items()}

    @cached_property
    def all_settings(self) -> dict[str, Setting]:
        """Every setting of the choices; none where the answers have no perturbations."""
        items = choices(self.parallel, self.seed)
        return make_settings(items, self.seed, Style(question_label)) if items["en"] else {}

    def available(self) -> list[str]:
        return list(self.all_settings)

    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        return {name: self.all_settings[name] for name in expand_settings(names, self.available())}

    def depends(self) -> dict[str, Any]:
        return {"task": "tofu"}


def main() -> None:
    hide_siblings(__file__)
    config = parse(Evaluate)
    if not config.show:
        summary = ask(config, config.parallel)
        print(summary.to_string(index=False, float_format="{:.4f}".format), f"\n{config.out}/answers/summary.csv")
    if config.available():
        evaluate(config)
    else:
        print(f"note: {config.data} has no perturbed answers, so no choice between answers is asked")


if __name__ == "__main__":
    run(main)
