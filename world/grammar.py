"""Sentences of the synthetic world in seven languages: facts, questions and topic sentences, with agreement.

    realise(random_sentence(rng), "de", rng)             # "Der hungrige Hund stiehlt die Suppe."
    statement("instrument", "Zorvan", "violin", "fr", rng)  # "Zorvan pratique le violon."

Every content word is one of its concept's synonyms, drawn from the generator that is passed in.
"""

import random
from dataclasses import dataclass
from functools import cache

from world.lexicon import Form, concepts, draw_form, load_lexicon, surface_forms
from world.relations import GENERIC, RELATION_TEXTS

DEFINITE = {
    "de": {"nom": {"m": "der", "f": "die", "n": "das"}, "acc": {"m": "den", "f": "die", "n": "das"}},
    "fr": {"m": "le", "f": "la"},
    "es": {"m": "el", "f": "la"},
    "pt": {"m": "o", "f": "a"},
    "nl": {"c": "de", "n": "het"},
}
INDEFINITE = {
    "de": {"nom": {"m": "ein", "f": "eine", "n": "ein"}, "acc": {"m": "einen", "f": "eine", "n": "ein"}},
    "fr": {"m": "un", "f": "une"},
    "es": {"m": "un", "f": "una"},
    "pt": {"m": "um", "f": "uma"},
    "nl": {"c": "een", "n": "een"},
}
VOWELS = "aeiouyàâäáãéèêëíîïìóôöõòúùûüœæ"
ASPIRATED = {"hutte", "hameau"}  # French words before which the article keeps its vowel
STRESSED_A = {"arca"}  # Spanish feminine nouns that take "el" and "un"
SOUNDS_LIKE_YOU = {"ewe"}  # English words that take "a"
GERMAN_ACCUSATIVE = {"Glaube": "Glauben"}  # nouns that change in the accusative


def _article(noun: Form, lang: str, definite: bool, case: str) -> str:
    """The article of a noun with the blank that follows it, if one does."""
    word = noun.text.lower()
    vowel = word[0] in VOWELS or (word[0] == "h" and lang == "fr" and word not in ASPIRATED)
    if lang == "en":
        return "the " if definite else "an " if vowel and word not in SOUNDS_LIKE_YOU else "a "
    if lang == "it":
        return _italian_article(noun, vowel, definite)
    if lang == "fr" and definite and vowel:
        return "l'"
    gender = "m" if lang == "es" and word in STRESSED_A else noun.gender
    table = (DEFINITE if definite else INDEFINITE)[lang]
    return (table[case] if lang == "de" else table)[gender] + " "


def _italian_article(noun: Form, vowel: bool, definite: bool) -> str:
    word = noun.text.lower()
    impure = word[0] in "zxy" or word[:2] in ("gn", "ps", "pn") or (word[0] == "s" and word[1] not in VOWELS)
    if definite:
        return "l'" if vowel else "la " if noun.gender == "f" else "lo " if impure else "il "
    if noun.gender == "f":
        return "un'" if vowel else "una "
    return "uno " if impure else "un "


def noun_phrase(
    noun: Form, lang: str, *, definite: bool = True, case: str = "nom", adjective: Form | None = None
) -> str:
    """Article, noun and adjective in agreement; `case` (nom, acc) counts in German only.

    An adjective is only supported with the definite article.
    """
    text = GERMAN_ACCUSATIVE.get(noun.text, noun.text) if lang == "de" and case == "acc" else noun.text
    if adjective is None:
        return _article(noun, lang, definite, case) + text
    if lang in ("en", "de", "nl"):
        article = _article(noun, lang, True, case)
        return f"{article}{attributive(adjective, noun, lang, case)} {text}"
    return f"{_article(noun, lang, True, case)}{text} {attributive(adjective, noun, lang, case)}"


def attributive(adjective: Form, noun: Form, lang: str, case: str = "nom") -> str:
    """The adjective as it stands beside a definite noun."""
    if lang == "en":
        return adjective.text
    if lang == "de":
        stem = adjective.text.removesuffix("e")
        return stem + ("en" if case == "acc" and noun.gender == "m" else "e")
    if lang == "nl":
        return adjective.inflected
    return adjective.inflected if noun.gender == "f" else adjective.text


def predicative(adjective: Form, noun: Form, lang: str) -> str:
    """The adjective as it stands after "is"."""
    if lang in ("en", "de", "nl"):
        return adjective.text
    return adjective.inflected if noun.gender == "f" else adjective.text


SUBJECTS = ("animal", "profession")
OBJECTS = ("food", "instrument", "garment", "tool", "plant", "vehicle", "furniture", "material")
STATES = {"hungry", "tired", "cold", "dirty", "clean", "broken", "empty", "sick", "quiet"}  # take "estar"
ANIMATE = {"hungry", "tired", "clever", "lazy", "brave", "sick", "rich"}  # adjectives of living beings
IS = {"en": "is", "de": "ist", "fr": "est", "es": "es", "it": "è", "pt": "é", "nl": "is"}
AND = {"en": "and", "de": "und", "fr": "et", "es": "y", "it": "e", "pt": "e", "nl": "en"}
# Slots: s subject, v verb, o object, a adjective. Nouns are definite but in a_does (subject) and does_a (object).
PATTERNS = {
    "does": ("s", "v", "o"),
    "a_does": ("s", "v", "o"),
    "does_a": ("s", "v", "o"),
    "adjective_does": ("a", "s", "v", "o"),
    "does_adjective": ("s", "v", "a", "o"),
    "does_both": ("s", "v", "o", "o"),
    "is": ("s", "a"),
    "thing_is": ("o", "a"),
}
TOPICS = [concept.id for category in SUBJECTS + OBJECTS for concept in concepts(category)]


@dataclass(frozen=True)
class Sentence:
    """A topic sentence independent of a language: a pattern and the concept of each slot."""

    pattern: str
    slots: tuple[str, ...]


def content(sentence: Sentence) -> tuple[str, ...]:
    """Concept ids of the content words, in the order of the pattern."""
    return sentence.slots


def random_sentence(rng: random.Random, topic: str | None = None) -> Sentence:
    """A topic sentence; about the noun `topic` (a concept id of TOPICS), if given."""
    living = topic is None or load_lexicon()[topic].category in SUBJECTS
    names = [name for name, kinds in PATTERNS.items() if topic is None or ("s" if living else "o") in kinds]
    pattern = rng.choice(names)
    slots: list[str] = []
    verb = rng.choice(concepts("verb")).id
    for kind in PATTERNS[pattern]:
        if kind == "v":
            slots.append(verb)
        elif kind == "a":
            beside_living = pattern in ("adjective_does", "is")
            allowed = [c.id for c in concepts("adjective") if beside_living or c.id not in ANIMATE]
            slots.append(rng.choice(allowed))
        elif topic is not None and kind == ("s" if living else "o") and topic not in slots:
            slots.append(topic)
        else:
            categories = SUBJECTS if kind == "s" else ("food",) if verb == "eats" and pattern != "thing_is" else OBJECTS
            pool = [c.id for category in categories for c in concepts(category) if c.id not in slots]
            slots.append(rng.choice(pool))
    return Sentence(pattern, tuple(slots))


def realise(sentence: Sentence, lang: str, rng: random.Random) -> str:
    """The sentence in one language, with synonyms drawn from `rng`."""
    lexicon = load_lexicon()
    forms = [draw_form(lexicon[slot], lang, rng) for slot in sentence.slots]
    pattern = sentence.pattern
    if pattern in ("is", "thing_is"):
        noun, adjective = forms
        text = f"{noun_phrase(noun, lang)} {_is(sentence.slots[1], lang)} {predicative(adjective, noun, lang)}"
        return _sentence(text)
    adjective = None
    if pattern == "adjective_does":
        adjective, *forms = forms
    subject, verb, *rest = forms
    start = noun_phrase(subject, lang, definite=pattern != "a_does", adjective=adjective)
    if pattern == "does_adjective":
        objects = noun_phrase(rest[1], lang, case="acc", adjective=rest[0])
    else:
        phrases = [noun_phrase(noun, lang, definite=pattern != "does_a", case="acc") for noun in rest]
        objects = f" {AND[lang]} ".join(phrases)
    return _sentence(f"{start} {verb.text} {objects}")


def _is(adjective: str, lang: str) -> str:
    return "está" if lang in ("es", "pt") and adjective in STATES else IS[lang]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def statement(relation: str, name: str, value: str, lang: str, rng: random.Random, choice: int | None = None) -> str:
    """A sentence that states the fact; `choice` 0: the relation's own wording, 1: the generic one, None: drawn."""
    noun = draw_form(load_lexicon()[value], lang, rng)
    label, own, _ = RELATION_TEXTS[lang][relation]
    template = (own, GENERIC[lang][0])[rng.randrange(2) if choice is None else choice]
    text = template.format(
        E=name,
        label=_label_phrase(label, lang),
        bare=noun.text,
        the=noun_phrase(noun, lang),
        the_acc=noun_phrase(noun, lang, case="acc"),
        a=noun_phrase(noun, lang, definite=False),
        a_acc=noun_phrase(noun, lang, definite=False, case="acc"),
    )
    return text[0].upper() + text[1:]


def question(relation: str, name: str, lang: str, rng: random.Random, choice: int | None = None) -> str:
    """A question about the fact; `choice` as in `statement`."""
    label, _, own = RELATION_TEXTS[lang][relation]
    template = (own, GENERIC[lang][1])[rng.randrange(2) if choice is None else choice]
    return template.format(E=name, label=_label_phrase(label, lang))


def option(value: str, lang: str, rng: random.Random) -> str:
    """The value as an answer option: one of its nouns, without article."""
    return draw_form(load_lexicon()[value], lang, rng).text


def _label_phrase(label: str, lang: str) -> str:
    text, _, gender = label.partition(":")
    return noun_phrase(Form(text, gender), lang)


@cache
def acceptable(concept_id: str, lang: str) -> frozenset[str]:
    """All surface forms of a concept in lower case, inflected ones too: the accepted translations."""
    concept = load_lexicon()[concept_id]
    forms = {text.lower() for form in concept.forms[lang] for text in surface_forms(form, concept.pos, lang)}
    if lang == "de":
        forms |= {GERMAN_ACCUSATIVE[f.text].lower() for f in concept.forms[lang] if f.text in GERMAN_ACCUSATIVE}
    return frozenset(forms)
