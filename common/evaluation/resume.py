"""The resume engine: results are written unit by unit, so an interrupted run loses at most one unit per process.

A *unit* is one column (a setting or a language) of one *shard*, at most 100 questions of one subject. Units of a shard
that are computed together are written as one file, whole or not at all:

    <out>/units/<batch>/settings.json                     {column: hash of everything its rows depend on}
    <out>/units/<batch>/<subject>-<number>.<digest>.csv   the rows of one shard in every column of the batch

What is computed together depends only on what was finished when the command was first run. Results are therefore
byte-identical after any interruption and for any number of processes.
"""

import gc
import hashlib
import json
import os
import pickle
import shutil
import sys
import tempfile
import weakref
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, config_hash, held
from common.evaluation.records import DECIMALS
from common.lm.loading import ModelConfig
from common.lm.precision import dtype_name
from common.lm.prefix_tree import tree_size
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.questions import Question, by_subject
from common.reporting.files import claim, csv_text, read_text, write_csv_atomic, write_json_atomic, write_text_atomic
from common.reporting.provenance import begun, device_name, file_digest, now, peak_memory, read_run, write_run

SHARD_SIZE = 100
DIGITS = 12  # of a file's digest
LONGEST = 150  # characters of a subject in a file's name
COLUMN = "setting"  # of a unit's rows


class Shard(NamedTuple):
    """At most `SHARD_SIZE` questions of one subject: the `number`-th of them, counted from 0."""

    subject: str
    number: int

    @property
    def name(self) -> str:
        """What its files are called; long subjects are cut, and told apart by a digest."""
        subject = quote(self.subject, safe="")
        if len(subject) > LONGEST:
            subject = subject[:LONGEST] + hashlib.sha256(subject.encode()).hexdigest()[:DIGITS]
        return f"{subject}-{self.number:03d}"

    def of(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The shard's part of all rows of its subject."""
        return rows[self.number * SHARD_SIZE : (self.number + 1) * SHARD_SIZE]


def shards_of(items: Iterable[Question]) -> dict[Shard, list[Question]]:
    """Questions by shard, subjects in order of appearance, questions in the order given."""
    return {
        (shard := Shard(subject, number)): shard.of(rows)
        for subject, rows in by_subject(items).items()
        for number in range(-(-len(rows) // SHARD_SIZE))
    }


class Spool:
    """Lists by key, which lie in a temporary file instead of memory; `places` has the keys."""

    def __init__(self) -> None:
        self._file, self.places = tempfile.TemporaryFile(), {}  # noqa: SIM115 (as long as the spool is there)
        weakref.finalize(self, self._file.close)

    def extend(self, key: Hashable, items: list) -> None:
        self.places.setdefault(key, array("q")).append(self._file.seek(0, os.SEEK_END))
        pickle.dump(items, self._file)

    def __getitem__(self, key: Hashable) -> list:
        return [item for place in self.places[key] if self._file.seek(place) >= 0 for item in pickle.load(self._file)]


@dataclass
class UnitStore:
    """The finished units of a run folder, read and written under the hashes of the present configuration.

    Attributes:
        folder: `<out>/units`.
        hashes: {column: hash of everything its rows depend on}; units under any other hash are ignored.
    """

    folder: Path
    hashes: Mapping[str, str]

    def _finished(self) -> dict[str, dict[str, Path]]:
        """Finished units: {name of the shard: {column: file}}; what is cut short or changed is named."""
        found: dict[str, dict[str, Path]] = {}
        for folder in sorted(self.folder.glob("*/")):
            batch = self._batch(folder)
            usable = [column for column, content_hash in batch.items() if self.hashes.get(column) == content_hash]
            for path in sorted(folder.glob("*.csv")) if usable else ():
                stem, _, digest = path.stem.rpartition(".")
                if not path.is_file() or file_digest(path)[:DIGITS] != digest:
                    print(f"note: {path} is cut short or changed, and is computed again", file=sys.stderr)
                    continue
                for column in usable:
                    found.setdefault(stem, {}).setdefault(column, path)
        return found

    def _batch(self, folder: Path) -> dict[str, str]:
        """The columns of a batch and their hashes; nothing where they are not those that its folder is named after."""
        path = folder / "settings.json"
        if not path.exists():
            return {}
        with suppress(OSError, ValueError):
            batch = json.loads(path.read_text(encoding="utf-8"))
            if config_hash(batch) == folder.name:
                return batch
        print(f"note: {path} is cut short or changed, and its units are computed again", file=sys.stderr)
        return {}

    def pending(self, shards: Iterable[Shard]) -> dict[Shard, list[str]]:
        """The missing columns of each unfinished shard, in the order of `hashes`."""
        finished = self._finished()
        missing = {s: [c for c in self.hashes if c not in finished.get(s.name, {})] for s in shards}
        return {shard: columns for shard, columns in missing.items() if columns}

    def write(self, shard: Shard, table: pd.DataFrame) -> None:
        """Write the rows of one shard in one or more columns."""
        batch = {column: self.hashes[column] for column in table[COLUMN].unique()}
        folder = self.folder / config_hash(batch)
        if self._batch(folder) != batch:
            write_json_atomic(folder / "settings.json", batch)
        text = csv_text(table, f"%.{DECIMALS}f")
        path = folder / f"{shard.name}.{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}.csv"
        if path.is_dir():
            shutil.rmtree(path)
        write_text_atomic(path, text)

    def read(self, shards: Iterable[Shard]) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every column with its rows in the order of `shards`, all cells text as written; one column in memory."""
        finished, rows = self._finished(), Spool()
        for units in (finished.get(shard.name, {}) for shard in shards):
            for path in set(units.values()):
                for column, table in read_text(path).groupby(COLUMN):
                    if units.get(column) == path:
                        rows.extend(column, [table])
        for column in filter(rows.places.__contains__, self.hashes):
            yield column, pd.concat(rows[column], ignore_index=True)


@dataclass
class Worker:
    """Computes units. `compute` makes the rows of a shard in some columns; `stats` is a dataclass of counts."""

    compute: Callable[[Shard, list[str]], pd.DataFrame]
    device: str
    dtype: str | None
    stats: Any = None


def hold(out: Path, state: PartialState) -> None:
    """Make these processes the only ones that write to a run folder; call it before anything in it is read."""
    if state.is_main_process and not planning():
        claim(out)
    state.wait_for_everyone()


def compute_missing(
    store: UnitStore,
    shards: Iterable[Shard],
    start: Callable[[], Worker],
    info: dict[str, Any],
    state: PartialState,
    *,
    together: bool = True,
    texts: Callable[[Shard, list[str]], list[str]],
    written: int = 0,
    **more: Any,
) -> None:
    """Compute the missing units, or this process's share of them, and add a session to `info` and run.json.

    With PLAN=1 the missing work is said, and nothing computed. The session is written at the start with `end` null,
    which an interrupted session keeps; the caller writes the final run.json. `more` are further keys of the session.

    Args:
        start: makes the worker; called only if something is missing.
        info: content of run.json, in the folder above the store's.
        together: compute all missing columns of a shard in one call, instead of one call each.
        texts: what the model reads for each row of a shard's columns; balances the work of several processes.
        written: tokens that it writes for each row.

    Raises InputError where units are there that were computed in another precision, which dtype `auto` had meant.
    """
    pending = list(store.pending(shards).items())
    state.wait_for_everyone()  # every process must list the pending units before the first one is finished
    if planning():
        counts = [(len(read), tree_size(read)) for read in starmap(texts, pending)]
        rows, size = map(sum, zip((0, 0), *counts, strict=True))
        say_plan(Work(rows, size, rows * written, "".join(texts(*unit)[0] for unit in pending[:5])))
    if not pending:
        return
    if not together:
        pending = [(shard, [column]) for shard, columns in pending for column in columns]
    if state.num_processes > 1:
        costs = [(tree_size(texts(*unit)), unit) for unit in pending]
        pending = share(costs, state.num_processes)[state.process_index]
    worker = start()
    gc.collect()
    gc.freeze()  # else what a shard leaves would lie there until it is much beside all that was loaded
    held.callback(gc.unfreeze)
    others = {one.get("dtype") for one in info["sessions"]} - {worker.dtype, None}
    if others and (info.get("records") or info.get("languages") or any(store.folder.glob("*/*.csv"))):
        raise InputError(f"{store.folder}: begun in {min(others)}, here {worker.dtype}; go on there or use a new --out")
    session = {**begun(), **more, "processes": state.num_processes, "dtype": worker.dtype}
    info["sessions"].append(session)
    if state.is_main_process:
        write_run(store.folder.parent, info)
    rows = 0
    with Progress(len(pending), "shards", show=state.is_main_process) as progress:
        for shard, columns in pending:
            table = worker.compute(shard, columns)
            store.write(shard, table)
            rows += len(table)
            progress.update()
    here = {"device": worker.device, "questions": rows, **(asdict(worker.stats) if worker.stats else {})}
    everywhere = gather_object([here | peak_memory()])
    session["end"] = now()
    session["device"] = sorted({one["device"] for one in everywhere})
    session |= {key: sum(one[key] for one in everywhere) for key in everywhere[0] if key != "device"}


def share(costs: Sequence[tuple[int, Any]], processes: int) -> list[list[Any]]:
    """The units of each process: in order of falling cost, each to the process with the least work so far."""
    shares: list[list[Any]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for cost, unit in sorted(costs, key=lambda pair: (-pair[0], pair[1])):
        process = loads.index(min(loads))
        shares[process].append(unit)
        loads[process] += cost
    return shares


def by_language(
    model: ModelConfig,
    out: Path,
    config: Mapping[str, Any],
    depends: Mapping[str, Any],
    parallel: Mapping,
    compute: Callable[[Sequence[Any], PreTrainedModel, PreTrainedTokenizerBase], pd.DataFrame],
    texts: Callable[[Any], str],
    written: int = 0,
) -> dict[str, pd.DataFrame]:
    """Compute and write `<out>/<language>.csv`, a row per question, and run.json; returns them, all cells as text.

    Args:
        config: every key of the run, for run.json.
        depends: what the rows depend on besides the model and the questions.
        parallel: questions by language, dataclasses with an `id`, the same number in each language.
        compute: makes the rows of some questions; language and questions are added to its InputError.
        texts, written: what the model reads for a question, and how many tokens it writes, for the plan.

    Raises InputError where `out` has tables of another configuration.
    """
    depends = {**depends, "dtype": model.dtype, "attention": model.attention, "model": model.content_hash()}
    hashes = {code: config_hash(depends | {"rows": [asdict(row) for row in rows]}) for code, rows in parallel.items()}
    info, state = {"hash": config_hash(depends), "languages": {}, "sessions": []}, model.processes()
    hold(out, state)
    old = read_run(out) if (out / "run.json").exists() else info
    done = old.get("languages")
    same = old["hash"] == info["hash"]
    if done is None or any(not same or hashes.get(code, own["hash"]) != own["hash"] for code, own in done.items()):
        raise InputError(f"{out}: answers of another configuration or data; use another --out or delete the folder")
    info = (old if same else info) | {"config": dict(config)}
    shards = [Shard("questions", number) for number in range(-(-len(next(iter(parallel.values()))) // SHARD_SIZE))]
    store = UnitStore(out / "units", hashes)

    def start() -> Worker:
        loaded, tokenizer = model.load()

        def rows_of(shard: Shard, codes: list[str]) -> pd.DataFrame:
            rows = shard.of(parallel[codes[0]])
            try:
                return compute(rows, loaded, tokenizer).assign(**{COLUMN: codes[0]})
            except InputError as error:
                raise InputError(f"{codes[0]}, questions {rows[0].id} to {rows[-1].id}: {error}") from error

        return Worker(rows_of, device_name(loaded.device), dtype_name(loaded))

    def read(shard: Shard, codes: list[str]) -> list[str]:
        return [texts(row) for code in codes for row in shard.of(parallel[code])]

    compute_missing(store, shards, start, info, state, together=False, texts=read, written=written)
    tables = {code: table.drop(columns=COLUMN) for code, table in store.read(shards)}
    if state.is_main_process:
        for code, table in tables.items():
            write_csv_atomic(out / f"{code}.csv", table)
            info["languages"][code] = {"hash": hashes[code], "sha256": file_digest(out / f"{code}.csv")}
        write_run(out, info)
    return tables
