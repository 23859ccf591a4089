"""The questions of each setting as build_variants.py wrote them, with their demonstrations."""

from collections.abc import Sequence
from pathlib import Path

from common.choices import UNFINISHED, Item, expand_settings, family, read_items, settings_in
from common.errors import InputError
from common.group_scorer import Setting
from common.prompts import PAPER_STYLE, Style
from common.provenance import file_digest
from common.units import by_subject


def load_settings(
    data: str,
    names: Sequence[str],
    *,
    shots: int,
    demos: str,
    limit: int | None = None,
    style: Style = PAPER_STYLE,
) -> dict[str, Setting]:
    """The settings asked for, in table order.

    Args:
        data: folder with `<setting>.csv`, and `dev/<setting>.csv` where `shots` is not 0.
        names: `all`, families or settings.
        shots: demonstrations before each question, the first of its subject.
        demos: `same` for demonstrations in the question's setting, `en` for English ones, `mixed` for each in the next
            of the languages there are (English first).
        limit: only so many first questions of each subject.

    Raises:
        InputError: files or demonstrations are missing, the folder is not finished, or a setting's questions are not
            those asked in English.
    """
    if Path(data, UNFINISHED).exists():
        raise InputError(f"{data}: build_variants.py was stopped while it wrote this folder; run it again")
    available = settings_in(data)
    if not available:
        raise InputError(f"{data}: no <setting>.csv in this folder; make them with build_variants.py")
    settings = {}
    for name in expand_settings(names, available):
        path = Path(data) / f"{name}.csv"
        items, digest = read_items(path), file_digest(path)
        if limit:
            items = [item for rows in by_subject(items).values() for item in rows[:limit]]
        demonstrations = {}
        if shots:
            files = demonstration_files(data, name, demos)
            demonstrations = load_demonstrations(files, shots, items)
            digest += "".join(map(file_digest, files))
        settings[name] = Setting(name, items, digest, demonstrations, style)
    if "en" in settings:
        english = {item.id for item in settings["en"].items}
        for setting in settings.values():
            if different := english.symmetric_difference(item.id for item in setting.items):
                raise InputError(f"{data}: question {min(different)} is in one of en.csv and {setting.name}.csv only")
    return settings


def demonstration_files(data: str, setting: str, demos: str) -> list[Path]:
    """The files from which demonstrations are taken in turn: one, or with `mixed` one a language."""
    folder = Path(data) / "dev"
    names = {"same": [setting], "en": ["en"]}.get(demos)
    if names is None:
        names = [name for name in settings_in(folder) if family(name)[0] in ("en", "full")]
    return [folder / f"{name}.csv" for name in names or ["en"]]


def load_demonstrations(files: Sequence[Path], shots: int, items: Sequence[Item]) -> dict[str, list[Item]]:
    """The first `shots` questions of each subject, the k-th from the k-th file and round again.

    InputError where a file has fewer of a subject of `items`.
    """
    tables = [by_subject(read_items(path)) for path in files]
    for path, table in zip(files, tables, strict=True):
        for subject in by_subject(items):
            if len(table.get(subject, ())) < shots:
                raise InputError(
                    f"{path}: fewer than {shots} questions of subject {subject}; add them or use --shots 0"
                )
    return {subject: [tables[k % len(tables)][subject][k] for k in range(shots)] for subject in tables[0]}
