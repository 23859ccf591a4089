"""The languages of languages.csv: ISO 639-1 code, names, codes of data sets and translators, native prompt strings."""

import csv
from dataclasses import dataclass
from pathlib import Path

from common.cli import InputError


@dataclass(frozen=True)
class Language:
    """One language. `answer`, `question` and `passage` are labels with the colon as the language writes it."""

    code: str  # ISO 639-1
    name: str  # in English
    nllb: str  # NLLB, FLORES-200 and Belebele
    mmmlu: str | None  # configuration of openai/MMMLU, None where it has no such language
    answer: str
    question: str
    passage: str
    mc_instruction: str  # with {subject}


with open(Path(__file__).with_name("languages.csv"), encoding="utf-8", newline="") as file:
    LANGUAGES: dict[str, Language] = {
        row["code"]: Language(**row | {"mmmlu": row["mmmlu"] or None}) for row in csv.DictReader(file)
    }
PAPER = ("en", "de", "fr", "es", "it")


def get(code: str) -> Language:
    """The language with this ISO 639-1 code; InputError for a code that is not in the table."""
    if code not in LANGUAGES:
        raise InputError(f"unknown language {code!r}: use one of {', '.join(LANGUAGES)}")
    return LANGUAGES[code]
