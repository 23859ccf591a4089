"""Evaluate a causal LM on TOFU in several languages: free-form answers, and a choice between true and false answers.

    python TOFU/evaluate_tofu.py --config TOFU/configs/tofu.yaml --model MODEL --data FILE --translations DIR --out DIR

The choice is asked in the settings named, with records as in MMLU/evaluate_mmlu.py; the free-form answers are in
<out>/answers/<language>.csv. Interrupted runs resume when rerun.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass

from answers import ask
from tofu import AuthorQuestion, choices, question_label, read_languages

from common.cli import InputError, comma_list, parse, require_given, require_positive, run
from common.evaluation.evaluate import EvaluationConfig, Task, evaluate
from common.languages import PAPER
from common.lm.loading import ModelConfig
from common.lm.server import split_server
from common.parallel_data import check_languages
from common.plan import Planned
from common.prompts import PromptFormat
from common.settings import expand_settings, make_settings


@dataclass(kw_only=True)
class TofuConfig:
    """Evaluate a causal LM on TOFU.

    Attributes:
        data: JSON file in TOFU's fields, in English, or a data set's name (locuslab/TOFU).
        subset: of the data set, such as forget10_perturbed.
        translations: folder of TOFU/translate_tofu.py, with <language>/<name>.json; null for English alone.
        languages: ISO codes, English first; each but English needs a translation.
        max_new_tokens: maximum number of tokens of a free-form answer.
        seed: of the random draws: the false answers of a choice, their order, the mixed settings, and the intervals.
    """

    data: str | None = None
    subset: str | None = None
    translations: str | None = None
    languages: str | list[str] = ",".join(PAPER)
    max_new_tokens: int = 200
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "max_new_tokens")

    def parallel(self, limit: int | None) -> dict[str, list[AuthorQuestion]]:
        """The first `limit` questions by language, row for row."""
        languages = comma_list(self.languages)
        check_languages(languages)
        return read_languages(self.data, self.subset, self.translations, languages, limit)


def main() -> None:
    tofu, config, model = parse(TofuConfig, EvaluationConfig, ModelConfig)
    if split_server(model.model):
        raise InputError(f"model {model.model}: the probability of an answer needs the model itself, not a server")
    if config.protocol == "paper":
        raise InputError("protocol paper: it is known for MMLU and the quiz only; use protocol ours")
    parallel = tofu.parallel(config.limit)
    items = choices(parallel, tofu.seed)
    settings = make_settings(items, tofu.seed, PromptFormat(question_label)) if items["en"] else {}
    if settings:
        expand_settings(comma_list(config.settings), list(settings))  # refused before any answer is asked for
    if not config.show:
        with suppress(Planned):
            summary = ask(parallel, tofu, config, model)
            print(summary.to_string(index=False, float_format="{:.4f}".format), f"\n{config.out}/answers/summary.csv")
    if not settings:
        print(f"note: {tofu.data} has no perturbed answers, so no choice between answers is asked")
        return
    evaluate(Task(list(settings), settings.__getitem__, asdict(tofu), {"task": "tofu"}), config, model)


if __name__ == "__main__":
    run(main)
