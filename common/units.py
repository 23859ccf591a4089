"""Units: the records of a run while it goes on, written group by group so that a killed run loses at most one.

A *unit* is one setting of one *group*, and a group is at most 100 questions of one subject. All settings of a group
that are still missing are scored in one call, because there they share their prefixes, and written as one file:

    <out>/units/<batch>/settings.json           the batch: {setting: hash of all that its records depend on}
    <out>/units/<batch>/<subject>-<shard>.csv   the records of one group in every setting of the batch

A group's file is there whole or not at all. What is scored together therefore depends only on what was finished before
the command was first given, not on when it was killed or on how many processes ran.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pandas as pd

from common.choices import Item
from common.config import config_hash
from common.files import write_csv_atomic, write_json_atomic

SHARD_SIZE = 100
DECIMALS = 6  # of a log-probability


class Group(NamedTuple):
    """At most `SHARD_SIZE` questions of one subject: the `shard`-th of them, counted from 0."""

    subject: str
    shard: int

    @property
    def file_name(self) -> str:
        return f"{quote(self.subject, safe='')}-{self.shard:03d}.csv"


def by_subject(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Questions by subject, subjects in order of appearance, questions in the order given."""
    subjects: dict[str, list[Item]] = {}
    for item in items:
        subjects.setdefault(item.subject, []).append(item)
    return subjects


def groups_of(items: Iterable[Item]) -> dict[Group, list[Item]]:
    """Questions by group, in the order of `by_subject`."""
    return {
        Group(subject, start // SHARD_SIZE): rows[start : start + SHARD_SIZE]
        for subject, rows in by_subject(items).items()
        for start in range(0, len(rows), SHARD_SIZE)
    }


class UnitStore:
    """The finished units of a run folder, read and written under the hashes of the present configuration.

    Args:
        folder: `<out>/units`.
        hashes: {setting: hash of everything its records depend on}; units under any other hash do not exist here.
    """

    def __init__(self, folder: Path, hashes: Mapping[str, str]):
        self.folder = Path(folder)
        self.hashes = dict(hashes)

    def _finished(self) -> dict[str, dict[str, Path]]:
        """Finished units: {file name of the group: {setting: file}}."""
        found: dict[str, dict[str, Path]] = {}
        for manifest in sorted(self.folder.glob("*/settings.json")):
            batch = json.loads(manifest.read_text(encoding="utf-8"))
            usable = [setting for setting, digest in batch.items() if self.hashes.get(setting) == digest]
            for path in manifest.parent.glob("*.csv") if usable else ():
                for setting in usable:
                    found.setdefault(path.name, {}).setdefault(setting, path)
        return found

    def pending(self, groups: Iterable[Group]) -> dict[Group, list[str]]:
        """Settings still missing of each group, in the order of `hashes`; finished groups are left out."""
        finished = self._finished()
        missing = {g: [s for s in self.hashes if s not in finished.get(g.file_name, {})] for g in groups}
        return {group: settings for group, settings in missing.items() if settings}

    def write(self, group: Group, table: pd.DataFrame) -> None:
        """Write the records of one group, all its settings at once."""
        batch = {setting: self.hashes[setting] for setting in table["setting"].unique()}
        folder = self.folder / config_hash(batch)
        if not (folder / "settings.json").exists():
            write_json_atomic(folder / "settings.json", batch)
        write_csv_atomic(folder / group.file_name, table, float_format=f"%.{DECIMALS}f")

    def read(self, groups: Iterable[Group]) -> dict[str, pd.DataFrame]:
        """The records of every setting, all cells as the text that was written, rows in the order of `groups`."""
        finished = self._finished()
        parts: dict[str, list[pd.DataFrame]] = {setting: [] for setting in self.hashes}
        for group in groups:
            units = finished.get(group.file_name, {})
            tables = {path: read_text(path).groupby("setting") for path in set(units.values())}
            for setting, path in units.items():
                parts[setting].append(tables[path].get_group(setting))
        return {setting: pd.concat(tables, ignore_index=True) for setting, tables in parts.items() if tables}


def read_text(path: Path) -> pd.DataFrame:
    """A CSV file with every cell as text: an id such as 007 or a subject called "nan" stays what it is."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)
