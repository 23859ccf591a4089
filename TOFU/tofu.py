"""Read TOFU's questions and answers in several languages, and make multiple-choice questions of them."""

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.cli import InputError
from common.languages import get
from common.parallel_data import dataset_rows, json_lines, take, text_of
from common.questions import FOUR, Question, monolingual
from common.reporting.files import write_text_atomic

TEXTS = ("question", "answer", "paraphrased_answer")  # fields with one text; perturbed_answer is a list of texts
SUBJECT = "authors"
WRONG = len(FOUR) - 1


@dataclass(frozen=True)
class AuthorQuestion:
    """One row of TOFU; `paraphrased_answer` and `perturbed_answer` are empty where the data have none."""

    id: str
    question: str
    answer: str
    paraphrased_answer: str = ""
    perturbed_answer: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The text that ends in "Answer:", labels in English in every language."""
        return f"{question_label()}{self.question}\nAnswer:"

    @property
    def truth(self) -> str:
        """What the perturbed answers are perturbations of: the paraphrased answer where there is one."""
        return self.paraphrased_answer or self.answer


def question_label(item: Question | None = None) -> str:
    """The text before a question, as the header of a PromptFormat."""
    return "Question: "


def file_name(data: str, subset: str | None) -> str:
    """File name of the data's translations: that of the local file, or of the subset on the hub."""
    return Path(data).name if Path(data).is_file() else f"{subset}.json"


def read_languages(
    data: str, subset: str | None, translations: str | None, languages: Sequence[str], limit: int | None = None
) -> dict[str, list[AuthorQuestion]]:
    """The questions by language, row for row parallel.

    Args:
        data: JSON file (an array, or an object a line) in English, or a data set's name (locuslab/TOFU).
        subset: of the data set, such as forget10_perturbed.
        translations: folder with <language>/<name of the file or subset>.json, as TOFU/translate_tofu.py writes them.
        languages: ISO codes, English first.
        limit: only so many first questions.

    Raises InputError, naming file and row, for what is missing, malformed or not parallel.
    """
    parallel = {"en": read_tofu(data, subset)[:limit]}
    for code in languages[1:]:
        get(code)
        if translations is None:
            raise InputError(f"languages has {code}: name with --translations the folder with {code}/, or leave it out")
        path = Path(translations, code, file_name(data, subset))
        parallel[code] = read_tofu(str(path), None)[:limit]
        check_parallel(parallel["en"], parallel[code], str(path))
    return parallel


def check_parallel(english: Sequence[AuthorQuestion], rows: Sequence[AuthorQuestion], path: str) -> None:
    """Raise InputError unless there are as many rows, and in each as many answers, as in English."""
    if len(rows) != len(english):
        raise InputError(f"{path}: {len(rows)} rows where English has {len(english)}; translate the whole file")
    for number, (a, b) in enumerate(zip(english, rows, strict=True), 1):
        shapes = [(bool(row.paraphrased_answer), len(row.perturbed_answer)) for row in (a, b)]
        if shapes[0] != shapes[1]:
            raise InputError(f"{path}, row {number}: other answers than in English; translate all of them")


def read_tofu(data: str, subset: str | None) -> list[AuthorQuestion]:
    """The questions of one language, numbered from 1."""
    if Path(data).suffix in (".json", ".jsonl"):
        name, records = data, json_records(Path(data))
    else:
        if not subset:
            raise InputError(f"{data}: not a .json file; for a data set say with --subset which part, as forget10")
        name, records = f"{data} ({subset})", dataset_rows(data, subset, "train")
    rows = [question_of(record, f"{name}, row {number}", number) for number, record in enumerate(records, 1)]
    if not rows:
        raise InputError(f"{name}: no questions")
    return rows


def json_records(path: Path) -> list[Any]:
    """The objects of a JSON array, or of a file with one a line."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if text.lstrip().startswith("[") else list(json_lines(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a JSON file: {error}") from error


def question_of(record: Mapping[str, Any], where: str, number: int) -> AuthorQuestion:
    """One row; InputError for a missing or empty text."""
    question, answer = (text_of(cell, where) for cell in take(record, ("question", "answer"), where))
    paraphrased = record.get("paraphrased_answer") or ""
    perturbed = record.get("perturbed_answer") or []
    perturbed = [perturbed] if isinstance(perturbed, str) else perturbed
    if not isinstance(perturbed, list):
        raise InputError(f"{where}: perturbed_answer is {perturbed!r:.60}; write a text or a list of texts")
    texts = [question, answer, *([paraphrased] if paraphrased else []), *perturbed]
    if not all(text_of(text, where).strip() for text in texts):
        raise InputError(f"{where}: an empty question or answer; fill it in or leave the row out in every language")
    if bad := re.search("[\ud800-\udfff]", "".join(texts)):
        raise InputError(f"{where}: {bad[0]!r} is half a character; correct it")
    return AuthorQuestion(f"{number:04d}", question, answer, paraphrased, tuple(perturbed))


def write_once(path: Path, text: str) -> None:
    """Write a file whole or not at all; InputError where another text is there, such as one that was corrected."""
    if not path.exists():
        write_text_atomic(path, text)
    elif path.read_bytes() != text.encode():
        raise InputError(f"{path}: is there with another content; delete it, or name another --out")


def write_tofu(path: Path, rows: Iterable[AuthorQuestion]) -> None:
    """Write JSON lines in TOFU's fields; see `write_once`."""
    lines = []
    for row in rows:
        fields: dict[str, Any] = {name: getattr(row, name) for name in TEXTS if getattr(row, name)}
        if row.perturbed_answer:
            fields["perturbed_answer"] = row.perturbed_answer
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    write_once(path, "".join(lines))


def choices(parallel: Mapping[str, Sequence[AuthorQuestion]], seed: int) -> dict[str, list[Question]]:
    """Multiple-choice questions by language: the true answer and three of its perturbations.

    Perturbations and order depend only on seed and id. Rows with fewer perturbations are left out.
    """
    items: dict[str, list[Question]] = {code: [] for code in parallel}
    for row in zip(*parallel.values(), strict=True):
        count = len(row[0].perturbed_answer)
        if count < WRONG:
            continue
        rng = random.Random(f"{seed}:{row[0].id}:choices")
        wrong, place = rng.sample(range(count), WRONG), rng.randrange(len(FOUR))
        for code, question in zip(parallel, row, strict=True):
            options = [question.perturbed_answer[i] for i in wrong]
            options.insert(place, question.truth)
            items[code].append(monolingual(question.id, SUBJECT, "", question.question, options, FOUR[place], code))
    return items
