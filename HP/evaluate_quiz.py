"""Ask a causal LM the domain quiz in each language and in every mixed setting; writes records and summaries.

    python HP/evaluate_quiz.py --config HP/configs/quiz.yaml --model gpt2 --data HP/data/sample.csv --out DIR

Settings, scoring and files are those of MMLU/evaluate_mmlu.py; the instruction is in the question's language.
Interrupted runs resume when rerun.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from quiz import read_quiz
from quiz_protocol import BLANK, DTYPE, INSTRUCTIONS

from common.cli import InputError, comma_list, parse, require_given, run
from common.evaluation.evaluate import EvaluationConfig, Task, evaluate
from common.languages import LANGUAGES, PAPER
from common.lm.loading import ModelConfig
from common.parallel_data import align, check_languages
from common.prompts import PromptFormat
from common.questions import Question
from common.settings import make_settings


@dataclass(kw_only=True)
class QuizConfig:
    """Evaluate a causal LM on the domain quiz.

    Attributes:
        data: cross-ling-know/HarryPotter-Quiz or a copy of it, a folder of <Language>.csv files, or a CSV file as
            HP/data/sample.csv.
        languages: ISO codes, English first.
        topic: of the questions, named by the instruction in every language.
        seed: of the random draws: the wrong option of onewrong and the permutation of mixup.
        on_mismatch: what to do with a question whose answer differs between languages; drop leaves it out of all of
            them.
    """

    data: str | None = None
    languages: str | list[str] = ",".join(PAPER)
    topic: str = "Harry Potter"
    seed: int = 42
    on_mismatch: Literal["refuse", "drop"] = "refuse"

    def __post_init__(self) -> None:
        require_given(self, "data")

    def header(self, item: Question) -> str:
        """The instruction, in the question's language, naming the topic."""
        return LANGUAGES[item.question_language].mc_instruction.format(subject=self.topic) + "\n\n"

    def paper_header(self, item: Question) -> str:
        """The same in the words of the paper's code."""
        return INSTRUCTIONS[item.question_language].format(topic=self.topic) + "\n\n"

    def task(self, limit: int | None, protocol: str) -> Task:
        """Every setting of the quiz, with the first `limit` questions of each category."""
        languages = comma_list(self.languages)
        check_languages(languages)
        if protocol == "paper" and (others := set(languages) - set(INSTRUCTIONS)):
            raise InputError(f"protocol paper: the paper's code has no {min(others)}; use {', '.join(INSTRUCTIONS)}")
        parallel, dropped = align(read_quiz(self.data, languages), self.on_mismatch)
        if dropped:
            print(f"note: {len(dropped)} questions left out, their answers differ between languages")
        prompt_format = PromptFormat(self.header)
        if protocol == "paper":
            prompt_format = PromptFormat(self.paper_header, blank=BLANK)
        settings = make_settings(parallel, self.seed, prompt_format, limit)
        depends = {"topic": self.topic, "seed": self.seed}
        return Task(list(settings), settings.__getitem__, asdict(self), depends, paper_dtype=DTYPE)


def main() -> None:
    quiz, config, model = parse(QuizConfig, EvaluationConfig, ModelConfig)
    evaluate(quiz.task(config.limit, config.protocol), config, model)


if __name__ == "__main__":
    run(main)
