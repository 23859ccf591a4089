"""Translate the English questions of a benchmark into other languages, with any translator of the repository.

    python MMLU/translate_mmlu.py --source mmlu --data cais/mmlu --languages de,fr,es,it --translator google --out DIR

Writes English and translations in the layout of the source, to be read with the same --source of build_variants.py:

    mmlu      <out>/<language>/<split>/<subject>_<split>.csv    --data <out>/en --translations <out>
    belebele  <out>/<FLORES-200 code>.jsonl                     --data <out>
    csv       <out>/<language>.csv, <out>/dev/<language>.csv    --data <out>

and run.json. Translations of models and services are kept in <out>/translations.sqlite: interrupted runs resume when
rerun. A question with a text that cannot be translated is named and left out of every language.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from build_variants import BuildConfig, Parallel, read
from by_line import ask
from layouts import files_of
from tqdm import tqdm

from common.cli import InputError, comma_list, parse, require_positive, run
from common.parallel_data import Row, Tables, check_languages, refuse_duplicates
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.questions import Question, monolingual
from common.reporting.files import claim, write_text_atomic
from common.reporting.provenance import file_digest, now, read_run, session, write_run
from common.translation.base import Translator
from common.translation.cache import CACHE_BATCH
from common.translation.factory import make_translator
from common.translation.web_service import SERVICES

SERVICE_BATCH = 16  # texts between two writes to the cache where each is a request of its own
MOST_LEFT_OUT = 0.5  # of the questions; where more fail, it is the translator that fails and not a text


@dataclass
class Translate:
    """Translate the questions of a benchmark from English.

    Attributes:
        source: layout of the data, as in build_variants.py.
        data: English questions, as in build_variants.py; few-shot examples are translated too.
        out: folder to write to.
        languages: ISO codes, a list or separated by commas; English is left out.
        translator: dictionary, google, deepl, libre; a model, encoder-decoder or causal; or endpoint:MODEL, chat:MODEL.
        dictionary: folder of en-de.tsv and so on.
        device: of a model: auto, cpu, cuda, cuda:N.
        limit: only so many first test questions of each subject; null is all.
    """

    source: Literal["mmlu", "belebele", "csv"]
    data: str
    out: str
    languages: str | list[str]
    translator: str
    dictionary: str | None = None
    device: str = "auto"
    limit: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "limit")


@dataclass(frozen=True)
class Lost:
    """A text without a translation."""

    split: str
    id: str
    subject: str
    where: str  # "FILE, row N" of the English question
    field: str
    language: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where} ({self.subject}), {self.field} into {self.language}: {self.reason}"


def rows_of(tables: Tables, limit: int | None) -> list[Row]:
    """The English rows, or the first `limit` of each subject; InputError for none, and for an id given twice."""
    refuse_duplicates(tables)
    rows, seen = [], Counter()
    for row in (row for own in tables.rows.values() for row in own):
        seen[row.item.subject] += 1
        if limit is None or seen[row.item.subject] <= limit:
            rows.append(row)
    return rows


def texts_of(item: Question) -> dict[str, str]:
    """What is translated of a question, by the name of its field."""
    options = {f"option {letter}": option for letter, option in zip(item.letters, item.options, strict=True)}
    return {"question": item.question, **options, **({"passage": item.context} if item.context else {})}


def with_texts(item: Question, texts: Sequence[str], language: str) -> Question:
    """The question with other texts, in the order of `texts_of`."""
    question, *options = texts
    context = options.pop() if item.context else ""
    return monolingual(item.id, item.subject, context, question, options, item.answer, language)


def translate(
    rows: Sequence[Row], split: str, translator: Translator, language: str, whole: bool, progress: Progress
) -> tuple[list[Question], list[Lost]]:
    """The questions in another language but for those with a text that has no translation; and these texts.

    `whole` as in `ask`.
    """
    batch = SERVICE_BATCH if whole else CACHE_BATCH
    cells = [(row, field, text) for row in rows for field, text in texts_of(row.item).items()]
    done: list[str | None] = []
    lost: list[Lost] = []
    for start in range(0, len(cells), batch):
        part = cells[start : start + batch]
        texts, reasons = ask(translator, [text for *_, text in part], language, whole)
        done += texts
        for place, reason in reasons.items():
            row, field, _ = part[place]
            item = row.item
            lost.append(Lost(split, item.id, item.subject, row.where, field, language, reason))
            tqdm.write(f"left out: {lost[-1]}", file=sys.stderr)
        progress.update(len(part))
    answers, questions = iter(done), []
    for row in rows:
        texts = [next(answers) for _ in texts_of(row.item)]
        if None not in texts:
            questions.append(with_texts(row.item, texts, language))
    return questions, lost


def translate_all(
    config: Translate, translator: Translator, rows: Mapping[str, Sequence[Row]], languages: Sequence[str]
) -> tuple[dict[str, Parallel], list[Lost]]:
    """The questions by split and language, English last, row for row parallel; and the texts left out with theirs."""
    every: dict[str, Parallel] = {split: {} for split in rows}
    lost: list[Lost] = []
    total = len(languages) * sum(len(texts_of(row.item)) for own in rows.values() for row in own)
    with Progress(total, "texts") as progress:
        for code in languages:
            for split, own in rows.items():
                whole = config.translator in SERVICES
                every[split][code], missing = translate(own, split, translator, code, whole, progress)
                lost += missing
    gone = {(one.split, one.id) for one in lost}
    splits = {}
    for split, own in rows.items():
        parallel = every[split] | {"en": [row.item for row in own]}
        splits[split] = {code: [q for q in items if (split, q.id) not in gone] for code, items in parallel.items()}
    if len(splits["test"]["en"]) < MOST_LEFT_OUT * len(rows["test"]):
        raise InputError(
            f"{len(gone)} questions have a text without a translation, too many to leave out: {lost[0]}; rerun the same"
            " command, which keeps the translations made"
        )
    return splits, lost


def newly_equal(parallel: Parallel, language: str) -> int:
    """How many questions have fewer different options than in English."""
    pairs = zip(parallel[language], parallel["en"], strict=True)
    return sum(len(set(item.options)) < len(set(english.options)) for item, english in pairs)


def known_files(out: Path) -> dict[str, list[str]]:
    """The files that earlier runs wrote and their digests; InputError for the folder of another command."""
    if not (out / "run.json").exists():
        return {}
    if (known := read_run(out).get("files")) is None:
        raise InputError(f"{out}: its run.json is of another command; name a new folder")
    return known


def refuse_foreign(out: Path, files: Iterable[str], known: Mapping[str, Sequence[str]]) -> None:
    """InputError for a file that is there and was not written by this script, or was changed since."""
    for name in files:
        path = out / name
        if path.exists() and file_digest(path) not in known.get(name, ()):
            raise InputError(
                f"{path}: is there with another content, perhaps corrected; delete it or name another --out"
            )


def write(out: Path, files: Mapping[str, str], info: Mapping, known: Mapping[str, Sequence[str]]) -> None:
    """Write the files in place of those of an earlier run, of which `known` has the digests, and run.json."""
    digests = {name: [hashlib.sha256(text.encode()).hexdigest()] for name, text in files.items()}
    # While files of both runs may be there, both are ours.
    both = {name: [*known.get(name, ()), *digests.get(name, ())] for name in {**known, **digests}}
    write_run(out, {**info, "files": both, "end": None})
    for name in known.keys() - files.keys():
        (out / name).unlink(missing_ok=True)
    for name, text in files.items():
        write_text_atomic(out / name, text)
    write_run(out, {**info, "files": digests})


def main() -> None:
    config, start = parse(Translate), now()
    languages = [code for code in comma_list(config.languages) if code != "en"]
    check_languages(["en", *languages])
    if not languages:
        raise InputError("languages names none but English; name those to translate into, as de,fr")
    tables = read(BuildConfig(config.source, config.data, config.out), ["en"])
    # Sorted, examples first: nobody reads a folder without test questions, such as one that is being written.
    rows = {split: rows_of(tables[split]["en"], config.limit if split == "test" else None) for split in sorted(tables)}
    if planning():
        texts = [text for own in rows.values() for row in own for text in texts_of(row.item).values()]
        say_plan(Work.of(texts * len(languages), translated=True))
    out = Path(config.out)
    claim(out)
    known = known_files(out)
    english = {split: dict.fromkeys((*languages, "en"), [row.item for row in own]) for split, own in rows.items()}
    refuse_foreign(out, {**known, **files_of(config.source, english)}, known)  # before anything is paid for
    cache = str(out / "translations.sqlite")
    translator = make_translator(
        config.translator, dictionary=config.dictionary, cache_file=cache, device=config.device
    )
    splits, lost = translate_all(config, translator, rows, languages)
    equal = {code: sum(newly_equal(parallel, code) for parallel in splits.values()) for code in languages}
    for code in filter(equal.get, languages):
        print(f"note: {equal[code]} questions have options that are equal in {code} and not in English; they are kept")
    if lost:
        gone = len({(one.split, one.id) for one in lost})
        print(f"note: {gone} questions with {len(lost)} texts without a translation are left out of every language")
    info = {"config": asdict(config), "translator": translator.identity, "left_out": [asdict(one) for one in lost]}
    info |= {"questions": {split: len(own["en"]) for split, own in splits.items()}, "equal_options": equal}
    write(out, files_of(config.source, splits), info | session(start), known)
    where = f"{out}/en --translations {out}" if config.source == "mmlu" else f"{out}"
    print(f"{info['questions']['test']} test questions: build_variants.py --source {config.source} --data {where}")


if __name__ == "__main__":
    run(main)
