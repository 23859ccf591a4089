"""KLAR with the frequencies of its facts (Liu et al., arXiv 2505.14824): row-parallel facts in every language.

    facts = read_klar(Path(DIR), ["en", "fr"])  # {"en": [...], "fr": [...]}

DIR has <code>.txt, such as eng_Latn.txt, a fact a line that ends with its answer; in it or above it is
lang_rel_frequencies.json: {language: {relation: [{subject, object, index, frequency}]}}, in the order of the lines. So
are data/klar_variant_full and data/ of cisnlp/multilingual-fact-tracing. `frequency` is in how many documents of a
corpus both names stand (there Dolma 1.7).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.cli import InputError
from common.languages import LANGUAGES

FREQUENCIES = "lang_rel_frequencies.json"
OWN_CODES = {
    "ar": "ara_Arab",
    "ca": "cat_Latn",
    "ko": "kor_Kore",
}  # of languages that common/languages.csv has otherwise


@dataclass(frozen=True)
class Fact:
    """One fact in one language: `text` up to the answer, and the documents of the corpus that have both names."""

    id: str
    language: str
    relation: str
    text: str
    answer: str
    frequency: int


def code_of(language: str) -> str:
    """What KLAR calls a language: ISO 639-3 and script, such as eng_Latn; InputError for one that is not known."""
    if language in OWN_CODES:
        return OWN_CODES[language]
    if language not in LANGUAGES:
        raise InputError(f"unknown language {language!r}: use one of {', '.join(sorted({*LANGUAGES, *OWN_CODES}))}")
    return LANGUAGES[language].nllb


def script_of(language: str) -> str:
    """The script that a language is written in there, ISO 15924."""
    return code_of(language).partition("_")[2]


def known_languages(folder: Path) -> list[str]:
    """The languages of the frequencies, English first; InputError where the file is missing or malformed."""
    codes = list(_frequencies(folder))
    return sorted(codes, key=lambda code: code != "en")


def read_klar(folder: Path, languages: list[str]) -> dict[str, list[Fact]]:
    """The facts of every language, row for row the same; InputError naming file and line for what is malformed."""
    known = _frequencies(folder)
    if missing := [code for code in languages if code not in known]:
        raise InputError(f"{counts_file(folder)}: has no language {missing[0]!r}, only {', '.join(known)}")
    facts = {code: _facts(folder, code, known[code]) for code in languages}
    first = languages[0]
    for code, own in facts.items():
        ids = [fact.id for fact in own]
        if ids != [fact.id for fact in facts[first]]:
            raise InputError(f"{counts_file(folder)}: {code} and {first} have other facts or another order")
    return facts


def counts_file(folder: Path) -> Path:
    """The file of frequencies, in the folder or above it."""
    above = folder.parent / FREQUENCIES
    return above if above.exists() and not (folder / FREQUENCIES).exists() else folder / FREQUENCIES


def _frequencies(folder: Path) -> dict[str, Any]:
    path = counts_file(folder)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(known, dict) or not known:
        raise InputError(f"{path}: no object with a language a key")
    return known


def _facts(folder: Path, language: str, relations: Any) -> list[Fact]:
    path = folder / f"{code_of(language)}.txt"
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    try:
        rows = [
            (relation, str(row["index"]), str(row["object"]).strip(), int(row["frequency"]))
            for relation, own in relations.items()
            for row in own
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{counts_file(folder)}: {language} has a fact without index, object, frequency") from error
    if len(lines) != len(rows):
        raise InputError(f"{path}: {len(lines)} lines where {FREQUENCIES} has {len(rows)} facts")
    facts = []
    for number, (line, (relation, index, answer, frequency)) in enumerate(zip(lines, rows, strict=True), 1):
        line = line.strip()
        if not answer or not line.endswith(answer) or line == answer or frequency < 0:
            raise InputError(f"{path}, line {number}: does not end with {answer!r}, the object in {FREQUENCIES}")
        facts.append(Fact(f"{relation}-{index}", language, relation, line[: -len(answer)], answer, frequency))
    if len({fact.id for fact in facts}) < len(facts):
        raise InputError(f"{counts_file(folder)}: {language} has a fact twice in a relation")
    return facts
