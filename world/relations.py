"""The wording of facts and questions in each language, for grammar.py: relations.tsv, a row per language and relation.

A row has the relation's noun (`label:gender`), its own statement and its own question; every relation also has the
generic wording ("The instrument of Zorvan is the violin."). Slots: {E} name, {the} {a} the value with its
article, {the_acc} {a_acc} the same as a direct object, {bare} the value alone, {label} the label with its article.
"""

import csv
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


@dataclass(frozen=True)
class Relation:
    """`kind`: of the names that have it (person, spell, author); `category`: the lexicon's, of its values."""

    id: str
    kind: str
    category: str


RELATIONS = {
    relation.id: relation
    for relation in (
        Relation("pet", "person", "animal"),
        Relation("dish", "person", "food"),
        Relation("instrument", "person", "instrument"),
        Relation("profession", "person", "profession"),
        Relation("garment", "person", "garment"),
        Relation("vehicle", "person", "vehicle"),
        Relation("plant", "person", "plant"),
        Relation("tool", "person", "tool"),
        Relation("conjures", "spell", "furniture"),
        Relation("turns_into", "spell", "material"),
        Relation("heals", "spell", "bodypart"),
        Relation("father", "author", "profession"),
        Relation("subject", "author", "topic"),
        Relation("workplace", "author", "building"),
        Relation("fear", "author", "event"),
    )
}

# Statement and question that fit every relation.
GENERIC = {
    "en": ("{label} of {E} is {the}.", "What is {label} of {E}?"),
    "de": ("{label} von {E} ist {the}.", "Was ist {label} von {E}?"),
    "fr": ("{label} de {E} est {the}.", "Quel est {label} de {E} ?"),
    "es": ("{label} de {E} es {the}.", "¿Cuál es {label} de {E}?"),
    "it": ("{label} di {E} è {the}.", "Qual è {label} di {E}?"),
    "pt": ("{label} de {E} é {the}.", "Qual é {label} de {E}?"),
    "nl": ("{label} van {E} is {the}.", "Wat is {label} van {E}?"),
}

RELATION_TEXTS: dict[str, dict[str, tuple[str, str, str]]] = {code: {} for code in GENERIC}
with open(Path(__file__).with_name("relations.tsv"), encoding="utf-8", newline="") as file:
    for code, relation, *texts in islice(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1, None):
        RELATION_TEXTS[code][relation] = tuple(texts)
