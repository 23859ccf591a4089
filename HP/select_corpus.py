"""Split a corpus into documents that mention Harry Potter, the in-domain text, and all others.

    python HP/select_corpus.py --input Salesforce/wikitext --subset wikitext-103-raw-v1 --out DIR
    python HP/select_corpus.py --input Salesforce/wikitext --subset wikitext-103-v1 --index FILE --out DIR

A document is related if it has at least `min_count` occurrences of terms of `HP/data/terms.txt`, as whole words and
case-sensitive; with --index, if that list names it. Writes related.jsonl and unrelated.jsonl (doc_id, text: corpora for
FT/mix.py), index.json (numbers of the related documents), terms.csv (documents and occurrences of each term in
documents with min_count of them) and summary.csv; with --index, precision and recall of the terms against it too.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from common.cli import InputError, parse, require_positive, run
from common.corpus import JOINER, Document, read_documents
from common.progress import Progress
from common.reporting.files import atomic_file, claim, write_csv_atomic, write_json_atomic

TERMS = Path(__file__).resolve().parent / "data" / "terms.txt"
INDEX_KEY = "HP-related-index"


@dataclass
class Select:
    """Split a corpus into documents with and without given terms.

    Attributes:
        input: text file, .jsonl or .parquet with a column text, or hub name or folder of a data set.
        out: folder to write to.
        subset: configuration of the data set.
        split: split of the data set.
        documents: headings starts a document at each WikiText title, rows at each line or row that is not empty; null
            is rows with an index, else headings.
        terms: file of terms, one per line; lines that begin with # are comments.
        min_count: fewest occurrences of terms in a related document.
        index: JSON file of the related documents' numbers, from 0: a list, or one under HP-related-index. The paper's
            numbers the lines of WikiText-103 (train) that are not empty.
    """

    input: str
    out: str
    subset: str | None = None
    split: str = "train"
    documents: Literal["headings", "rows"] | None = None
    terms: str = str(TERMS)
    min_count: int = 1
    index: str | None = None

    def __post_init__(self) -> None:
        require_positive(self, "min_count")
        self.documents = self.documents or ("rows" if self.index else "headings")

    def read(self) -> Iterator[Document]:
        return read_documents(self.input, self.subset, self.split, self.documents, False)


def read_terms(path: str) -> list[str]:
    """The terms of a file, in its order."""
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error.reason}; convert it") from error
    terms = [line for line in lines if line and not line.startswith("#")]
    if not terms:
        raise InputError(f"{path}: no terms in it")
    return terms


def pattern_of(terms: list[str]) -> re.Pattern:
    """Matches any of the terms as whole words, the longest first; white space of any kind between their words.

    Also as WikiText writes them: "Half @-@ Blood Prince", "Philosopher 's Stone".
    """
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    choices = "|".join(r"\s+".join(map(re.escape, term.split())) for term in longest_first)
    choices = choices.replace(r"\-", r"(?:-| @-@ )").replace("'", r"\s?'")
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)")


def as_in_terms(match: str) -> str:
    """What was matched, written as the terms are."""
    return " ".join(JOINER.sub(r"\1", match).replace(" '", "'").split())


def read_index(path: str) -> set[int]:
    """Numbers of related documents from a JSON file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        numbers = found[INDEX_KEY] if isinstance(found, dict) else found
        if not all(type(number) is int for number in numbers):
            raise ValueError("another type")
        return set(numbers)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON list of whole numbers, nor one under the key {INDEX_KEY!r}") from error


def split_corpus(config: Select, terms: list[str], index: set[int] | None) -> tuple[list[int], dict, pd.DataFrame]:
    """Write the two corpora; returns the related numbers, the row of summary.csv and the rows of terms.csv."""
    pattern, out = pattern_of(terms), Path(config.out)
    related, with_terms, documents, occurrences, total = [], set(), Counter(), Counter(), 0
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_file(out / f"{name}.jsonl")) for name in ("unrelated", "related")]
        progress = stack.enter_context(Progress(sum(1 for _ in config.read()), "documents"))
        for document in config.read():
            found = Counter(map(as_in_terms, pattern.findall(document.text)))
            if found.total() >= config.min_count:
                with_terms.add(document.doc_id)
                occurrences.update(found)
                documents.update(found.keys())
            is_related = document.doc_id in (with_terms if index is None else index)
            if is_related:
                related.append(document.doc_id)
            row = {"doc_id": document.doc_id, "text": document.text}
            files[is_related].write(json.dumps(row, ensure_ascii=False) + "\n")
            total += 1
            progress.update()
        row = {"documents": total, "related": len(related), "unrelated": total - len(related)}
        if index is not None:
            row |= agreement(with_terms, index, total)
    rows = [{"term": term, "documents": documents[term], "occurrences": occurrences[term]} for term in terms]
    return related, row, pd.DataFrame(rows)


def agreement(with_terms: set[int], released: set[int], total: int) -> dict[str, float]:
    """Precision and recall of the documents with terms against a released list, which must be of this corpus."""
    beyond = sorted(number for number in released if not 0 <= number < total)
    if beyond:
        raise InputError(
            f"index names document {beyond[0]}, the corpus has {total}, from 0: they are not of the same corpus, or"
            " --documents is not that of the index"
        )
    both = len(with_terms & released)
    return {
        "released": len(released),
        "in_both": both,
        "precision": both / len(with_terms) if with_terms else float("nan"),
        "recall": both / len(released) if released else float("nan"),
    }


def main() -> None:
    config = parse(Select)
    terms = read_terms(config.terms)
    index = read_index(config.index) if config.index else None
    out = Path(config.out)
    claim(out, "index.json")
    related, row, counts = split_corpus(config, terms, index)
    write_json_atomic(out / "index.json", {INDEX_KEY: related})
    write_csv_atomic(out / "terms.csv", counts)
    write_csv_atomic(out / "summary.csv", pd.DataFrame([row]), float_format="%.6f")
    print(pd.DataFrame([row]).to_string(index=False))
    keys = "--index" if config.index else "--min_count and --terms"
    for name in ("related", "unrelated"):
        if not row[name]:
            print(f"note: {out / name}.jsonl is empty, so nothing can be trained on it; see {keys}")


if __name__ == "__main__":
    run(main)
