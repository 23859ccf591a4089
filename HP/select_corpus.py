"""Split a corpus into documents that mention Harry Potter, the in-domain text, and all others.

    python HP/select_corpus.py --input Salesforce/wikitext --subset wikitext-103-raw-v1 --out DIR

A document is related if it has at least `min_count` occurrences of terms of `HP/data/terms.txt`, as whole words and
case-sensitive. Writes related.jsonl and unrelated.jsonl (doc_id, text: corpora for FT/mix.py), index.json (numbers of
the related documents), terms.csv (documents and occurrences of each term) and summary.csv. With --index, a released
list of related documents, summary.csv also has precision and recall against it.
"""

import json
import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from tqdm import tqdm

from common.cli import InputError, parse, require_positive, run
from common.corpus import read_documents
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
        documents: headings starts a document at each WikiText title, rows at each line or row.
        terms: file of terms, one per line; lines that begin with # are comments.
        min_count: fewest occurrences of terms in a related document.
        index: JSON file to compare with: a list of related documents' numbers, or one under HP-related-index.
    """

    input: str
    out: str
    subset: str | None = None
    split: str = "train"
    documents: Literal["headings", "rows"] = "headings"
    terms: str = str(TERMS)
    min_count: int = 1
    index: str | None = None

    def __post_init__(self) -> None:
        require_positive(self, "min_count")


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
    """Matches any of the terms as whole words, the longest first; white space of any kind between their words."""
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    choices = "|".join(r"\s+".join(map(re.escape, term.split())) for term in longest_first)
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)")


def read_index(path: str) -> set[int]:
    """Numbers of related documents from a JSON file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        numbers = found[INDEX_KEY] if isinstance(found, dict) else found
        return {int(number) for number in numbers}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON list of numbers, nor one under the key {INDEX_KEY!r}") from error


def split_corpus(config: Select, terms: list[str], released: set[int] | None) -> tuple[list[int], dict, pd.DataFrame]:
    """Write the two corpora; returns the related numbers, the row of summary.csv and the rows of terms.csv."""
    pattern, out = pattern_of(terms), Path(config.out)
    related, documents, occurrences, total = [], Counter(), Counter(), 0
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_file(out / f"{name}.jsonl")) for name in ("unrelated", "related")]
        corpus = read_documents(config.input, config.subset, config.split, config.documents, False)
        for document in tqdm(corpus, unit="document"):
            found = Counter(" ".join(match.split()) for match in pattern.findall(document.text))
            is_related = found.total() >= config.min_count
            if is_related:
                related.append(document.doc_id)
                occurrences.update(found)
                documents.update(found.keys())
            row = {"doc_id": document.doc_id, "text": document.text}
            files[is_related].write(json.dumps(row, ensure_ascii=False) + "\n")
            total += 1
        row = {"documents": total, "related": len(related), "unrelated": total - len(related)}
        if released is not None:
            row |= agreement(set(related), released, total)
    rows = [{"term": term, "documents": documents[term], "occurrences": occurrences[term]} for term in terms]
    return related, row, pd.DataFrame(rows)


def agreement(related: set[int], released: set[int], total: int) -> dict[str, float]:
    """Precision and recall of our related documents against a released list."""
    beyond = sorted(number for number in released if not 0 <= number < total)
    if beyond:
        raise InputError(f"index names document {beyond[0]}, the corpus has {total}: they are not of the same corpus")
    both = len(related & released)
    return {
        "released": len(released),
        "in_both": both,
        "precision": both / len(related) if related else float("nan"),
        "recall": both / len(released) if released else float("nan"),
    }


def main() -> None:
    config = parse(Select)
    terms = read_terms(config.terms)
    released = read_index(config.index) if config.index else None
    out = Path(config.out)
    claim(out, "index.json")
    related, row, counts = split_corpus(config, terms, released)
    write_json_atomic(out / "index.json", {INDEX_KEY: related})
    write_csv_atomic(out / "terms.csv", counts)
    write_csv_atomic(out / "summary.csv", pd.DataFrame([row]), float_format="%.6f")
    print(pd.DataFrame([row]).to_string(index=False))
    for name in ("related", "unrelated"):
        if not row[name]:
            print(f"note: {out / name}.jsonl is empty, so nothing can be trained on it; see --min_count and --terms")


if __name__ == "__main__":
    run(main)
