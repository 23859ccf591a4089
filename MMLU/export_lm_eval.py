"""Export the settings as tasks of EleutherAI's lm-evaluation-harness (0.4.13), with our prompts to the character.

    python MMLU/export_lm_eval.py --data MMLU/results/variants --out DIR
    lm_eval --include_path DIR --tasks crosslingual_mmlu_full_de --num_fewshot 5 --model hf --model_args pretrained=gpt2

Writes a folder <out>/crosslingual_mmlu:

    crosslingual_mmlu.yaml                    group of all settings
    crosslingual_mmlu_<setting>.yaml          group of the subjects of a setting
    <setting>/<subject>.yaml                  task
    <setting>/{test,dev}/<subject>.jsonl      its questions and few-shot examples
    export.json                               what it was made from

A task is one subject, because the harness takes the first few-shot examples of a whole split and ours are of the
question's subject. The tasks name their JSONL files by absolute paths, since the harness resolves relative ones against
the folder it is called in: export again rather than move the folder.
"""

import glob
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from evaluate_mmlu import MmluConfig

from common.cli import InputError, comma_list, parse, run
from common.prompts import PromptFormat, question_text
from common.questions import Question, by_subject, read_questions
from common.reporting.files import temporary_file, write_json_atomic, write_text_atomic
from common.settings import Setting, expand_settings

RECORD = "export.json"  # also marks a folder as one that may be replaced
VERSION = {"version": 1.0}


@dataclass(frozen=True)
class ExportConfig:
    """Export the settings as tasks of lm-evaluation-harness.

    Attributes:
        data: folder written by build_variants.py, one <setting>.csv each.
        out: folder for --include_path of the harness; the tasks become a folder of the group's name in it.
        settings: all, or families and settings as a list or separated by commas (full,gt_de,mixup).
        name: of the group, with which the names of all tasks begin.
        num_fewshot: number of few-shot examples that a task takes from data/dev if the harness is called without
            --num_fewshot; 0 leaves it to the harness.
    """

    data: str
    out: str
    settings: str | list[str] = "all"
    name: str = "crosslingual_mmlu"
    num_fewshot: int = 0

    def __post_init__(self) -> None:
        # The harness takes other characters for patterns, or for the end of a name.
        if not re.fullmatch(r"\w[\w-]*", self.name):
            raise InputError(f"name {self.name!r}: use letters, digits, _ and - only")

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.out).resolve() / self.name


def main() -> None:
    config = parse(ExportConfig)
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise InputError(f"--out {config.out} is a file; name a folder")
    if config.folder.exists() and not (config.folder / RECORD).exists():
        raise InputError(f"{config.folder} was not written by export_lm_eval.py; choose another --out or --name")
    task = MmluConfig(data=config.data, num_fewshot=config.num_fewshot).task(None)
    names = expand_settings(comma_list(config.settings), task.names)
    if not names:
        raise InputError("settings is empty; name settings or families, or use all")
    examples = write(config, names, map(task.read, names))
    name, fewest = min(examples.items(), key=lambda item: item[1])
    print(f"{len(names)} settings, {len(examples)} tasks in {config.folder}")
    print(f"note: --num_fewshot of the harness may be {fewest} at most, the number of few-shot examples of {name}")
    print(f"lm_eval --include_path {config.out} --tasks {config.name} --model hf --model_args pretrained=MODEL")


def write(config: ExportConfig, names: Sequence[str], settings: Iterable[Setting]) -> dict[str, int]:
    """Write the folder whole or not at all, replacing an older one; returns the number of few-shot examples by task."""
    folder = config.folder
    groups = [f"{config.name}_{name}" for name in names]
    tasks: dict[str, int] = {}
    with temporary_file(folder) as temporary:
        for group, setting in zip(groups, settings, strict=True):
            own = write_setting(temporary, config, setting, {config.name, *groups, *tasks})
            write_yaml(temporary / f"{group}.yaml", group_of(group, list(own)) | {"group_alias": setting.name})
            tasks |= own
        write_yaml(temporary / f"{config.name}.yaml", group_of(config.name, groups))
        # Without `out`, so that the same input gives the same record in any folder.
        record = {key: value for key, value in asdict(config).items() if key != "out"}
        write_json_atomic(temporary / RECORD, record | {"settings": list(names)})
        if folder.exists():
            shutil.rmtree(folder)
    return tasks


def write_setting(temporary: Path, config: ExportConfig, setting: Setting, taken: set[str]) -> dict[str, int]:
    """Write the tasks of a setting, one a subject, below `temporary`; returns the number of few-shot examples by task.

    InputError where a task would have the name of another one, or one of the names `taken`.
    """
    path = Path(config.data, "dev", f"{setting.name}.csv")
    examples = by_subject(read_questions(path)) if path.exists() else {}
    tasks: dict[str, int] = {}
    for subject, questions in by_subject(setting.questions).items():
        stem = re.sub(r"\W+", "_", subject).strip("_").lower()
        name = f"{config.name}_{setting.name}_{stem}"
        if not stem or name in taken or name in tasks:
            raise InputError(f"subject {subject!r} of {setting.name}: rename it, {name} is taken or incomplete")
        files = {}
        for split, items in (("test", questions), ("dev", examples.get(subject, []))):
            if items:
                file = Path(setting.name, split, f"{stem}.jsonl")
                rows = [json.dumps(row_of(item, setting.prompt_format), ensure_ascii=False) for item in items]
                write_text_atomic(temporary / file, "".join(row + "\n" for row in rows))
                files[split] = glob.escape(str(config.folder / file))  # the harness takes paths for patterns
        values = {"task": name, "task_alias": subject, **task_of(files, questions, setting.prompt_format)}
        if config.num_fewshot:
            values["num_fewshot"] = config.num_fewshot  # a 0 would forbid another number on the command line
        write_yaml(temporary / setting.name / f"{stem}.yaml", values)
        tasks[name] = len(examples.get(subject, []))
    return tasks


def row_of(item: Question, prompt_format: PromptFormat) -> dict[str, Any]:
    """A question in the fields that its task names: `header` and `text` are the 0-shot prompt."""
    return {
        "id": item.id,
        "header": prompt_format.header(item),
        "text": question_text(item, prompt_format),
        "choices": list(prompt_format.labels_of(item)),
        "answer": item.letters.index(item.answer),
    }


def task_of(files: dict[str, str], questions: Sequence[Question], prompt_format: PromptFormat) -> dict[str, Any]:
    """The keys of a task whose prompts are common.prompts.mmlu_prompt; `files` are its splits."""
    headers = {prompt_format.header(item) for item in questions}
    # Questions with and without a passage differ in it; and the harness takes braces in it for a template.
    plain = len(headers) == 1 and "{" not in "".join(headers)
    # Without examples of its own the harness would take test questions, the asked one too; from none it refuses.
    fewshot = {"fewshot_split": "dev"} if "dev" in files else {}
    return {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        **fewshot,
        "fewshot_config": {"sampler": "first_n"} | ({} if fewshot else {"samples": []}),
        "output_type": "multiple_choice",
        "description": headers.pop() if plain else "{{header}}",
        # Names of fields, not templates: the texts of the questions are taken as they are.
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": VERSION,
    }


def group_of(name: str, members: Sequence[str]) -> dict[str, Any]:
    """A group of tasks or groups, whose accuracy is that of all their questions."""
    accuracy = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    return {"group": name, "task": list(members), "aggregate_metric_list": [accuracy], "metadata": VERSION}


def write_yaml(path: Path, values: dict[str, Any]) -> None:
    """Write a YAML file with its keys in the order given."""
    write_text_atomic(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000))


if __name__ == "__main__":
    run(main)
