"""Read multiple-choice questions from the sources that build_variants.py supports, one set of tables per language.

Errors name file and row, counted from 1 without the header. Text is kept unchanged but for Belebele's stray blanks.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.cli import InputError
from common.languages import LANGUAGES, get
from common.parallel_data import Row, Tables, dataset_rows, json_lines, take, text_of
from common.questions import FOUR, LETTERS, MIXED, Question, check_question, filled, monolingual, read_csv_rows

PAPER_MIXUP = "mixup_paper"

Splits = dict[str, dict[str, Tables]]  # "test", and "dev" where there are few-shot examples -> language or PAPER_MIXUP


def read_mmlu(
    data: str, translations: str | None, mixup: str | None, languages: Sequence[str], on_mismatch: str
) -> Splits:
    """MMLU in English from `data`, the other languages from `translations`, the released mixup from `mixup`.

    The arguments are those of build_variants.py; openai/MMMLU has test questions only. With `on_mismatch` "drop" an
    option may be empty, as the released mixup has it where English says "None": `common.parallel_data.align` leaves the
    question out. Raises InputError for what is missing or malformed.
    """
    if len(languages) > 1 and translations is None:
        raise InputError("--translations is missing: name the folder or data set with the questions in other languages")
    splits = {}
    for split in ("test", "dev"):
        english = _mmlu_english(data, split)
        if english is None:
            print(f"note: {data} has no {split}/ folder, so there are no few-shot examples")
            continue
        splits[split] = {"en": english} | _mmlu_translations(translations, split, languages[1:])
        if mixup:
            splits[split] |= _mmlu_mixup(mixup, split)
    for row in (
        row for tables in splits.values() for one in tables.values() for own in one.rows.values() for row in own
    ):
        check_unless_dropped(row.item, row.where, on_mismatch)
    return splits


def check_unless_dropped(item: Question, where: str, on_mismatch: str) -> None:
    """`check_question`, but of what `align` leaves out, since `on_mismatch` is "drop" and an option is empty."""
    if on_mismatch == "refuse" or all(map(str.strip, item.options)):
        check_question(item, where)


def _mmlu_english(data: str, split: str) -> Tables | None:
    """The English questions; None for a dev split that the folder does not have."""
    if Path(data, "test").is_dir():
        folder = Path(data, split)
        return _mmlu_folder(folder, split, "en") if folder.is_dir() else None
    rows: dict[str, list[Row]] = {}
    for number, record in enumerate(dataset_rows(data, "all", split), 1):
        where = f"{data} (all, {split}), row {number}"
        question, subject, choices, answer = take(record, ("question", "subject", "choices", "answer"), where)
        letter = FOUR[answer] if answer in range(len(FOUR)) else str(answer)
        _add_mmlu_row(rows, split, subject, [question, *choices, letter], "en", where)
    return Tables(data, rows)


def _mmlu_translations(translations: str | None, split: str, languages: Sequence[str]) -> dict[str, Tables]:
    folders = {}
    for code in languages:
        layouts = (Path(translations, code, split), Path(translations, f"{split}_full_{code}"))
        folders[code] = next((folder for folder in layouts if folder.is_dir()), None)
    if split == "dev" and not any(folders.values()):
        if languages:
            print(f"note: {translations} has no dev questions, so few-shot examples are in English only")
        return {}
    if split == "dev" and (missing := [code for code in languages if folders[code] is None]):
        raise InputError(f"{translations}: no dev questions in {', '.join(missing)}; add them or remove the other dev/")
    return {
        code: _mmlu_folder(folder, split, code) if folder else _mmmlu(translations, code)
        for code, folder in folders.items()
    }


def _mmlu_folder(folder: Path, split: str, language: str) -> Tables:
    """Files <subject>_<split>.csv of question, four options and letter; a line of column names on top is skipped.

    Its names are question, A, B, C, D, answer, or other words or numbers, as pandas writes for columns without names.
    """
    rows: dict[str, list[Row]] = {}
    for path in sorted(folder.glob(f"*_{split}.csv")):
        cells = list(read_csv_rows(path))
        if cells and _is_header([cell.strip() for cell in cells[0]]):
            cells = cells[1:]
        for number, row in enumerate(cells, 1):
            where = f"{path}, row {number}"
            _add_mmlu_row(rows, split, path.name.removesuffix(f"_{split}.csv"), row, language, where)
    if not rows:
        raise InputError(f"{folder}: no questions in files named <subject>_{split}.csv")
    return Tables(str(folder), rows)


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a line has column names: a question is no single word, unless its options are the letters."""
    words = all(cell.isidentifier() or cell.isdigit() for cell in cells)
    return cells[-1] not in FOUR and (words or [cell.upper() for cell in cells[1:5]] == list(FOUR))


def _mmmlu(name: str, language: str) -> Tables:
    """The test questions of one language from openai/MMMLU, grouped by subject, in their order within each."""
    config = LANGUAGES[language].mmmlu
    if config is None:
        raise InputError(f"{name}: no folder {language}/test or test_full_{language}, and MMMLU has no such language")
    path, records = _mmmlu_records(name, config)
    rows: dict[str, list[Row]] = {}
    for number, record in enumerate(records, 1):
        where = f"{path}, row {number}"
        *cells, subject = take(record, ("Question", *FOUR, "Answer", "Subject"), where)
        # In Swahili and Yoruba the names are those of files: college_mathematics_test.csv_sw-KE.csv.
        subject = re.split(r"_test(?:\.csv|-)", text_of(subject, where))[0]
        _add_mmlu_row(rows, "test", subject, cells, language, where)
    return Tables(path, rows)


def _mmmlu_records(name: str, config: str) -> tuple[str, Iterable[Mapping[str, Any]]]:
    """Rows by column name; CSV is read as text, since `datasets` turns "None" into null and "1.50" into 1.5."""
    file = f"test/mmlu_{config.replace('_', '-')}.csv"
    path = Path(name, file)
    if not Path(name).is_dir():
        path = Path(_download(name, file), file)
    if not path.is_file():
        return f"{name} ({config})", dataset_rows(name, config, "test")
    header, *rows = list(read_csv_rows(path)) or [[]]
    return str(path), [dict(zip(header, row, strict=False)) for row in rows]


def _mmlu_mixup(name: str, split: str) -> dict[str, Tables]:
    """The released mixup: data/<split>/<subject>_<split>.csv."""
    folder = Path(name if Path(name).is_dir() else _download(name, "data/*"), "data", split)
    if split == "dev" and not folder.is_dir():
        print(f"note: {name} has no dev questions, so there are no {PAPER_MIXUP} few-shot examples")
        return {}
    return {PAPER_MIXUP: _mmlu_folder(folder, split, MIXED)}


def _add_mmlu_row(
    rows: dict[str, list[Row]], split: str, subject: str, cells: Sequence[Any], language: str, where: str
) -> None:
    """Append one MMLU row with the id <subject>-<number>, or <subject>-dev-<number>."""
    if len(cells) != 6:
        raise InputError(f"{where}: {len(cells)} cells where question, four options and the answer's letter are needed")
    table = rows.setdefault(subject, [])
    prefix = f"{subject}-dev" if split == "dev" else subject
    subject, question, *options, answer = (text_of(cell, where) for cell in (subject, *cells))
    item = monolingual(f"{prefix}-{len(table) + 1:04d}", subject, "", question, options, answer, language)
    table.append(Row(where, item))


def read_belebele(data: str, languages: Sequence[str]) -> Splits:
    """Belebele from a folder with <FLORES-200 code>.jsonl, or facebook/belebele (its name or a local copy)."""
    tables = {}
    for code in languages:
        config = LANGUAGES[code].nllb
        files = (Path(data, f"{config}.jsonl"), Path(data, "data", f"{config}.jsonl"))
        path = next((path for path in files if path.is_file()), None)
        if path is None and any(Path(data).glob("*.jsonl")):
            raise InputError(
                f"{files[0]}: no such file; add the questions in {LANGUAGES[code].name} or leave {code} out"
            )
        name = str(path) if path else f"{data} ({config})"
        records = json_lines(path) if path else dataset_rows(data, config, "test")
        rows = [_belebele_row(record, f"{name}, row {number}", code) for number, record in enumerate(records, 1)]
        if tables:  # the order of rows is not the same in every language
            first = next(iter(tables.values())).rows["belebele"]
            place = {row.item.id: number for number, row in enumerate(first)}
            if place.keys() == {row.item.id for row in rows}:
                rows.sort(key=lambda row: place[row.item.id])
        tables[code] = Tables(name, {"belebele": rows})
    return {"test": tables}


def _belebele_row(record: Mapping[str, Any], where: str, language: str) -> Row:
    """One question; its id is made of link and question number, which are the same in every language."""
    keys = ("flores_passage", "question", "mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4")
    context, question, *options = (text_of(cell, where).strip() for cell in take(record, keys, where))
    link, number, correct = (
        str(cell) for cell in take(record, ("link", "question_number", "correct_answer_num"), where)
    )
    if not context:
        raise InputError(f"{where}: the passage is empty; fill it in or leave the question out in every language")
    answer = dict(zip("1234", FOUR, strict=True)).get(correct, correct)
    item = monolingual(f"{link}#{number}", "belebele", context, question, options, answer, language)
    check_question(item, where)
    return Row(where, item)


def read_global_mmlu(data: str, languages: Sequence[str]) -> Splits:
    """CohereForAI/Global-MMLU or Global-MMLU-Lite, or a copy: one configuration an ISO code, rows by sample_id."""
    splits: Splits = {"test": {}, "dev": {}}
    for split, tables in splits.items():
        for code in languages:
            name = f"{data} ({code}, {split})"
            found = [
                _global_mmlu_row(record, f"{name}, row {number}", code)
                for number, record in enumerate(dataset_rows(data, code, split), 1)
            ]
            rows: dict[str, list[Row]] = {}
            for row in sorted(found, key=lambda row: row.item.id):  # their order is not the same in every language
                rows.setdefault(row.item.subject, []).append(row)
            tables[code] = Tables(name, rows)
    return splits


def _global_mmlu_row(record: Mapping[str, Any], where: str, language: str) -> Row:
    keys = ("sample_id", "subject", "question", "option_a", "option_b", "option_c", "option_d", "answer")
    id, subject, question, *options, answer = (text_of(cell, where) for cell in take(record, keys, where))
    item = monolingual(id, subject, "", question, options, answer, language)
    check_question(item, where)
    return Row(where, item)


def read_include(data: str, languages: Sequence[str]) -> Splits:
    """CohereForAI/include-base-44 or a copy: one configuration a language, whose questions are its own; no English.

    An id begins with the question's regional feature: agnostic, culture, region explicit or region implicit.
    """
    if len(languages) != 1:
        raise InputError("--languages must be one language: INCLUDE has other questions in each; build each alone")
    (code,) = languages
    splits: Splits = {}
    for split, part in (("test", "test"), ("dev", "validation")):
        name = f"{data} ({get(code).name}, {part})"
        rows: dict[str, list[Row]] = {}
        for number, record in enumerate(dataset_rows(data, get(code).name, part), 1):
            where = f"{name}, row {number}"
            keys = ("subject", "question", "option_a", "option_b", "option_c", "option_d", "regional_feature")
            subject, question, *options, feature = (text_of(cell, where) for cell in take(record, keys, where))
            (answer,) = take(record, ("answer",), where)
            letter = FOUR[answer] if answer in range(len(FOUR)) else str(answer)
            item = monolingual(f"{feature}/{part}/{number:04d}", subject, "", question, options, letter, code)
            check_question(item, where)
            rows.setdefault(subject, []).append(Row(where, item))
        splits[split] = {code: Tables(name, rows)}
    return splits


def read_csv_source(data: str, languages: Sequence[str]) -> Splits:
    """A folder with <language>.csv, and few-shot examples in its dev/."""
    splits = {}
    for split, folder in (("test", Path(data)), ("dev", Path(data, "dev"))):
        if split == "test" or folder.is_dir():
            splits[split] = {code: _csv_table(folder / f"{code}.csv", code) for code in languages}
    return splits


def _csv_table(path: Path, language: str) -> Tables:
    """The questions of id,subject,context,question,A,B[,C...],answer; `context` and the last options may be empty."""
    header, *rows = list(read_csv_rows(path)) or [[]]
    before, options = ["id", "subject", "context", "question"], LETTERS[: max(2, len(header) - 5)]
    if header != [*before, *options, "answer"]:
        raise InputError(
            f"{path}: the first line must be id,subject,context,question,A,B,answer with an option column for each"
            " further letter"
        )
    table = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} cells where the header has {len(header)}")
        item = monolingual(*row[:4], filled(row[4:-1]), row[-1], language)
        check_question(item, where)
        table.append(Row(where, item))
    return Tables(str(path), {"": table})


def _download(name: str, pattern: str) -> str:
    """The local folder with the files of a data set on the Hugging Face Hub that match `pattern`."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, repo_type="dataset", allow_patterns=pattern)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: neither a folder nor a data set that can be downloaded: {reason}") from error
