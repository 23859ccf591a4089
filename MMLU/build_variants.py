"""Build every crosslingual setting of a multiple-choice benchmark from its parallel translations.

    python MMLU/build_variants.py --source belebele --data DIR --languages en,de,fr,es,it --out DIR --seed 42

Writes <out>/<setting>.csv (the settings of common/choices.py), <out>/dev/<setting>.csv where the source has
demonstrations, and <out>/build.json. Nothing is written unless all of the input is in order.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sources import PAPER_MIXUP, Row, Splits, Tables, read_belebele, read_csv_source, read_mmlu

from common.choices import Item, build_settings, settings_in, sort_settings, write_items
from common.config import comma_list, parse
from common.errors import InputError, run
from common.files import write_json_atomic
from common.languages import get

# Rows in another order disagree in three answers of four; single slips of a data set stay far below this share.
MAX_DROPPED = 0.05


@dataclass(frozen=True)
class BuildConfig:
    """Build every crosslingual setting of a multiple-choice benchmark.

    Attributes:
        source: layout of the data.
        data: mmlu: a folder with dev/ and test/ of headerless <subject>_<split>.csv files, or cais/mmlu or a copy of
            it; belebele: a folder with eng_Latn.jsonl and so on, or facebook/belebele or a copy of it; csv: a folder
            with en.csv and so on under the header id,subject,context,question,A,B,C,D,answer.
        out: folder of the variants.
        languages: ISO 639-1 codes, English first.
        translations: for mmlu, a folder with <language>/<split>/ or <split>_full_<language>/ of such CSV files, or
            openai/MMMLU or a copy of it.
        mixup: for mmlu, the paper's released mixup, cross-ling-know/mixup-lang-mmlu or a copy of it, written as the
            setting mixup_paper.
        seed: of what is drawn, the wrong option of onewrong and the permutation of mixup.
        on_mismatch: what to do with a question whose answer differs between languages; drop leaves it out of all of
            them, which openai/MMMLU needs.
    """

    source: Literal["mmlu", "belebele", "csv"]
    data: str
    out: str
    languages: str = "en,de,fr,es,it"
    translations: str | None = None
    mixup: str | None = None
    seed: int = 42
    on_mismatch: Literal["refuse", "drop"] = "refuse"


def main() -> None:
    config = parse(BuildConfig)
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise InputError(f"--out {config.out} is a file; name a folder")
    languages = comma_list(config.languages)
    check_languages(languages)
    splits, dropped = {}, {}
    for split, tables in read(config, languages).items():
        parallel, dropped[split] = align(tables, config.on_mismatch)
        splits[split] = build_split(parallel, config.seed)
        if dropped[split]:
            print(f"note: {len(dropped[split])} {split} questions left out, their answers differ between languages")
    if "mixup" not in splits["test"]:
        print(f"note: mixup needs five languages and is left out ({len(languages)} given)")
    # Without `out`: the same input and seed give the same bytes wherever they are written.
    record = {key: value for key, value in asdict(config).items() if key != "out"}
    for split, settings in splits.items():
        record[split] = {"questions": len(settings["en"]), "dropped": dropped[split], "settings": list(settings)}
    write(Path(config.out), splits, record)
    print(f"{len(splits['test'])} settings of {len(splits['test']['en'])} questions in {config.out}")


def check_languages(languages: list[str]) -> None:
    """Raise InputError unless the languages are known, each named once, English first."""
    for code in languages:
        get(code)
    if not languages or languages[0] != "en":
        raise InputError("--languages must begin with en, the language that all settings are mixed with")
    if len(set(languages)) < len(languages):
        raise InputError(f"--languages names a language twice: {','.join(languages)}")


def read(config: BuildConfig, languages: list[str]) -> Splits:
    """The questions of the source in every language; InputError for an option that the source does not have."""
    if config.source == "mmlu":
        return read_mmlu(config.data, config.translations, config.mixup, languages)
    for name in ("translations", "mixup"):
        if getattr(config, name) is not None:
            raise InputError(f"--{name} goes with --source mmlu only, leave it out")
    reader = read_belebele if config.source == "belebele" else read_csv_source
    return reader(config.data, languages)


def align(tables: Mapping[str, Tables], on_mismatch: str) -> tuple[dict[str, list[Item]], list[str]]:
    """The questions by language, row for row parallel, and the ids that are left out of every language.

    Raises InputError, naming file and row, for a missing or unknown subject, another number of rows, an id given twice,
    an id, subject or passage unlike the English one, and, unless `on_mismatch` is "drop", an answer unlike it.
    """
    english = tables["en"]
    refuse_duplicates(english)
    dropped: dict[str, None] = {}
    for table in tables.values():
        for subject, rows in table.rows.items():
            if subject not in english.rows:
                raise InputError(f"{rows[0].where}: subject {subject!r} is not among the English ones ({english.name})")
        for subject, rows in english.rows.items():
            if subject not in table.rows:
                raise InputError(
                    f"{table.name}: no questions of subject {subject!r}, which English has: {rows[0].where}"
                )
            if not table.rows[subject]:
                raise InputError(f"{table.name}: no questions, English has {len(rows)}")
            dropped.update(dict.fromkeys(compare(rows, table.rows[subject], on_mismatch)))
    parallel = {
        code: [row.item for subject in english.rows for row in table.rows[subject] if row.item.id not in dropped]
        for code, table in tables.items()
    }
    return parallel, list(dropped)


def refuse_duplicates(english: Tables) -> None:
    seen: dict[str, str] = {}
    for row in (row for rows in english.rows.values() for row in rows):
        if row.item.id in seen:
            raise InputError(f"{row.where}: id {row.item.id!r} is also in {seen[row.item.id]}; ids must be unique")
        seen[row.item.id] = row.where
    if not seen:
        raise InputError(f"{english.name}: no questions")


def compare(english: list[Row], rows: list[Row], on_mismatch: str) -> list[str]:
    """The ids whose answers differ between English and another language; InputError for any other difference."""
    differing = []
    for base, row in zip(english, rows, strict=False):
        a, b = base.item, row.item
        for name in ("id", "subject"):
            if getattr(a, name) != getattr(b, name):
                raise InputError(
                    f"{row.where}: {name} {getattr(b, name)!r} where English has {getattr(a, name)!r} ({base.where}); "
                    "the rows must be the same in the same order"
                )
        if bool(a.context) != bool(b.context):
            raise InputError(
                f"{row.where}: a passage in one language only, see {base.where}; give it in all or in none"
            )
        if a.answer != b.answer:
            differing.append(a.id)
            if on_mismatch == "refuse":
                raise InputError(
                    f"{row.where}: answer {b.answer} where English has {a.answer} ({base.where}); correct it, or leave "
                    "such questions out of all languages with --on_mismatch drop"
                )
    if len(rows) != len(english):
        place = rows[len(english)].where if len(rows) > len(english) else rows[-1].where
        raise InputError(
            f"{place}: {len(rows)} rows where English has {len(english)} ({english[-1].where} is the last)"
        )
    if len(differing) > max(1, MAX_DROPPED * len(english)):
        raise InputError(
            f"{rows[0].where}: from here {len(differing)} of {len(rows)} answers are not the English ones, too many to "
            "drop; the rows are probably in another order"
        )
    return differing


def build_split(parallel: dict[str, list[Item]], seed: int) -> dict[str, list[Item]]:
    """Every setting that the languages of a split allow, the paper's released mixup among them where it was read."""
    released = {PAPER_MIXUP: parallel.pop(PAPER_MIXUP)} if PAPER_MIXUP in parallel else {}
    settings = build_settings(parallel, list(parallel), seed) | released
    return {name: settings[name] for name in sort_settings(settings)}


def write(out: Path, splits: Mapping[str, Mapping[str, list[Item]]], record: dict) -> None:
    """A new folder appears whole; in an older one each file is replaced at once and settings not built now are removed.

    build.json is removed first and written last: a folder without it was interrupted.
    """
    target = out if out.is_dir() else out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        (target / "build.json").unlink(missing_ok=True)
        for split, folder in (("test", target), ("dev", target / "dev")):
            settings = splits.get(split, {})
            for name, items in settings.items():
                write_items(folder / f"{name}.csv", items)
            for name in set(settings_in(folder)) - set(settings):
                (folder / f"{name}.csv").unlink()
        write_json_atomic(target / "build.json", record)
        if target != out:
            target.rename(out)
    finally:
        if target != out:
            shutil.rmtree(target, ignore_errors=True)


if __name__ == "__main__":
    run(main)
