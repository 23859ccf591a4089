"""The evaluation loop: asks a causal LM the questions of a task in every setting; writes records and summaries."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from common.cli import InputError, comma_list, config_hash, require_positive
from common.evaluation.records import write_setting, write_summaries
from common.evaluation.resume import Shard, Spool, UnitStore, Worker, compute_missing, hold, shards_of
from common.evaluation.scorers import LogprobScorer, Parts, ServerScorer, shard_prompts
from common.lm.loading import DTYPES, ModelConfig, pick_device
from common.lm.loglikelihood import ScoringStats
from common.lm.precision import cpu_multiplies
from common.lm.server import Server, split_server
from common.questions import Question
from common.reporting.provenance import read_run, write_run
from common.settings import Setting, expand_settings, settings_in


@dataclass(kw_only=True)
class EvaluationConfig:
    """How questions are asked.

    Attributes:
        out: folder for the records, summaries and run.json.
        settings: all, or families and settings as a list or separated by commas (full,gt_de,mixup).
        answer_format: `letter` shows the options and compares the answer letters (multiple-choice formulation, MCF);
            `text` compares the texts of the options by log-probability per byte, without showing them (cloze, CF).
        answer_token: `follow` scores the token of the letter after "Answer:", `bare` that of the letter alone, as the
            paper's code does.
        protocol: `ours`, or `paper`, the choices of the paper's code: `bare`, one prompt at a time, its precision for
            dtype auto, and what a task adds.
        chat: put the prompt as a user's turn into the tokenizer's chat template, for instruction-tuned models.
        max_requests: maximum number of requests to a server per run of the command; null is no limit.
        max_server_tokens: maximum number of tokens that a server counts, prompts and answers; null is no limit.
        limit: use only the first questions of each subject, for a quick try; null is all.
        show: print this many prompts of each setting and exit without loading the model; 0 is off.
    """

    out: str
    settings: str | list[str] = "all"
    answer_format: Literal["letter", "text"] = "letter"
    answer_token: Literal["follow", "bare"] = "follow"
    protocol: Literal["ours", "paper"] = "ours"
    chat: bool = False
    max_requests: int | None = None
    max_server_tokens: int | None = None
    limit: int | None = None
    show: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "max_requests", "max_server_tokens", "limit")
        if self.show < 0:
            raise InputError(f"show is {self.show}; it must be 0 or more")
        if self.protocol == "paper":
            if self.answer_format == "text" or self.chat:
                raise InputError("protocol paper: leave answer_format letter and chat false, as in the paper's code")
            self.answer_token = "bare"

    def server(self, model: str) -> Server:
        """The model `endpoint:NAME` or `chat:NAME`, its replies kept beside the records."""
        name, chat = split_server(model)
        limits = {"requests": self.max_requests, "tokens": self.max_server_tokens}
        return Server(name, chat=chat, replies=Path(self.out) / "replies.sqlite", limits=limits)


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        names: every setting of the data, in table order.
        read: makes the setting of a name.
        config: the task's keys, for run.json.
        depends: what records depend on besides EvaluationConfig, the model and the settings themselves.
        category: maps a subject to its category in summary_by_category.csv.
        written: tokens that the model writes for a question, about.
        paper_dtype: precision of the weights in the paper's code.
    """

    names: Sequence[str]
    read: Callable[[str], Setting]
    config: Mapping[str, Any]
    depends: Mapping[str, Any] = field(default_factory=dict)
    category: Callable[[str], str] = str
    written: int = 0
    paper_dtype: str = "auto"


class Scorer(Protocol):
    """What answers questions: LogprobScorer, ServerScorer, or a task's own, such as MMLU/answer_scorer.py."""

    device: str
    dtype: str | None
    stats: ScoringStats

    def records(self, parts: Parts, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Records of one shard's questions."""


def make_scorer(config: EvaluationConfig, model: ModelConfig) -> Scorer:
    """The scorer of a loaded model, or of a server."""
    if split_server(model.model):
        return ServerScorer(config.server(model.model))
    keys = {key: getattr(config, key) for key in ("answer_format", "answer_token", "chat")}
    alone = config.protocol == "paper"
    return LogprobScorer(*model.load(), **keys, one_at_a_time=alone, token_budget=model.token_budget)


def evaluate(
    task: Task,
    config: EvaluationConfig,
    model: ModelConfig,
    scorer: Callable[[EvaluationConfig, ModelConfig], Scorer] = make_scorer,
) -> None:
    """Ask all questions that have no answer yet; write records and summaries of the settings that `config` names.

    Raises InputError for settings with different questions, keys that a server does not support, and a folder `out`
    with records of another configuration.
    """
    if split_server(model.model) and config.protocol == "paper":
        raise InputError(f"model {model.model}: protocol paper needs the model itself; use protocol ours for a server")
    if split_server(model.model) and (config.answer_format == "text" or config.answer_token == "bare" or config.chat):
        raise InputError(
            f"model {model.model}: a server is asked for the label that follows; leave answer_format letter,"
            " answer_token follow and chat false (chat:MODEL asks in a chat)"
        )
    started, out = time.monotonic(), Path(config.out)
    settings, ids, parts = read_settings(task, config)
    more = {"written": task.written, "preparation_seconds": round(time.monotonic() - started, 1)}
    if config.show:
        show(settings, config)
        return
    state = model.processes()
    if config.protocol == "paper" and model.dtype == "auto":
        model = replace(model, dtype=paper_dtype(task.paper_dtype, model.device, state.is_main_process))
    base = base_of(task, config, model)
    hashes = {name: hash_of(config, base, setting) for name, setting in settings.items()}
    hold(out, state)
    info = open_run(task, config, model, base, hashes)
    store = UnitStore(out / "units", hashes)

    def part(shard: Shard, names: Sequence[str]) -> dict[str, list[Question]]:
        return {name: questions for name, questions in parts[shard] if name in names}

    def start() -> Worker:
        made = scorer(config, model)
        return Worker(lambda *unit: made.records(part(*unit), settings), made.device, made.dtype, made.stats)

    def texts(*unit) -> list[str]:
        return shard_prompts(part(*unit), settings, config.answer_format)

    shards = list(parts.places)
    compute_missing(store, shards, start, info, state, texts=texts, **more)
    if state.is_main_process:
        for name, table in store.read(shards):
            info["records"][name] = {"hash": hashes[name], **write_setting(out, table, ids[name])}
        write_run(out, info)
        summary = write_summaries(out, task.category)
        print(summary.to_string(index=False, float_format="{:.4f}".format), f"\n{out}/summary.csv")


def paper_dtype(dtype: str, device: str, say: bool) -> str:
    """The precision of the paper's code; float32 on a CPU without instructions for it."""
    if device == "map" or pick_device(device).type != "cpu" or cpu_multiplies(DTYPES[dtype]):
        return dtype
    if say:
        print(f"note: this CPU does not compute in {dtype}, so protocol paper takes float32", file=sys.stderr)
    return "float32"


def read_settings(task: Task, config: EvaluationConfig) -> tuple[dict[str, Setting], Spool, Spool]:
    """The settings that `config` names, each with its first questions alone; ids by setting; all questions by shard.

    InputError where a setting has other questions or answers than English, as where a file was edited.
    """
    settings, ids, parts, english = {}, Spool(), Spool(), set()
    for name in expand_settings(comma_list(config.settings), task.names):  # English first
        setting = task.read(name)
        answers = {(question.id, question.answer) for question in setting.questions}
        english = answers if name == "en" else english
        if different := english and english ^ answers:
            raise InputError(
                f"question {min(different)[0]} is in only one of en.csv and {name}.csv, or its answers differ; build"
                " both again"
            )
        for shard, questions in shards_of(setting.questions).items():
            parts.extend(shard, [(name, questions)])
        ids.extend(name, [question.id for question in setting.questions])
        settings[name] = replace(setting, questions=setting.questions[: max(1, config.show)])
    return settings, ids, parts


def show(settings: Mapping[str, Setting], config: EvaluationConfig) -> None:
    """Print the first prompts of each setting with their possible continuations."""
    for setting in settings.values():
        questions = setting.questions[: config.show]
        for question, prompt in zip(questions, setting.prompts(questions, config.answer_format), strict=True):
            follows = f"{question.answer} of {setting.continuations(question, config.answer_format)}"
            print(f"=== {setting.name}, question {question.id}, answer {follows} ===\n{prompt}\n")


def base_of(task: Task, config: EvaluationConfig, model: ModelConfig) -> dict[str, Any]:
    """What the records of every setting depend on, besides the setting itself."""
    values = {"answer_format": config.answer_format, "limit": config.limit, "chat": config.chat}
    values |= {"dtype": model.dtype, "attention": model.attention, "model": model.content_hash(), **task.depends}
    values |= {"protocol": "paper"} if config.protocol == "paper" else {}  # records of ours keep their hashes
    return values | ({"answer_token": config.answer_token} if config.answer_format == "letter" else {})


def hash_of(config: EvaluationConfig, base: Mapping[str, Any], setting: Setting) -> str:
    """Hash of everything that a setting's records depend on; its first prompt represents the wording of all."""
    prompts = setting.prompts(setting.questions[:1], config.answer_format)
    return config_hash({**base, "setting": setting.name, "data": setting.content_hash, "prompt": prompts})


def open_run(
    task: Task, config: EvaluationConfig, model: ModelConfig, base: Mapping[str, Any], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """The content of run.json before anything is scored, with finished settings of an earlier run that are still valid.

    Raises InputError where the folder has records that this run would neither write nor keep.
    """
    out, digest = Path(config.out), config_hash(base)
    old = read_run(out) if (out / "run.json").exists() else {}
    if old and "records" not in old:
        raise InputError(f"{out}: holds what another command wrote; use another --out")
    same = old.get("hash") == digest
    records = {
        name: record
        for name, record in (old["records"] if same else {}).items()
        if name in task.names and record["hash"] == (hashes.get(name) or hash_of(config, base, task.read(name)))
    }
    for name in settings_in(out) if old else ():
        if name not in {*hashes, *records}:
            raise InputError(f"{out}/{name}.csv: from another configuration or data; use another --out or delete it")
        if name in old["records"] and name not in records:
            print(f"note: {out}/{name}.csv is from another configuration or data, and is replaced", file=sys.stderr)
    return {
        "config": asdict(model) | asdict(config) | dict(task.config),
        "hash": digest,
        "model": {"name": model.model, "revision": model.revision, "content_hash": base["model"]},
        "seed": task.config.get("seed"),  # of tasks that build their settings themselves
        "records": records,
        "sessions": old["sessions"] if same else [],
    }
