"""Prompts longer than the model's context: fewer few-shot examples, or a question less, decided before any is asked."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from common.cli import InputError, comma_list, config_hash
from common.evaluation.evaluate import EvaluationConfig, Scorer, Task, evaluate, make_scorer
from common.evaluation.scorers import continuations_of
from common.lm.gguf import unpacked
from common.lm.loading import ModelConfig, without_weights
from common.lm.server import split_server
from common.lm.tokenization import prompt_tokens, tokenize_pairs
from common.prompts import chat_answer_start, chat_prompt
from common.questions import Question, by_subject
from common.reporting.provenance import read_run, write_run
from common.settings import Setting, expand_settings

SPECIAL = 16  # more tokens than a tokenizer adds to a text; each of the others is at least a byte


def evaluate_fitting(
    task: Task,
    overlong: str,
    config: EvaluationConfig,
    model: ModelConfig,
    scorer: Callable[[EvaluationConfig, ModelConfig], Scorer] = make_scorer,
    written: int = 0,
) -> None:
    """As `evaluate`, but for prompts that are too long; what was dropped is said at the end, and kept in run.json.

    Args:
        overlong: as in MMLU/evaluate_mmlu.py; the context of a model on a server is not known, as with `error`.
        written: tokens that the model writes after a prompt; 0 where continuations are scored.
    """
    if overlong == "error" or config.show or split_server(model.model):
        evaluate(task, config, model, scorer)
        return
    names = expand_settings(comma_list(config.settings), task.names)
    fitting = Fitting(task, config, model, overlong == "skip", names, written)
    evaluate(replace(task, read=fitting.read), config, model, scorer)
    dropped = {name: record for name, record in fitting.dropped.items() if name in names}
    if dropped and model.processes().is_main_process:
        info = read_run(config.out)
        for name, record in dropped.items():
            info["records"][name]["overlong"] = record
        write_run(config.out, info)
        questions, examples = (sum(record[key] for record in dropped.values()) for key in ("questions", "examples"))
        if fitting.skip:
            said = f"{', '.join(sorted(fitting.skipped))} left out of every setting"
        else:
            said = f"{questions} prompts in {len(dropped)} settings, asked with {examples} few-shot examples fewer"
        print(f"note: longer than the model's context: {said}; run.json has the numbers", file=sys.stderr)


@dataclass
class Fitting:
    """Reads the settings of a task so that their prompts fit.

    Attributes:
        skip: leave a question that does not fit in one of `names` out of all settings; else show fewer examples.
        dropped: by setting, how many questions are concerned, and how many examples are not shown.
    """

    task: Task
    config: EvaluationConfig
    model: ModelConfig
    skip: bool
    names: Sequence[str]
    written: int
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    def read(self, name: str) -> Setting:
        """The setting; where all of its prompts fit, as the task has it."""
        setting = self.asked[name] if name in self.asked else self.task.read(name)
        if self.skip:
            kept = [question for question in setting.questions if question.id not in self.skipped]
            if not kept:
                raise InputError(f"setting {name}: every prompt is longer than the model's context; use another model")
            count, examples, change = len(setting.questions) - len(kept), 0, sorted(self.skipped)
            fitted = replace(setting, questions=kept)
        else:
            shots = self.shots_of(setting)
            count, change = len(shots), shots
            fitted = replace(setting, shots=shots)
            examples = sum(len(setting.shown(item)) - len(fitted.shown(item)) for item in setting.questions)
        if not count:
            return setting
        self.dropped[name] = {"questions": count, "examples": examples}
        return replace(fitted, content_hash=config_hash({"was": setting.content_hash, "overlong": change}))

    @cached_property
    def asked(self) -> dict[str, Setting]:
        """With `skip` all settings that are asked, which decide together."""
        return {name: self.task.read(name) for name in self.names} if self.skip else {}

    @cached_property
    def skipped(self) -> set[str]:
        """The questions that do not fit in one of the settings."""
        return {item.id for setting in self.asked.values() for item, _ in self.too_long(setting, setting.questions)}

    def shots_of(self, setting: Setting) -> dict[str, int]:
        """The few-shot examples left to each question that has to do with fewer: as many as fit."""
        shots: dict[str, int] = {}
        for subject, items in by_subject(setting.questions).items():
            left, examples = self.too_long(setting, items), setting.fewshot_examples.get(subject, ())
            for count in reversed(range(len(examples))):
                fewer = replace(setting, fewshot_examples={subject: examples[:count]})
                still = self.too_long(fewer, [item for item, _ in left]) if left else []
                shots |= {item.id: count for item in {item for item, _ in left} - {item for item, _ in still}}
                left = still
            for item, length in left[:1]:
                raise InputError(
                    f"question {item.id} in setting {setting.name}: its prompt without few-shot examples needs {length}"
                    f" tokens, the model takes {self.limit}; leave such questions out with --overlong skip, or use a"
                    " model with a longer context"
                )
        return shots

    def too_long(self, setting: Setting, items: Sequence[Question]) -> list[tuple[Question, int]]:
        """Those of the questions whose prompts do not fit, and the positions that they need."""
        if not self.limit:
            return []
        config = self.config
        prompts = setting.prompts(items, config.answer_format)
        if config.chat:
            prompts = [chat_prompt(self.tokenizer, prompt) for prompt in prompts]
        start = chat_answer_start(self.tokenizer) if config.chat else None
        bare = config.answer_format == "letter" and config.answer_token == "bare"
        found = []
        for item, prompt in zip(items, prompts, strict=True):
            follows = []
            if not self.written:
                follows = continuations_of(self.tokenizer, setting, item, config.answer_format, bare, start)
            longest = max((len(text.encode()) for text in follows if isinstance(text, str)), default=1)
            if len(prompt.encode()) + max(longest, self.written) + SPECIAL <= self.limit:
                continue
            if self.written:
                needed = len(prompt_tokens(self.tokenizer, [prompt])[0]) + self.written
            else:  # the last token predicts nothing
                needed = max(len(pair.tokens) for pair in tokenize_pairs(self.tokenizer, [prompt], [follows])) - 1
            if needed > self.limit:
                found.append((item, needed))
        return found

    @property
    def tokenizer(self):
        return self._described[1]

    @property
    def limit(self) -> int | None:
        """Positions of the model; None where it has no limit."""
        return getattr(self._described[0].get_text_config(), "max_position_embeddings", None)

    @cached_property
    def _described(self):
        return without_weights(unpacked(self.model.model), self.model.revision)[1:]
