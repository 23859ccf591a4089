"""Facts as multiple-choice questions in any language; wording and synonyms are drawn at random.

item = write_item(fact, draw_options(universe, fact, "B", rng), "B", "de", rng)
"""

import random
from collections.abc import Sequence

from common.questions import FOUR, Question, monolingual
from world import grammar
from world.config import WorldConfig
from world.facts import ENGLISH_ONLY, SHARED, Fact, Universe, relations_of
from world.lexicon import LANGUAGES


def subject_of(group: str, relation: str) -> str:
    """The subject of an MMLU-style file, group and relation: `shared_instrument`."""
    return f"{group}_{relation}"


def subjects() -> dict[str, tuple[str, str]]:
    """Group and relation of every subject of the MMLU-style files, English-only ones first."""
    return {
        subject_of(group, relation): (group, relation)
        for group in (ENGLISH_ONLY, SHARED)
        for relation in relations_of(group)
    }


def draw_options(universe: Universe, fact: Fact, answer: str, rng: random.Random) -> tuple[str, ...]:
    """Four concept ids: the fact's value at the letter `answer`, and three other values of its relation."""
    others = [value for value in universe.values[fact.relation] if value != fact.value]
    options = rng.sample(others, len(FOUR) - 1)
    options.insert(FOUR.index(answer), fact.value)
    return tuple(options)


def write_item(
    fact: Fact, options: Sequence[str], answer: str, language: str, rng: random.Random, id: str = "", subject: str = ""
) -> Question:
    """The question in one language; wording and synonyms are drawn from `rng`."""
    question = grammar.question(fact.relation, fact.name, language, rng)
    texts = [grammar.option(value, language, rng) for value in options]
    return monolingual(id, subject or subject_of(fact.group, fact.relation), "", question, texts, answer, language)


def balanced_letters(count: int, rng: random.Random) -> list[str]:
    """`count` answer letters in random order, each as often as the others to within one."""
    letters = [FOUR[i % len(FOUR)] for i in range(count)]
    rng.shuffle(letters)
    return letters


def parallel_items(universe: Universe, config: WorldConfig, split: str) -> dict[str, list[Question]]:
    """The questions of `split` ("test" or "dev") in every language, row for row the same, by subject.

    One question per fact on a tested person (test) or on a demonstration person (dev). Options and answers are the
    same in every language; wording and synonyms are drawn per language. Ids are those of MMLU/build_variants.py.
    """
    rng = random.Random(f"items {split} {config.seed}")
    by_group = universe.facts if split == "test" else universe.demonstrations
    items = {language: [] for language in LANGUAGES}
    for subject, (group, relation) in subjects().items():
        facts = [fact for fact in by_group[group] if fact.relation == relation]
        for number, (fact, answer) in enumerate(zip(facts, balanced_letters(len(facts), rng), strict=True), 1):
            options = draw_options(universe, fact, answer, rng)
            for language in LANGUAGES:
                items[language].append(write_item(fact, options, answer, language, rng, id=f"{subject}-{number:04d}"))
    return items
