"""Questions of ECLeKTic and MultiLoKo, which are answered in words: read, and written as prompts.

ECLeKTic (arXiv 2502.21228) is eclektic_main.jsonl: q_id, original_lang, and in each language <code>_q (question) and
<code>_a (answer); asked in another language than original_lang, a question needs knowledge to cross over.

MultiLoKo (arXiv 2504.10356; layout of facebookresearch/multiloko, README.md) is a folder a language, such as german/,
with dev.jsonl, its own 250 questions, and dev_translated_human_english.jsonl, the same in English;
english/dev_translated_human_german.jsonl has the English ones in German. Rows have id, question, targets (answers that
are right), output_type (a date, a name, ..., in the question's language).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.cli import InputError, comma_list
from common.languages import LANGUAGES, get
from common.parallel_data import json_lines, take, text_of

FOLDERS = {"zh": "simplified_mandarin"}  # of MultiLoKo, where it is not the language's name
ECLEKTIC = "eclektic_main.jsonl"


@dataclass(frozen=True)
class Asked:
    """A question in `language`, made in `origin`; without `answers`, which the data leave blank here and there, it
    cannot be answered right."""

    id: str
    origin: str
    language: str
    question: str
    answers: tuple[str, ...]
    prompt: str = ""


Questions = dict[str, list[Asked]]  # by column, as many in each


def local_copy(data: str, pattern: str) -> Path:
    """The folder, or that of a data set on the Hugging Face Hub with its files that match `pattern`."""
    if Path(data).exists():
        return Path(data)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(data, repo_type="dataset", allow_patterns=pattern))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{data}: neither a file or folder nor a data set that can be downloaded: {reason}") from error


def read_eclektic(data: str, languages: str | Sequence[str] | None) -> Questions:
    """Every question in every language; of some languages alone, the questions that were made in one of these."""
    path = local_copy(data, ECLEKTIC)
    path = path / ECLEKTIC if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path}: no such file; data is this file or its folder, as on Kaggle (googleai/eclektic)")
    records = [(f"{path}, row {number}", record) for number, record in enumerate(json_lines(path), 1)]
    where, first = records[0] if records else (path, {})
    take(first, ("q_id", "original_lang"), where)
    codes = named(languages) or [code for code in LANGUAGES if f"{code}_q" in first]
    if len(codes) < 2:
        raise InputError(f"languages {','.join(codes)}: name two or more, between which knowledge can cross over")
    found: Questions = {code: [] for code in codes}
    for where, record in records:
        name, origin = (str(cell) for cell in take(record, ("q_id", "original_lang"), where))
        for code in codes if origin in codes else ():
            question, answer = (text_of(cell, where) for cell in take(record, (f"{code}_q", f"{code}_a"), where))
            found[code].append(made(name, origin, code, question, [answer], where))
    refuse_twice(path, found[codes[0]])
    return found


def read_multiloko(data: str, languages: str | Sequence[str] | None) -> Questions:
    """Columns: `de`, the questions made in German; `de-en`, the same in English; `en-de`, the English ones in German.

    The rows of a translation are in the order of its original.
    """
    folder = local_copy(data, "*/dev*.jsonl")
    codes = named(languages) or [code for code in LANGUAGES if (folder / folder_of(code)).is_dir()]
    if not set(codes) - {"en"}:
        raise InputError(f"{folder}: no folder such as german/ with dev.jsonl; name a language besides English")
    own = {
        code: read_rows(folder / folder_of(code) / "dev.jsonl", code, code) for code in dict.fromkeys([*codes, "en"])
    }
    found = {code: own[code] for code in codes}
    for code in codes:
        for origin, language in ((code, "en"), ("en", code)) if code != "en" else ():
            path = folder / folder_of(origin) / f"dev_translated_human_{folder_of(language)}.jsonl"
            rows = {row.id: row for row in read_rows(path, origin, language)}
            if lacking := [row.id for row in own[origin] if row.id not in rows]:
                raise InputError(f"{path}: no question with id {lacking[0]!r}, which dev.jsonl has")
            found[f"{origin}-{language}"] = [rows[row.id] for row in own[origin]]
    return found


READERS = {"eclektic": read_eclektic, "multiloko": read_multiloko}


def folder_of(code: str) -> str:
    """MultiLoKo's folder of a language."""
    return FOLDERS.get(code, LANGUAGES[code].name.lower())


def named(languages: str | Sequence[str] | None) -> list[str]:
    """The languages that the caller names."""
    return [get(code).code for code in comma_list(languages or ())]


def read_rows(path: Path, origin: str, language: str) -> list[Asked]:
    """A file of MultiLoKo."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; data is a folder in the layout of facebook/multiloko")
    rows = []
    for number, record in enumerate(json_lines(path), 1):
        where = f"{path}, row {number}"
        name, question, targets, kind = take(record, ("id", "question", "targets", "output_type"), where)
        if not isinstance(targets, list):
            raise InputError(f"{where}: targets is {targets!r}; it must be a list of answers")
        question, kind = text_of(question, where).strip(), text_of(kind, where).strip()
        asked = f"{question} ({kind})" if kind and question else question
        rows.append(made(str(name), origin, language, asked, [text_of(cell, where) for cell in targets], where))
    refuse_twice(path, rows)
    return rows


def made(name: str, origin: str, language: str, question: str, answers: Sequence[str], where: str) -> Asked:
    """One question, on one line; InputError where it is empty."""
    lines = [" ".join(text.split()) for text in (question, *answers)]
    if not lines[0]:
        raise InputError(f"{where}: the question is empty in {LANGUAGES[language].name}; fill it in or remove the row")
    return Asked(name, origin, language, lines[0], tuple(filter(None, lines[1:])))


def refuse_twice(path: Path, rows: Sequence[Asked]) -> None:
    """InputError for a file without questions, and for an id that is given twice."""
    if not rows:
        raise InputError(f"{path}: no questions in these languages")
    ids = [row.id for row in rows]
    if len(set(ids)) < len(ids):
        raise InputError(f"{path}: id {max(ids, key=ids.count)!r} is given twice; ids must be unique")


def with_prompts(questions: Mapping[str, Sequence[Asked]], shots: int, limit: int | None, seed: int) -> Questions:
    """The first `limit` questions of each column behind `shots` others with their answers, in the same language.

    The same rows are shown in every column, drawn by the seed of those with an answer in each, and never asked.
    """
    sizes = {len(rows) for rows in questions.values()}
    if len(sizes) > 1:
        raise InputError(f"{', '.join(questions)}: from {min(sizes)} to {max(sizes)} questions; give each as many")
    (size,) = sizes
    answered = [row for row in range(size) if all(rows[row].answers for rows in questions.values())]
    if shots >= size:
        raise InputError(f"num_fewshot is {shots} and there are {size} questions; show fewer")
    if shots > len(answered):
        raise InputError(f"num_fewshot is {shots} and {len(answered)} questions have an answer everywhere; show fewer")
    shown = random.Random(f"closed book {seed}").sample(answered, shots)
    asked = [row for row in range(size) if row not in set(shown)][:limit]
    return {column: list(prompted(rows, shown, asked)) for column, rows in questions.items()}


def prompted(rows: Sequence[Asked], shown: Sequence[int], asked: Sequence[int]) -> list[Asked]:
    """Some rows with their prompts: question and answer are labelled in the language of the question."""
    language = LANGUAGES[rows[0].language]
    texts = [f"{language.question} {row.question}\n{language.answer}" for row in rows]
    examples = "".join(f"{texts[row]} {''.join(rows[row].answers[:1])}\n\n" for row in shown)
    return [replace(rows[row], prompt=examples + texts[row]) for row in asked]
