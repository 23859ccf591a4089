"""The concepts of the synthetic world and their words in seven languages: lexicon.tsv, which is also a dictionary.

    from world.lexicon import concepts, load_lexicon

A row of lexicon.tsv is one concept; a cell holds its synonyms, `|` between them. Nouns carry their gender
(`Pferd:n`; English has none), adjectives outside English and German give their inflected form (`beau/belle`).
"""

import random
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path

from common.cli import InputError
from common.reporting.files import write_text_atomic

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")
GENDERS = {"en": "", "de": "mfn", "fr": "mf", "es": "mf", "it": "mf", "pt": "mf", "nl": "cn"}
USUAL = 0.9  # how often the first of several synonyms is drawn
SPOKEN = 12  # concepts of each category that training text uses; the others are only in the dictionary
HEADER = ("id", "category", "pos", *LANGUAGES)


@dataclass(frozen=True)
class Form:
    """One word: `gender` of a noun (m, f, n; Dutch c, n), `inflected` form of an adjective (fem.; Dutch -e)."""

    text: str
    gender: str = ""
    inflected: str = ""


@dataclass(frozen=True)
class Concept:
    """One meaning; `pos` is noun, adj or verb (third person singular), `forms` has the synonyms by language."""

    id: str
    category: str
    pos: str
    forms: dict[str, tuple[Form, ...]]


@cache
def load_lexicon() -> dict[str, Concept]:
    """All concepts by id, in the order of the file."""
    return read_lexicon(files("world").joinpath("lexicon.tsv").read_text(encoding="utf-8"))


def read_lexicon(text: str) -> dict[str, Concept]:
    """Concepts of a lexicon file; InputError with the row number for a malformed row."""
    rows = [line.split("\t") for line in text.splitlines()]
    if not rows or tuple(rows[0]) != HEADER:
        raise InputError(f"lexicon.tsv row 1: the header has to be {' '.join(HEADER)}")
    lexicon: dict[str, Concept] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(HEADER):
            raise InputError(f"lexicon.tsv row {number}: {len(row)} cells instead of {len(HEADER)}")
        name, category, pos, *cells = row
        if name in lexicon or pos not in ("noun", "adj", "verb"):
            raise InputError(f"lexicon.tsv row {number}: {name} stands twice or has an unknown part of speech {pos!r}")
        forms = {
            lang: tuple(_form(word, pos, lang, number) for word in cell.split("|"))
            for lang, cell in zip(LANGUAGES, cells, strict=True)
        }
        lexicon[name] = Concept(name, category, pos, forms)
    return lexicon


def _form(word: str, pos: str, lang: str, number: int) -> Form:
    """Read one word of a cell."""
    if pos == "noun" and lang != "en":
        text, _, gender = word.partition(":")
        form = Form(text, gender)
        legal = len(gender) == 1 and gender in GENDERS[lang]
    else:
        text, _, inflected = word.partition("/")
        form = Form(text, inflected=inflected or text)
        legal = bool(inflected) == (pos == "adj" and lang not in ("en", "de"))
    if not legal or not form.text.isalpha() or not (form.inflected or "x").isalpha():
        raise InputError(f"lexicon.tsv row {number}: {word!r} is not a {pos} as {lang} writes it")
    return form


def draw_form(concept: Concept, lang: str, rng: random.Random) -> Form:
    """One of the concept's words in a language: the first with probability USUAL, else another."""
    usual, *others = concept.forms[lang]
    return usual if not others or rng.random() < USUAL else rng.choice(others)


def concepts(category: str) -> list[Concept]:
    """The concepts of one category that training text uses, in the order of the file."""
    return [concept for concept in load_lexicon().values() if concept.category == category][:SPOKEN]


def spoken() -> list[Concept]:
    """All concepts that training text uses, category by category."""
    categories = dict.fromkeys(concept.category for concept in load_lexicon().values())
    return [concept for category in categories for concept in concepts(category)]


def surface_forms(form: Form, pos: str, lang: str) -> tuple[str, ...]:
    """The word and its inflected forms, each once: `Hund`; `beau`, `belle`; `müde`, `müden`."""
    texts = [form.text, form.inflected or form.text]
    if pos == "adj" and lang == "de":
        stem = form.text.removesuffix("e")
        texts += [stem + "e", stem + "en"]
    return tuple(dict.fromkeys(texts))


def write_dictionaries(folder: Path) -> None:
    """Write en-de.tsv and so on."""
    for lang in LANGUAGES[1:]:
        write_text_atomic(Path(folder) / f"en-{lang}.tsv", dictionary(lang))


def dictionary(lang: str) -> str:
    """English word, tab, word; one line per pair of synonyms."""
    lines = []
    for concept in load_lexicon().values():
        for source, target in product(concept.forms["en"], concept.forms[lang]):
            lines += [f"{source.text}\t{text}\n" for text in surface_forms(target, concept.pos, lang)]
    return "".join(lines)
