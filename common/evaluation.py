"""A multiple-choice evaluation: a causal LM's records of every setting, and their summaries.

The task scripts say where the questions come from; all else is here: prompts to look at, sharing the work among
processes, resumption, run.json.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm

from common.choices import Item, settings_in
from common.config import comma_list, config_hash
from common.endpoint import Budget, Endpoint, split_server
from common.errors import InputError
from common.files import remove_temporary_files, write_csv_atomic, write_json_atomic
from common.group_endpoint import GroupEndpoint
from common.group_scorer import GroupScorer, Setting, answers, group_prompts
from common.model_run import ModelRun
from common.prefix_tree import tree_size
from common.provenance import git_commit, now, package_versions, peak_memory
from common.records import load_records, read_run, summarize, write_setting
from common.units import Group, UnitStore, groups_of


@dataclass(kw_only=True)
class Evaluation(ModelRun, ABC):
    """What every multiple-choice evaluation can be told; a task adds where its questions come from.

    The model may also be endpoint:MODEL or chat:MODEL, behind an OpenAI-compatible server.

    Attributes:
        settings: all, or families and settings as a list or separated by commas (full,gt_de,mixup).
        score: `letter` compares the answer letters, `cloze` the texts of the options per byte, options not shown.
        answer_token: `follow` is the token that really follows "Answer:", `bare` that of the letter alone, as in the
            paper's code.
        chat: put the prompt as a user's turn into the tokenizer's chat template, for instruction-tuned models.
        max_requests: most requests to a server in one call of the command; null is no limit.
        max_server_tokens: most tokens that a server counts in one call, prompts and answers; null is no limit.
        limit: only so many first questions of each subject, for trying out; null is all.
        show: print so many prompts of each setting and stop, without the model; 0 is off.
    """

    settings: str | list[str] = "all"
    score: Literal["letter", "cloze"] = "letter"
    answer_token: Literal["follow", "bare"] = "follow"
    chat: bool = False
    max_requests: int | None = None
    max_server_tokens: int | None = None
    limit: int | None = None
    show: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("max_requests", "max_server_tokens", "limit")
        if split_server(self.model) and (self.score == "cloze" or self.answer_token == "bare" or self.chat):
            raise InputError(
                f"model {self.model}: a server is asked for the label that follows; leave score letter, answer_token"
                " follow and chat false (chat:MODEL asks in a chat)"
            )

    @abstractmethod
    def available(self) -> list[str]:
        """The settings that the data have."""

    @abstractmethod
    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        """The settings that `names` (`all`, families, settings) ask for, in table order."""

    def prompts(self, setting: Setting, items: Sequence[Item]) -> list[str]:
        """What the model reads of some questions of a setting, before a chat template."""
        return setting.prompts(items, self.score)

    def depends(self) -> dict[str, Any]:
        """What the records depend on besides the keys above and what is in a setting's digest."""
        return {}

    def endpoint(self) -> Endpoint:
        """The server's model, its replies kept beside the records."""
        name, chat = split_server(self.model)
        budget = Budget(self.max_requests, self.max_server_tokens)
        return Endpoint(name, chat=chat, replies=Path(self.out) / "replies.sqlite", budget=budget)

    def make_scorer(self) -> GroupScorer | GroupEndpoint:
        """What makes records of questions; has `records`, `stats`, `device` and `dtype`."""
        if split_server(self.model):
            return GroupEndpoint(self.endpoint())
        keys = {key: getattr(self, key) for key in ("score", "answer_token", "chat", "token_budget")}
        return GroupScorer(*self.load_model(), **keys)

    def fingerprint(self) -> str:
        """What identifies the model; a server's is its name, whatever stands behind it."""
        return self.model if split_server(self.model) else super().fingerprint()

    def category(self, subject: str) -> str:
        """What a subject counts as in summary_by_category.csv."""
        return subject


def show(config: Evaluation, settings: Mapping[str, Setting]) -> None:
    """Print the first prompts of each setting and what may follow them."""
    for setting in settings.values():
        items = setting.items[: config.show]
        for item, prompt in zip(items, config.prompts(setting, items), strict=True):
            follows = f"{item.answer} of {answers(item, config.score, setting.style)}"
            print(f"=== {setting.name}, question {item.id}, answer {follows} ===\n{prompt}\n")


def base_of(config: Evaluation) -> dict[str, Any]:
    """What the records of every setting depend on besides their data."""
    keys = ["score", "dtype", "attention", "limit"] + ["answer_token"] * (config.score == "letter")
    values = {key: getattr(config, key) for key in keys} | ({"chat": True} if config.chat else {})
    return values | config.depends() | {"model": config.fingerprint()}


def hash_of(config: Evaluation, base: Mapping[str, Any], setting: Setting) -> str:
    """Hash of all that a setting's records depend on; one full prompt stands for the wording of all."""
    prompts = config.prompts(setting, setting.items[:1])
    return config_hash({**base, "setting": setting.name, "data": setting.digest, "prompt": prompts})


def share(costs: Mapping[Group, int], processes: int) -> list[list[Group]]:
    """Groups for each process: the costliest first, each to the process with the least to do so far."""
    shares: list[list[Group]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for group in sorted(costs, key=lambda group: (-costs[group], group)):
        process = loads.index(min(loads))
        shares[process].append(group)
        loads[process] += costs[group]
    return shares


def still_valid(config: Evaluation, base: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, Any]:
    """Of an earlier run.json's finished settings those that this configuration and data would make again."""
    names = [name for name in config.available() if name in records]
    settings = config.load_settings(names) if names else {}
    return {name: records[name] for name in names if records[name]["hash"] == hash_of(config, base, settings[name])}


def open_run(config: Evaluation, base: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """What run.json says before anything is scored; what an earlier run with the same configuration finished stays.

    Raises InputError where the folder holds records that this run would neither write nor keep.
    """
    out, digest = Path(config.out), config_hash(base)
    old = read_run(out) if (out / "run.json").exists() else {}
    same = old.get("hash") == digest
    records = still_valid(config, base, old["records"]) if same else {}
    for name in settings_in(out):
        if name not in {*hashes, *records}:
            raise InputError(f"{out}/{name}.csv: from another configuration or data; use another --out or delete it")
    return {
        "config": asdict(config),
        "hash": digest,
        "model": {"name": config.model, "revision": config.revision, "fingerprint": base["model"]},
        "seed": getattr(config, "seed", None),  # of what is drawn where questions are built on the way
        "records": records,
        "sessions": old["sessions"] if same else [],
    }


def score_pending(
    config: Evaluation,
    settings: Mapping[str, Setting],
    parts: Mapping[Group, Mapping[str, list[Item]]],
    store: UnitStore,
    info: dict[str, Any],
    preparation: float,
) -> None:
    """Score the groups that are not finished, this process its share; adds a session to `info` and run.json.

    `preparation`: seconds that reading the questions, and translating them, has taken.
    """
    state = PartialState()
    pending = {g: {name: parts[g][name] for name in names} for g, names in store.pending(parts).items()}
    state.wait_for_everyone()  # all must have seen the same pending groups before one of them is finished
    if not pending:
        return
    mine = list(pending)
    if state.num_processes > 1:
        costs = {group: tree_size(group_prompts(part, settings, config.score)) for group, part in pending.items()}
        mine = share(costs, state.num_processes)[state.process_index]
    scorer = config.make_scorer()
    session = {"start": now(), "end": None, "git_commit": git_commit(), "packages": package_versions()}
    session |= {"preparation_seconds": round(preparation, 1), "processes": state.num_processes, "dtype": scorer.dtype}
    info["sessions"].append(session)
    if state.is_main_process:
        write_json_atomic(store.folder.parent / "run.json", info)
    total = sum(len(items) for group in mine for items in pending[group].values())
    with tqdm(total=total, unit="question", disable=not state.is_main_process) as bar:
        for group in mine:
            table = scorer.records(pending[group], settings)
            store.write(group, table)
            bar.update(len(table))
    here = {"device": scorer.device, "questions": total, **asdict(scorer.stats), **peak_memory()}
    everywhere = gather_object([here])
    session["end"] = now()
    session["device"] = sorted({one["device"] for one in everywhere})
    session |= {key: sum(one[key] for one in everywhere) for key in here if key != "device"}


def write_results(
    config: Evaluation,
    settings: Mapping[str, Setting],
    hashes: Mapping[str, str],
    groups: Sequence[Group],
    store: UnitStore,
    info: dict[str, Any],
) -> pd.DataFrame:
    """Write the record file of each setting, run.json and the summaries; returns the summary."""
    out = Path(config.out)
    for name, table in store.read(groups).items():
        ids = [item.id for item in settings[name].items]
        info["records"][name] = {"hash": hashes[name], **write_setting(out, table, ids)}
    write_json_atomic(out / "run.json", info)
    records = load_records(out)
    categories = records["subject"].map(config.category)
    by_category = [summarize(rows).assign(category=name) for name, rows in records.groupby(categories)]
    table = pd.concat(by_category)
    table.insert(0, "category", table.pop("category"))
    write_csv_atomic(out / "summary_by_category.csv", table, float_format="%.6g")
    summary = summarize(records)
    write_csv_atomic(out / "summary.csv", summary, float_format="%.6g")
    return summary


def evaluate(config: Evaluation) -> None:
    """Ask every question that is not answered yet, and write the records and summaries of the settings asked for."""
    started = time.monotonic()
    settings = config.load_settings(comma_list(config.settings))
    preparation = time.monotonic() - started
    if config.show:
        show(config, settings)
        return
    state = config.processes()
    base = base_of(config)
    hashes = {name: hash_of(config, base, setting) for name, setting in settings.items()}
    info = open_run(config, base, hashes)
    if state.is_main_process:
        remove_temporary_files(config.out)
    parts: dict[Group, dict[str, list[Item]]] = {}
    for name, setting in settings.items():
        for group, items in groups_of(setting.items).items():
            parts.setdefault(group, {})[name] = items
    store = UnitStore(Path(config.out) / "units", hashes)
    score_pending(config, settings, parts, store, info, preparation)
    if state.is_main_process:
        summary = write_results(config, settings, hashes, list(parts), store, info)
        print(summary.to_string(index=False, float_format="{:.4f}".format), f"\n{config.out}/summary.csv")
