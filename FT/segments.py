"""Split a document into units, draw a language for each, and insert the translations."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Literal

from common.cli import InputError
from common.translation.base import Translator, respace
from common.translation.sentences import sentence_spans

Unit = Literal["document", "paragraph", "sentence", "words", "word"]
Layout = Literal["replace", "parallel", "interleaved"]
BY_LINE = ("causal ", "completions ", "chat ")  # identities of translators that are asked for one line at a time
_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True)
class Span:
    """A span of a mixed text in one language; `start` and `end` in characters."""

    language: str
    start: int
    end: int


@dataclass(frozen=True)
class Scheme:
    """How text is mixed.

    Attributes:
        languages: the first is the text's own.
        unit, unit_size: the unit of one language; words in a unit of `words`.
        layout: `replace` puts the translation in place of the unit, `parallel` after it, `interleaved` after it with
            one language per document.
        probability: share of the units that are translated, into each of the other languages equally often.
        seed: seed of the language of every unit.
    """

    languages: tuple[str, ...]
    unit: Unit
    unit_size: int
    layout: Layout
    probability: float
    seed: int

    @property
    def shares(self) -> dict[str, Fraction]:
        """Share of the units by language."""
        source, *others = self.languages
        translated = Fraction(self.probability).limit_denominator(1000)
        return {source: 1 - translated} | {language: translated / len(others) for language in others}

    @property
    def switch_share(self) -> float:
        """Expected share of the boundaries between units at which the language changes, with `replace`."""
        return float(1 - sum(share * share for share in self.shares.values()))


def unit_spans(text: str, unit: Unit, unit_size: int, language: str) -> list[tuple[int, int]]:
    """Start and end of the units of a text in characters; they cover it, white space belongs to the unit before."""
    if unit == "document":
        return [(0, len(text))]
    if unit == "sentence":
        return sentence_spans(text, language)
    if unit == "paragraph":
        return [match.span() for match in re.finditer(r"[^\n]+\n*", text)]
    words = [match.span() for match in _WORD.finditer(text)]
    size = unit_size if unit == "words" else 1
    return [(words[i][0], words[min(i + size, len(words)) - 1][1]) for i in range(0, len(words), size)]


def draw_languages(scheme: Scheme, doc_id: int, count: int) -> list[str]:
    """The language of each of a document's `count` units; it depends on the seed and the document's number only.

    Where a document has one language, languages are dealt like a deck of cards, so that their shares are exact:
    independent draws for the few hundred documents of a corpus would miss them.
    """
    shares = scheme.shares
    if scheme.unit == "document" or scheme.layout == "interleaved":
        size = lcm(*(share.denominator for share in shares.values()))
        deck = [language for language, share in shares.items() for _ in range(int(share * size))]
        random.Random(f"{scheme.seed} deck {doc_id // size}").shuffle(deck)
        return [deck[doc_id % size]] * count
    rng = random.Random(f"{scheme.seed} document {doc_id}")
    return rng.choices(list(shares), [float(share) for share in shares.values()], k=count)


def _translate(
    units: Sequence[str], rows: Sequence[int], translator: Translator, source: str, target: str
) -> list[str]:
    """Translations of some units, with their white space; an InputError has the unit's own number as its row."""
    by_line = translator.identity.startswith(BY_LINE)
    pieces = [units[i].split("\n") if by_line else [units[i]] for i in rows]
    asked = [(i, piece) for i, own in zip(rows, pieces, strict=True) for piece in own if piece.strip()]
    try:
        said = translator.translate([piece for _, piece in asked], source, target)
    except InputError as error:
        found = re.match(r"row (\d+)(.*)", str(error), re.DOTALL)
        raise InputError(f"row {asked[int(found[1])][0]}{found[2]}" if found else str(error)) from error
    for (i, piece), translated in zip(asked, said, strict=True):
        if not translated.strip():
            raise InputError(f"row {i}: the translation of {piece!r:.60} into {target} is empty")
    left = iter(said)
    return ["\n".join(respace(one, next(left).strip()) if one.strip() else one for one in own) for own in pieces]


def mix(
    units: Sequence[str], languages: Sequence[str], scheme: Scheme, translator: Translator
) -> tuple[str, list[Span]]:
    """The mixed text of one document, and its spans."""
    source = scheme.languages[0]
    translations = list(units)
    for target in scheme.languages[1:]:
        rows = [i for i, language in enumerate(languages) if language == target]
        for i, translated in zip(rows, _translate(units, rows, translator, source, target), strict=True):
            translations[i] = translated
    parts: list[tuple[str, str]] = []
    for unit, language, translated in zip(units, languages, translations, strict=True):
        if language == source or scheme.layout != "replace":
            parts.append((source, unit))
        if language != source:
            if scheme.layout != "replace" and not unit[-1].isspace():
                parts[-1] = (source, unit + (" " if scheme.unit != "document" else "\n"))
            parts.append((language, translated))
    spans, place = [], 0
    for language, piece in parts:
        spans.append(Span(language, place, place + len(piece)))
        place += len(piece)
    return "".join(piece for _, piece in parts), spans
