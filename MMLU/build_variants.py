"""Build every crosslingual setting of a multiple-choice benchmark from its parallel translations.

    python MMLU/build_variants.py --source belebele --data DIR --languages en,de,fr,es,it --out DIR --seed 42

Writes <out>/<setting>.csv (the settings of common/questions.py), <out>/dev/<setting>.csv where the source has
demonstrations, and <out>/build.json. Nothing is written unless all of the input is in order.
"""

import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sources import PAPER_MIXUP, Splits, read_belebele, read_csv_source, read_mmlu

from common.cli import InputError, comma_list, parse, run
from common.parallel_data import align, check_languages
from common.questions import Question, write_questions
from common.reporting.files import write_json_atomic
from common.settings import UNFINISHED, build_settings, settings_in, sort_settings


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
        demonstrations: questions of each subject that are taken out of the test set, at random, to be shown before the
            others, where the source has none to show, such as belebele.
    """

    source: Literal["mmlu", "belebele", "csv"]
    data: str
    out: str
    languages: str = "en,de,fr,es,it"
    translations: str | None = None
    mixup: str | None = None
    seed: int = 42
    on_mismatch: Literal["refuse", "drop"] = "refuse"
    demonstrations: int = 0


def main() -> None:
    config = parse(BuildConfig)
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise InputError(f"--out {config.out} is a file; name a folder")
    languages = comma_list(config.languages)
    check_languages(languages)
    parallel, dropped = {}, {}
    for split, tables in read(config, languages).items():
        parallel[split], dropped[split] = align(tables, config.on_mismatch)
    if config.demonstrations:
        parallel = held_out(parallel, config)
    splits = {}
    for split, tables in parallel.items():
        splits[split] = build_split(tables, config.seed)
        dropped.setdefault(split, [])
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


def read(config: BuildConfig, languages: list[str]) -> Splits:
    """The questions of the source in every language; InputError for an option that the source does not have."""
    if config.source == "mmlu":
        return read_mmlu(config.data, config.translations, config.mixup, languages)
    for name in ("translations", "mixup"):
        if getattr(config, name) is not None:
            raise InputError(f"--{name} goes with --source mmlu only, leave it out")
    reader = read_belebele if config.source == "belebele" else read_csv_source
    return reader(config.data, languages)


def held_out(
    parallel: dict[str, dict[str, list[Question]]], config: BuildConfig
) -> dict[str, dict[str, list[Question]]]:
    """The test questions in two: demonstrations of each subject, drawn by seed, and the rest.

    InputError where there are demonstrations already, or a subject would have no question left.
    """
    if "dev" in parallel:
        raise InputError(f"{config.data} has demonstrations of its own, leave out --demonstrations")
    if config.demonstrations < 0:
        raise InputError(f"demonstrations is {config.demonstrations}; it must be 0 or more")
    tables = parallel["test"]
    by_subject: dict[str, list[str]] = {}
    for item in next(iter(tables.values())):
        by_subject.setdefault(item.subject, []).append(item.id)
    shown = set()
    for subject, ids in by_subject.items():
        if len(ids) <= config.demonstrations:
            raise InputError(
                f"{config.data}: {subject} has {len(ids)} questions, too few for {config.demonstrations}"
                " demonstrations and a test"
            )
        shown.update(random.Random(f"demonstrations {config.seed} {subject}").sample(ids, config.demonstrations))
    return {
        split: {code: [item for item in items if (item.id in shown) == wanted] for code, items in tables.items()}
        for split, wanted in (("test", False), ("dev", True))
    }


def build_split(parallel: dict[str, list[Question]], seed: int) -> dict[str, list[Question]]:
    """Every setting that the languages of a split allow, the paper's released mixup among them where it was read."""
    released = {PAPER_MIXUP: parallel.pop(PAPER_MIXUP)} if PAPER_MIXUP in parallel else {}
    settings = build_settings(parallel, list(parallel), seed) | released
    return {name: settings[name] for name in sort_settings(settings)}


def write(out: Path, splits: Mapping[str, Mapping[str, list[Question]]], record: dict) -> None:
    """A new folder appears whole; in an older one each file is replaced at once and settings not built now are removed.

    While an older one is not finished, a file UNFINISHED keeps questions.py from reading a mixture of both.
    """
    target = out if out.is_dir() else out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / UNFINISHED).touch()
        for split, folder in (("test", target), ("dev", target / "dev")):
            settings = splits.get(split, {})
            for name, items in settings.items():
                write_questions(folder / f"{name}.csv", items)
            for name in set(settings_in(folder)) - set(settings):
                (folder / f"{name}.csv").unlink()
        write_json_atomic(target / "build.json", record)
        (target / UNFINISHED).unlink()
        if target != out:
            target.rename(out)
    finally:
        if target != out:
            shutil.rmtree(target, ignore_errors=True)


if __name__ == "__main__":
    run(main)
