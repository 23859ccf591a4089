"""Read a corpus one document at a time: text file, JSON lines, parquet, or a data set on the hub.

Raw WikiText is split into documents at its titles (` = Title = `).
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from datasets import load_dataset
from sacremoses import MosesDetokenizer

from common.cli import InputError
from common.reporting.provenance import file_digest

TITLE = re.compile(r"\s*= (?!=)(.*)(?<!=) =\s*")
JOINER = re.compile(r" @([.,-])@ ")


class Document(NamedTuple):
    """One text; `doc_id` counts from 0 in the order of the corpus."""

    doc_id: int
    text: str


def read_documents(source: str, subset: str | None, split: str, documents: str, detokenize: bool) -> Iterator[Document]:
    """The documents of a corpus, without empty lines.

    Args:
        source: text file, .jsonl or .parquet file with a column `text`, or hub name or local folder of a data set.
        subset: configuration of the data set, such as wikitext-103-raw-v1.
        documents: `headings` starts a document at each WikiText title, `rows` at each line or row.
        detokenize: undo WikiText's tokenization ("5 @,@ 000 people ." becomes "5,000 people.").

    Raises InputError for a corpus that cannot be read or is empty.
    """
    rows = (row["text"] for row in read_rows(source, subset, split))
    texts = _by_heading(rows, source) if documents == "headings" else (row for row in rows if row.strip())
    number, moses = -1, MosesDetokenizer(lang="en")
    for number, text in enumerate(texts):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if detokenize:
            lines = [moses.detokenize(JOINER.sub(r"\1", line).split()) for line in lines]
        yield Document(number, "\n".join(lines))
    if number < 0:
        raise InputError(f"{source}: no text in it")


def corpus_digest(source: str, subset: str | None, split: str) -> str:
    """What identifies the text of a corpus: the digest of a file, or the fingerprint of a data set."""
    return file_digest(source) if Path(source).is_file() else _dataset(source, subset, split)._fingerprint


def read_rows(source: str, subset: str | None = None, split: str = "train") -> Iterator[Mapping[str, Any]]:
    """Rows with all their columns; of a text file lines, as `text`. InputError names a row that has no `text`."""
    path = Path(source)
    if path.is_file() and path.suffix == ".jsonl":
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = json.loads(line.decode("utf-8"))
                    text = record["text"]
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise InputError(f"{source} row {number}: not a JSON object with the key text, in UTF-8") from error
                yield record | {"text": _checked(text, f"{source} row {number}")}
    elif path.is_file() and path.suffix != ".parquet":
        try:
            with open(path, encoding="utf-8") as file:
                yield from ({"text": line} for line in file)
        except UnicodeDecodeError as error:
            raise InputError(f"{source}: not UTF-8 text: {error.reason}; convert it") from error
    else:
        for number, row in enumerate(_dataset(source, subset, split), 1):
            yield row | {"text": _checked(row["text"], f"{source} row {number}")}


def _checked(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{where}: text is {text!r:.60}, not a string; correct it or leave the row out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: text has {text[error.start]!r}, half a character; correct it") from error
    return text


@cache
def _dataset(source: str, subset: str | None, split: str):
    path = Path(source)
    try:
        if path.is_file():
            data = load_dataset("parquet", data_files=str(path), split="train")
        else:
            data = load_dataset(source, subset, split=split)
    except Exception as error:  # whatever the readers of so many formats raise
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"corpus {source!r} cannot be read as rows with a column text: {reason:.300}") from error
    if "text" not in data.column_names:
        raise InputError(f"corpus {source!r}: no column `text` but {', '.join(data.column_names)}")
    return data


def _by_heading(rows: Iterator[str], source: str) -> Iterator[str]:
    """Join lines into documents at titles, which WikiText puts between empty lines; a row of several lines is one."""
    document, before = [], ""
    for row in rows:
        whole = "\n" in row.strip()
        if whole or "\n" in before.strip() or TITLE.fullmatch(row.rstrip("\n")) and not before.strip():
            if any(line.strip() for line in document):
                yield "".join(document)
            document = []
        document.append(row if row.endswith("\n") else row + "\n")
        before = row
    if not document:
        raise InputError(f"{source}: no text in it")
    if "\n" not in document[0].strip() and not any(TITLE.fullmatch(line.rstrip("\n")) for line in document):
        raise InputError(f"{source}: no WikiText title (` = Title = `) in it; use --documents rows")
    yield "".join(document)
