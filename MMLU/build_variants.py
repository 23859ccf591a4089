"""Build every crosslingual setting of a multiple-choice benchmark from its parallel translations.

    python MMLU/build_variants.py --source belebele --data DIR --languages en,de,fr,es,it --out DIR --seed 42

Writes <out>/<setting>.csv for the settings of common/settings.py, <out>/dev/<setting>.csv for few-shot examples, if
there are any, and <out>/build.json. Nothing is written unless the whole input is valid.
"""

import errno
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clika import read_clika
from knowledge_free import read_knowledge_free
from sources import PAPER_MIXUP, Splits, read_belebele, read_csv_source, read_global_mmlu, read_include, read_mmlu

from common.cli import InputError, comma_list, parse, require_given, run
from common.languages import PAPER
from common.parallel_data import Tables, align, check_languages, refuse_duplicates
from common.questions import Question, by_subject, read_questions, write_questions
from common.reporting.files import claim, temporary_file, write_json_atomic
from common.settings import UNFINISHED, build_settings, settings_in, sort_settings

RECORD = "build.json"
NEEDED = {"clika": "clika_task", "knowledge_free": "facts"}  # the key that a source cannot do without
OF_ONE = NEEDED | {"mmlu": "translations mixup", "knowledge_free": "facts crossed"}  # keys that go with one source
Parallel = dict[str, list[Question]]  # questions by language, row for row the same


@dataclass(frozen=True)
class BuildConfig:
    """Build every crosslingual setting of a multiple-choice benchmark.

    Attributes:
        source: layout of the data.
        data: mmlu: a folder with dev/ and test/ of headerless <subject>_<split>.csv files, or cais/mmlu or a copy of
            it; global_mmlu: CohereForAI/Global-MMLU or Global-MMLU-Lite, or a copy, a folder with en/test*.parquet and
            so on; include: CohereForAI/include-base-44 or a copy, a folder with German/test*.parquet and so on;
            belebele: a folder with eng_Latn.jsonl and so on, or facebook/belebele or a copy of it; csv: a folder with
            en.csv and so on, and dev/en.csv and so on for few-shot examples, with the header
            id,subject,context,question,A,B[,C...],answer and empty last options where a question has fewer; clika: a
            folder with x_geo/ and so on, as in github.com/RiverGao/CLiKA; knowledge_free: a folder with
            qasc/no_fact/ and so on, as in github.com/NJUNLP/Knowledge-Free-Reasoning.
        out: folder of the variants.
        languages: ISO 639-1 codes, English first (include: one language alone), a list or separated by commas.
        held_out: further languages, of which there is full_<language> alone; mixup is without them.
        translations: for mmlu, a folder with <language>/<split>/ or <split>_full_<language>/ of such CSV files, or
            openai/MMMLU or a copy of it.
        mixup: for mmlu, the released mixup, cross-ling-know/mixup-lang-mmlu or a copy of it; becomes the setting
            mixup_paper.
        seed: of the random draws: the wrong option of onewrong, the permutation of mixup, the held-out examples.
        on_mismatch: what to do with a question whose answer differs between languages, or (mmlu, clika) that has an
            empty option in one; drop leaves it out of all of them, which openai/MMMLU, the released mixup and x_csqa
            need.
        num_fewshot: number of test questions per subject to hold out as few-shot examples, for sources without
            examples of their own, such as belebele.
        clika_task: for clika, which of its tasks.
        facts: for knowledge_free, how many facts stand before a question, 0, 1 or 2.
        crossed: for knowledge_free, what full_L has in L, the rest being English: the facts, or the question with its
            options; null is both.
    """

    source: Literal["mmlu", "global_mmlu", "include", "belebele", "csv", "clika", "knowledge_free"]
    data: str
    out: str
    languages: str | list[str] = ",".join(PAPER)
    held_out: str | list[str] = ""
    translations: str | None = None
    mixup: str | None = None
    seed: int = 42
    on_mismatch: Literal["refuse", "drop"] = "refuse"
    num_fewshot: int = 0
    clika_task: Literal["x_geo", "x_name", "x_csqa", "x_copa"] | None = None
    facts: Literal[0, 1, 2] | None = None
    crossed: Literal["facts", "question"] | None = None

    def __post_init__(self) -> None:
        if self.source in NEEDED:
            require_given(self, NEEDED[self.source])
        if self.crossed and not self.facts:
            raise InputError("crossed is of facts and question; give facts as 1 or 2, or leave crossed out")
        if self.num_fewshot < 0:
            raise InputError(f"num_fewshot is {self.num_fewshot}; it must be 0 or more")


def main() -> None:
    config = parse(BuildConfig)
    languages, held_out = comma_list(config.languages), comma_list(config.held_out)
    alone = config.source == "include"
    if not alone:
        check_languages([*languages, *held_out])
    parallel, dropped = {}, {}
    for split, tables in read(config, [*languages, *held_out]).items():
        parallel[split], dropped[split] = (in_one(tables), []) if alone else align(tables, config.on_mismatch)
        if dropped[split]:
            print(
                f"note: {len(dropped[split])} {split} questions left out, their answers differ between languages or an"
                " option is empty"
            )
    if config.num_fewshot:
        parallel = hold_out(parallel, config)
    splits = {split: build_split(tables, config.seed, held_out) for split, tables in parallel.items()}
    if not alone and "mixup" not in splits["test"]:
        print(f"note: mixup needs five languages, or one per field, and is left out ({len(languages)} given)")
    # Without `out`, so that the same input and seed give the same bytes in any folder.
    record = {key: value for key, value in asdict(config).items() if key != "out"}
    for split, settings in splits.items():
        count = len(next(iter(settings.values())))
        record[split] = {"questions": count, "dropped": dropped.get(split, []), "settings": list(settings)}
    write(Path(config.out), splits, record)
    print(f"{len(splits['test'])} settings of {record['test']['questions']} questions in {config.out}")


def read(config: BuildConfig, languages: list[str]) -> Splits:
    """The questions of the source in every language; InputError for a key that the source does not support."""
    for source, name in ((source, name) for source, names in OF_ONE.items() for name in names.split()):
        if config.source != source and getattr(config, name) is not None:
            raise InputError(f"--{name} goes with --source {source} only, leave it out")
    if config.source == "mmlu":
        return read_mmlu(config.data, config.translations, config.mixup, languages, config.on_mismatch)
    if config.source == "clika":
        return read_clika(config.data, config.clika_task, languages, config.on_mismatch)
    if config.source == "knowledge_free":
        return read_knowledge_free(config.data, config.facts, config.crossed, languages)
    readers = {"belebele": read_belebele, "global_mmlu": read_global_mmlu, "include": read_include}
    return readers.get(config.source, read_csv_source)(config.data, languages)


def in_one(tables: Mapping[str, Tables]) -> Parallel:
    """The questions of a source that has others in each language; InputError for an id given twice, and for none."""
    for table in tables.values():
        refuse_duplicates(table)
    return {code: [row.item for rows in table.rows.values() for row in rows] for code, table in tables.items()}


def hold_out(parallel: Mapping[str, Parallel], config: BuildConfig) -> dict[str, Parallel]:
    """Split the test questions into few-shot examples, drawn by seed from each subject, and the rest.

    InputError where the source has examples of its own, or a subject would have no question left.
    """
    count, tables = config.num_fewshot, parallel["test"]
    if "dev" in parallel:
        raise InputError(f"{config.data} has few-shot examples of its own, leave out --num_fewshot")
    examples = set()
    for subject, questions in by_subject(tables["en"]).items():
        if len(questions) <= count:
            raise InputError(
                f"{config.data}: {subject} has {len(questions)} questions, too few for {count} few-shot examples and a"
                " test"
            )
        # The word is part of the seed: another one would hold out other questions.
        rng = random.Random(f"demonstrations {config.seed} {subject}")
        examples.update(rng.sample([question.id for question in questions], count))
    return {
        split: {code: [item for item in items if (item.id in examples) == wanted] for code, items in tables.items()}
        for split, wanted in (("test", False), ("dev", True))
    }


def build_split(parallel: Parallel, seed: int, held_out: Sequence[str] = ()) -> dict[str, list[Question]]:
    """Every setting that the languages of a split allow, and the released mixup where it was read.

    Without English, and of languages in `held_out`, there is full_L alone.
    """
    if "en" not in parallel:
        return {f"full_{code}": items for code, items in parallel.items()}
    released = {PAPER_MIXUP: parallel.pop(PAPER_MIXUP)} if PAPER_MIXUP in parallel else {}
    alone = {f"full_{code}": parallel[code] for code in held_out if code in parallel}
    settings = build_settings(parallel, [code for code in parallel if code not in held_out], seed) | alone | released
    return {name: settings[name] for name in sort_settings(settings)}


def write(out: Path, splits: Mapping[str, Mapping[str, list[Question]]], record: dict) -> None:
    """Write a new folder, whole or not at all; in an older one replace each file and delete settings not built now.

    While an older folder is being changed, a file UNFINISHED keeps evaluate_mmlu.py from reading a mixture of both. One
    that is as it would be written is left alone: another call may be reading it.
    """
    new = not out.exists()
    if not new:
        claim(out, RECORD)
        if is_written(out, splits, record):
            return
    try:
        with temporary_file(out) if new else nullcontext(out) as target:
            target.mkdir(exist_ok=True)
            (target / UNFINISHED).touch()
            for split, folder in (("test", target), ("dev", target / "dev")):
                settings = splits.get(split, {})
                for name, items in settings.items():
                    write_questions(folder / f"{name}.csv", items)
                for name in set(settings_in(folder)) - set(settings):
                    (folder / f"{name}.csv").unlink()
            write_json_atomic(target / RECORD, record)
            (target / UNFINISHED).unlink()
    except OSError as error:
        if not (new and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
            raise
        write(out, splits, record)  # another call has made the folder meanwhile


def is_written(out: Path, splits: Mapping[str, Mapping[str, list[Question]]], record: dict) -> bool:
    """Whether a folder holds just these settings, whole and unchanged."""
    if (out / UNFINISHED).exists():
        return False
    with suppress(InputError, OSError, ValueError):
        return json.loads((out / RECORD).read_text(encoding="utf-8")) == json.loads(json.dumps(record)) and all(
            settings_in(folder) == list(settings := splits.get(split, {}))
            and all(read_questions(folder / f"{name}.csv") == items for name, items in settings.items())
            for split, folder in (("test", out), ("dev", out / "dev"))
        )
    return False


if __name__ == "__main__":
    run(main)
