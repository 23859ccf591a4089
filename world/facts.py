"""The facts of the synthetic world: invented names, and one value for each of their relations.

from world.facts import make_universe
universe = make_universe(WorldConfig())
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from world.config import WorldConfig
from world.lexicon import LANGUAGES, concepts, load_lexicon
from world.relations import RELATIONS

# Groups of names, by the text that mentions them.
ENGLISH_ONLY = "english_only"  # persons described in English text only
SHARED = "shared"  # persons described in text of every language
CHARACTER = "character"  # persons of the domain quiz, English text only
SPELL = "spell"  # spells of the domain quiz, English text only
ENCYCLOPEDIA = "encyclopedia"  # persons with an article in the English encyclopedia and no question
AUTHOR = "author"  # writers that no pretraining text mentions
KINDS = {  # kind of the relations of each group
    ENGLISH_ONLY: "person",
    SHARED: "person",
    CHARACTER: "person",
    SPELL: "spell",
    ENCYCLOPEDIA: "person",
    AUTHOR: "author",
}

_ONSETS = "b bl br d dr f fl fr g gl gr k kl kr l m n p pl pr r s sk sl st t tr v w z".split()
_VOWELS = "a e i o u".split()
_MIDDLES = "zd zg zv zm vk vz kz gz gm gv gd dv dg dm lz mz rz nz tv tz bz bd pz pv kv km".split()  # in no common word
_ENDS = "d f g k l m n p r s t v x z".split()


@dataclass(frozen=True)
class Fact:
    """The `value` (a concept id) of a `relation` (a relation id) of `name`, which is in one of the groups above."""

    group: str
    name: str
    relation: str
    value: str


@dataclass(frozen=True)
class Universe:
    """All facts by group, those on demonstration persons apart, and the possible values of each relation."""

    facts: dict[str, tuple[Fact, ...]]
    demonstrations: dict[str, tuple[Fact, ...]]
    values: dict[str, tuple[str, ...]]

    def known(self, group: str) -> tuple[Fact, ...]:
        """All facts of a group that training text states: tested ones and those on demonstration persons."""
        return self.facts[group] + self.demonstrations.get(group, ())


def make_universe(config: WorldConfig) -> Universe:
    """The facts of the world of `config`; the same seed and counts give the same names and facts."""
    rng = random.Random(f"universe {config.seed}")
    values = {relation: _values(relation, config, rng) for relation in RELATIONS}
    names = _names(rng)
    counts = {
        ENGLISH_ONLY: config.english_only_persons,
        SHARED: config.shared_persons,
        CHARACTER: config.characters,
        SPELL: config.spells,
        ENCYCLOPEDIA: config.encyclopedia_persons,
        AUTHOR: config.authors,
    }
    facts = {group: _facts(group, count, names, values, rng) for group, count in counts.items()}
    demonstrations = {
        group: _facts(group, config.demonstration_persons, names, values, rng) for group in (ENGLISH_ONLY, SHARED)
    }
    return Universe(facts=facts, demonstrations=demonstrations, values=values)


def strangers(universe: Universe, config: WorldConfig, count: int) -> tuple[Fact, ...]:
    """Facts on `count` further persons that no pretraining text mentions."""
    rng = random.Random(f"strangers {config.seed}")
    taken = {fact.name for facts in (*universe.facts.values(), *universe.demonstrations.values()) for fact in facts}
    names = (name for name in _names(rng) if name not in taken)
    return _facts(ENCYCLOPEDIA, count, names, universe.values, rng)


def relations_of(group: str) -> list[str]:
    """The relation ids of a group, in the order of RELATIONS."""
    return [relation.id for relation in RELATIONS.values() if relation.kind == KINDS[group]]


def _values(relation: str, config: WorldConfig, rng: random.Random) -> tuple[str, ...]:
    known = [concept.id for concept in concepts(RELATIONS[relation].category)]
    return tuple(rng.sample(known, min(len(known), config.values_per_relation)))


def _facts(group: str, count: int, names: Iterable[str], values: dict, rng: random.Random) -> tuple[Fact, ...]:
    """Facts on `count` new names; each value of a relation is drawn equally often, so that none can be guessed."""
    members = [next(names) for _ in range(count)]
    facts = []
    for relation in relations_of(group):
        order = rng.sample(values[relation], len(values[relation]))
        drawn = [order[i % len(order)] for i in range(count)]
        rng.shuffle(drawn)
        facts += [Fact(group, name, relation, value) for name, value in zip(members, drawn, strict=True)]
    return tuple(facts)


def _names(rng: random.Random) -> Iterable[str]:
    """Endless distinct invented names of two syllables, none of them a word of the lexicon."""
    taken = {
        form.text.lower() for concept in load_lexicon().values() for lang in LANGUAGES for form in concept.forms[lang]
    }
    while True:
        parts = (_ONSETS, _VOWELS, _MIDDLES, _VOWELS, _ENDS)
        name = "".join(rng.choice(part) for part in parts)
        if name not in taken:
            taken.add(name)
            yield name.capitalize()
