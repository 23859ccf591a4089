"""Ask a causal LM multiple-choice questions in every language setting; writes one record per question, and summaries.

    python MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model gpt2 --data DIR --out MMLU/results/gpt2

For several GPUs use `accelerate launch --multi_gpu --num_processes 2 MMLU/evaluate_mmlu.py ...`, and add `--device cpu`
for several CPU processes; nodes need a common file system for `out`. Interrupted runs resume when rerun.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

from categories import category
from clika import clika_prompt
from knowledge_free import facts_first
from mmlu_protocol import DTYPE
from overlong import evaluate_fitting

from common.cli import InputError, comma_list, parse, require_given, run
from common.evaluation.evaluate import EvaluationConfig, Task
from common.lm.loading import ModelConfig
from common.prompts import PromptFormat, hinted_header, mmlu_header
from common.questions import LETTERS, Question, by_subject, read_questions
from common.reporting.provenance import file_digest
from common.settings import UNFINISHED, Setting, expand_settings, family, first_of_subjects, settings_in


@dataclass(kw_only=True)
class MmluConfig:
    """Evaluate a causal LM on multiple-choice questions in every language setting.

    Attributes:
        data: folder written by build_variants.py, one <setting>.csv each.
        num_fewshot: number of few-shot examples before each question, from data/dev; 0 is none.
        fewshot_examples: setting of the examples: `same` as the question's, `en`, or `mixed` (the languages in turn).
        on_few_examples: what to do where a subject has fewer examples than num_fewshot; `fewer` asks with those it has.
        overlong: what to do with a prompt that is longer than the model's context: `drop_shots` shows this question
            fewer few-shot examples, as many as fit; `skip` leaves the question out of every setting that is asked;
            `error` ends the run there, as a prompt does that is too long without examples.
        labels: of the options in the prompt, separated by commas; null is A, B, C, ...
        hint: a sentence after the instruction, such as that languages are mixed; null is none.
        prompt: `paper`; `facts`, the same with a passage as lines before the question; or `clika`, that of CLiKA's
            tasks, with a solved example of its own.
    """

    data: str | None = None
    num_fewshot: int = 0
    fewshot_examples: Literal["same", "en", "mixed"] = "same"
    on_few_examples: Literal["refuse", "fewer"] = "refuse"
    overlong: Literal["drop_shots", "skip", "error"] = "drop_shots"
    labels: str | list[str] | None = None
    hint: str | None = None
    prompt: Literal["paper", "facts", "clika"] = "paper"

    def __post_init__(self) -> None:
        require_given(self, "data")
        if self.num_fewshot < 0:
            raise InputError(f"num_fewshot is {self.num_fewshot}; it must be 0 or more")
        labels = self.prompt_format.labels
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"labels {self.labels!r}: two or more different ones are needed, separated by commas")
        if self.prompt == "clika" and (self.num_fewshot or self.labels is not None or self.hint is not None):
            raise InputError("prompt clika has its own example, labels and instruction: no num_fewshot, labels or hint")

    @property
    def prompt_format(self) -> PromptFormat:
        labels = tuple(comma_list(self.labels)) if self.labels is not None else LETTERS
        return PromptFormat(hinted_header(self.hint) if self.hint else mmlu_header, labels)

    def task(self, limit: int | None) -> Task:
        """The first `limit` questions of each subject (all for None) in every setting of the folder.

        InputError for a folder that is incomplete or without settings, and for missing few-shot examples.
        """
        folder = Path(self.data)
        if Path(folder, UNFINISHED).exists():
            raise InputError(f"{folder}: build_variants.py was stopped while it wrote this folder; run it again")
        if not (names := settings_in(folder)):
            raise InputError(f"{folder}: no <setting>.csv in this folder; make them with build_variants.py")
        depends = {"num_fewshot": self.num_fewshot, "labels": self.labels, "hint": self.hint}
        if self.num_fewshot:
            depends["fewshot_examples"] = self.fewshot_examples
        if self.num_fewshot and self.on_few_examples == "fewer":
            depends["on_few_examples"] = "fewer"
        if self.prompt != "paper":
            depends["prompt"] = self.prompt
        read = partial(self.read_setting, limit=limit)
        return Task(names, read, asdict(self), depends, category, paper_dtype=DTYPE)

    def with_examples(self, names: Sequence[str], config: EvaluationConfig, model: ModelConfig) -> EvaluationConfig:
        """The configuration without those settings that have no few-shot examples of their own, which are named.

        Unchanged where no setting has any: reading the first of them says what is missing.
        """
        if not self.num_fewshot or self.fewshot_examples != "same":
            return config
        asked = expand_settings(comma_list(config.settings), names)
        there = [name for name in asked if Path(self.data, "dev", f"{name}.csv").is_file()]
        if not there or there == asked:
            return config
        if model.processes().is_main_process:
            left = ", ".join(name for name in asked if name not in there)
            print(
                f"note: {self.data}/dev has no few-shot examples of these settings, left out: {left}", file=sys.stderr
            )
        return replace(config, settings=there)

    def read_setting(self, name: str, limit: int | None) -> Setting:
        """One setting of the folder with its few-shot examples."""
        path = Path(self.data, f"{name}.csv")
        questions, content = first_of_subjects(read_questions(path), limit), file_digest(path)
        examples: dict[str, list[Question]] = {}
        if self.num_fewshot:
            folder = Path(self.data, "dev")
            names = {"same": [name], "en": ["en"]}.get(self.fewshot_examples)
            if names is None:
                names = in_one_language(folder)
                if names == ["en"] != in_one_language(self.data):
                    raise InputError(
                        f"{folder}: English examples only, none to mix them with; use --fewshot_examples en"
                    )
            files = [folder / f"{one}.csv" for one in names or ["en"]]
            examples = read_examples(files, self.num_fewshot, questions, self.on_few_examples == "fewer")
            content += "".join(map(file_digest, files))
        if self.prompt == "facts":
            questions = list(map(facts_first, questions))
            examples = {subject: list(map(facts_first, own)) for subject, own in examples.items()}
        own = {"write_prompt": clika_prompt, "before_answer": ""} if self.prompt == "clika" else {}
        return Setting(name, questions, content, examples, self.prompt_format, **own)


def in_one_language(folder: str | Path) -> list[str]:
    """The settings of a folder whose questions are in one language each."""
    return [name for name in settings_in(folder) if family(name)[0] in ("en", "full")]


def read_examples(
    files: Sequence[Path], count: int, questions: Sequence[Question], fewer: bool
) -> dict[str, list[Question]]:
    """The first `count` examples of each subject of `questions`, taken from the files in turn.

    InputError where a file has fewer of a subject, unless `fewer` are wanted then.
    """
    tables = [by_subject(read_questions(path)) for path in files]
    examples = {}
    for subject in by_subject(questions):
        there = min(len(table.get(subject, ())) for table in tables)
        if there < count and not fewer:
            path = next(path for path, table in zip(files, tables, strict=True) if len(table.get(subject, ())) == there)
            raise InputError(
                f"{path}: {there} questions of subject {subject} where {count} examples are asked for; add them, or use"
                " --num_fewshot 0 or --on_few_examples fewer"
            )
        if there < count:
            note(f"{there} few-shot examples of {subject} instead of {count}")
        examples[subject] = [tables[k % len(tables)][subject][k] for k in range(min(count, there))]
    return examples


@cache
def note(sentence: str) -> None:
    """Say it on stderr, once for all settings."""
    print(f"note: {sentence}", file=sys.stderr)


def main() -> None:
    mmlu, config, model = parse(MmluConfig, EvaluationConfig, ModelConfig)
    task = mmlu.task(config.limit)
    evaluate_fitting(task, mmlu.overlong, mmlu.with_examples(task.names, config, model), model)


if __name__ == "__main__":
    run(main)
