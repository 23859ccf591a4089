"""The questions of each setting as build_variants.py wrote them, with their demonstrations."""

from collections.abc import Sequence
from pathlib import Path

from common.choices import Item, expand_settings, read_items, settings_in
from common.errors import InputError
from common.group_scorer import Setting
from common.provenance import file_digest
from common.units import by_subject


def load_settings(
    data: str, names: Sequence[str], *, shots: int, demos: str, limit: int | None = None
) -> dict[str, Setting]:
    """The settings asked for, in table order.

    Args:
        data: folder with `<setting>.csv`, and `dev/<setting>.csv` where `shots` is not 0.
        names: `all`, families or settings.
        shots: demonstrations before each question, the first of its subject.
        demos: `same` for demonstrations in the question's setting, `en` for English ones.
        limit: only so many first questions of each subject.

    Raises:
        InputError: files or demonstrations are missing, or a setting's questions are not those asked in English.
    """
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
            dev = Path(data) / "dev" / f"{'en' if demos == 'en' else name}.csv"
            demonstrations, digest = load_demonstrations(dev, shots, items), digest + file_digest(dev)
        settings[name] = Setting(name, items, digest, demonstrations)
    if "en" in settings:
        english = {item.id for item in settings["en"].items}
        for setting in settings.values():
            if different := english.symmetric_difference(item.id for item in setting.items):
                raise InputError(f"{data}: question {min(different)} is in one of en.csv and {setting.name}.csv only")
    return settings


def load_demonstrations(path: Path, shots: int, items: Sequence[Item]) -> dict[str, list[Item]]:
    """The first `shots` questions of each subject in a dev file; InputError where a subject of `items` has fewer."""
    demonstrations = {subject: rows[:shots] for subject, rows in by_subject(read_items(path)).items()}
    for subject in by_subject(items):
        if len(demonstrations.get(subject, ())) < shots:
            raise InputError(f"{path}: fewer than {shots} questions of subject {subject}; add them or use --shots 0")
    return demonstrations
