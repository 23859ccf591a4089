"""Ask a causal LM multiple-choice questions in every language setting; writes one record per question, and summaries.

    python MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model gpt2 --data DIR --out MMLU/results/gpt2

Several GPUs share the work with `accelerate launch --multi_gpu --num_processes 2 MMLU/evaluate_mmlu.py ...`, several CPU
processes with `--device cpu` at the end (nodes need a common file system for `out`). Interrupted runs resume when rerun.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from categories import category

from common.cli import InputError, comma_list, parse, require_given, run
from common.evaluation.evaluate import EvaluationConfig, Task, evaluate
from common.lm.loading import ModelConfig
from common.prompts import PromptFormat, hinted_header, mmlu_header
from common.questions import LETTERS, Question, by_subject, read_questions
from common.reporting.provenance import file_digest
from common.settings import UNFINISHED, Setting, family, first_of_subjects, settings_in


@dataclass(kw_only=True)
class MmluConfig:
    """Evaluate a causal LM on multiple-choice questions in every language setting.

    Attributes:
        data: folder written by build_variants.py, one <setting>.csv each.
        num_fewshot: solved questions before each question, from data/dev; 0 is none.
        fewshot_examples: their setting, `same` as the question's or `en`, or `mixed`, each in the next of the languages.
        labels: of the options in the prompt, separated by commas; null is A, B, C, ...
        hint: a sentence after the instruction, such as that languages are mixed; null is none.
    """

    data: str | None = None
    num_fewshot: int = 0
    fewshot_examples: Literal["same", "en", "mixed"] = "same"
    labels: str | list[str] | None = None
    hint: str | None = None

    def __post_init__(self) -> None:
        require_given(self, "data")
        if self.num_fewshot < 0:
            raise InputError(f"num_fewshot is {self.num_fewshot}; it must be 0 or more")
        labels = self.prompt_format.labels
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"labels {self.labels!r}: two or more different ones are needed, separated by commas")

    @property
    def prompt_format(self) -> PromptFormat:
        labels = tuple(comma_list(self.labels)) if self.labels is not None else LETTERS
        return PromptFormat(hinted_header(self.hint) if self.hint else mmlu_header, labels)

    def task(self, limit: int | None, settings: Mapping[str, Setting] | None = None) -> Task:
        """The questions, of each subject the first `limit`; `settings` take the place of the folder's."""
        depends = {"num_fewshot": self.num_fewshot, "labels": self.labels, "hint": self.hint}
        if self.num_fewshot:
            depends["fewshot_examples"] = self.fewshot_examples
        return Task(settings or Variants(self, limit), asdict(self), depends, category)


class Variants(Mapping):
    """The settings of a folder of build_variants.py in table order, each read when it is taken.

    InputError for a folder without settings or not finished, and for few-shot examples that are missing.
    """

    def __init__(self, config: MmluConfig, limit: int | None):
        self.config, self.limit = config, limit
        self.folder = Path(config.data)
        if Path(self.folder, UNFINISHED).exists():
            raise InputError(f"{self.folder}: build_variants.py was stopped while it wrote this folder; run it again")
        if not self.names:
            raise InputError(f"{self.folder}: no <setting>.csv in this folder; make them with build_variants.py")
        self._read = cache(self._read_setting)

    @cached_property
    def names(self) -> list[str]:
        return settings_in(self.folder)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Setting:
        if name not in self.names:
            raise KeyError(name)
        return self._read(name)

    def _read_setting(self, name: str) -> Setting:
        path = self.folder / f"{name}.csv"
        questions, content = first_of_subjects(read_questions(path), self.limit), file_digest(path)
        examples: dict[str, list[Question]] = {}
        if self.config.num_fewshot:
            files = self._example_files(name)
            examples = read_examples(files, self.config.num_fewshot, questions)
            content += "".join(map(file_digest, files))
        return Setting(name, questions, content, examples, self.config.prompt_format)

    def _example_files(self, setting: str) -> list[Path]:
        """The files from which few-shot examples are taken in turn: one, or with `mixed` one a language."""
        folder = self.folder / "dev"
        names = {"same": [setting], "en": ["en"]}.get(self.config.fewshot_examples)
        if names is None:
            names = [name for name in settings_in(folder) if family(name)[0] in ("en", "full")]
        return [folder / f"{name}.csv" for name in names or ["en"]]


def read_examples(files: Sequence[Path], count: int, questions: Sequence[Question]) -> dict[str, list[Question]]:
    """The first `count` questions of each subject, the k-th from the k-th file and round again.

    InputError where a file has fewer of a subject of `questions`.
    """
    tables = [by_subject(read_questions(path)) for path in files]
    for path, table in zip(files, tables, strict=True):
        for subject in by_subject(questions):
            if len(table.get(subject, ())) < count:
                raise InputError(
                    f"{path}: fewer than {count} questions of subject {subject}; add them or use --num_fewshot 0"
                )
    return {subject: [tables[k % len(tables)][subject][k] for k in range(count)] for subject in by_subject(questions)}


def main() -> None:
    mmlu, config, model = parse(MmluConfig, EvaluationConfig, ModelConfig)
    evaluate(mmlu.task(config.limit), config, model)


if __name__ == "__main__":
    run(main)
