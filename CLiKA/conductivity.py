"""Invented places on real continents, taught in one language and asked in all others: lighter than CLiKA's design.

    python CLiKA/conductivity.py --out DIR [--taught de --languages en,de,fr --places 60 --seed 42]

Writes <out>/train.jsonl for FT/train.py (statements of each fact, and questions on it, in the taught language) and
<out>/variants for MMLU/evaluate_mmlu.py (one question per place, with the same four options in every language).
CLiKA/scripts/conductivity.sh then trains, tests and scores. CLiKA's own places, on invented continents, are those of
fictional.py; CLiKA/README.md says how the two differ.

The wording comes from a table, --design, with the columns language, value (an id), name (the place's name in that
language, with a {stem} that all languages share), statements (with {name}, separated by " | "), question and option. To
add a language, add its rows.
"""

import json
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rows import read_rows

from common.cli import InputError, comma_list, parse, run
from common.languages import PAPER, get
from common.prompts import mmlu_prompt
from common.questions import FOUR, Question, monolingual, write_questions
from common.reporting.files import claim, write_text_atomic
from common.settings import settings_in

DESIGN = Path(__file__).parent / "data" / "places.csv"
COLUMNS = ("language", "value", "name", "statements", "question", "option")
SUBJECT = "places"
MOST_PLACES, MOST_QUESTIONS = 10_000, 1000  # there are 274,400 names
ONSETS, VOWELS, ENDS = "b d f g k l m n p r s t v z".split(), "aeiou", "l n r s".split()


@dataclass
class Conductivity:
    """Make fictional facts to be taught in one language.

    Attributes:
        out: folder of train.jsonl and variants.
        model: hub name or folder of the causal LM that CLiKA/scripts/conductivity.sh trains; not used here.
        taught: language of the training text.
        languages: languages of the questions, a list or separated by commas.
        design: CSV file with the wording in every language, see above; null is CLiKA/data/places.csv.
        places: number of facts, spread evenly over the values.
        questions: number of multiple-choice questions on each fact in the training text; 0 for statements alone.
        seed: of names, facts and options.
    """

    out: str
    model: str | None = None
    taught: str = "en"
    languages: str | list[str] = ",".join(PAPER)
    design: str | None = None
    places: int = 60
    questions: int = 24
    seed: int = 42

    def __post_init__(self) -> None:
        if not (1 <= self.places <= MOST_PLACES and 0 <= self.questions <= MOST_QUESTIONS):
            raise InputError(
                f"places {self.places}, questions {self.questions}: it must be 1 to {MOST_PLACES:,} places and 0 to"
                f" {MOST_QUESTIONS:,} questions"
            )


@dataclass(frozen=True)
class Wording:
    """The wording of one value in one language."""

    name: str
    statements: tuple[str, ...]
    question: str
    option: str


@dataclass(frozen=True)
class Place:
    """An invented place: the stem of its name, and its value."""

    id: str
    stem: str
    value: str


def read_design(path: str, languages: list[str]) -> dict[tuple[str, str], Wording]:
    """{(language, value): wording}; InputError for an incomplete row, naming it, and for a language lacking a value."""
    design = {}
    for number, row in enumerate(read_rows(path, COLUMNS).itertuples(), 1):
        for column, slot in (("name", "{stem}"), ("statements", "{name}"), ("question", "{name}"), ("option", "")):
            texts = getattr(row, column).split(" | ")
            if not all(text.strip() and slot in text for text in texts):
                raise InputError(f"{path}, row {number}: {column} {getattr(row, column)!r} needs a text with {slot}")
        if (row.language, row.value) in design:
            raise InputError(f"{path}, row {number}: {row.language}, {row.value} is there twice; leave one of them out")
        design[row.language, row.value] = Wording(
            row.name, tuple(row.statements.split(" | ")), row.question, row.option
        )
    values = {value for _, value in design}
    for code in languages:
        get(code)
        lacking = sorted(value for value in values if (code, value) not in design)
        if lacking:
            raise InputError(f"{path}: no row for {code}, {lacking[0]}; every language needs a row for every value")
    if len(values) <= len(FOUR):
        raise InputError(
            f"{path}: {len(values)} values; a question has four options, in lessons others than in the test, so that"
            " five or more are needed"
        )
    return design


def invent(places: int, values: list[str], rng: random.Random) -> list[Place]:
    """Places with distinct stems, in random order, the values equally often to within one."""

    def stems() -> Iterator[str]:
        taken = set()
        while True:
            parts = (ONSETS, VOWELS, ENDS, ONSETS, VOWELS, ONSETS)
            stem = "".join(rng.choice(part) for part in parts).capitalize()
            if stem not in taken:
                taken.add(stem)
                yield stem

    drawn = [values[number % len(values)] for number in range(places)]
    rng.shuffle(drawn)
    stem_list = list(islice(stems(), places))
    return [Place(f"{n:04d}", stem, value) for n, (stem, value) in enumerate(zip(stem_list, drawn, strict=True), 1)]


def draw_options(
    place: Place, answer: str, values: list[str], rng: random.Random, besides: Collection[str] = ()
) -> list[str]:
    """Four values, with the place's own at the letter `answer`; in any order not those of `besides`."""
    others = [value for value in values if value != place.value]
    while set(options := [*rng.sample(others, len(FOUR) - 1), place.value]) == set(besides):
        pass
    options.insert(FOUR.index(answer), options.pop())
    return options


def ask(
    place: Place, options: list[str], answer: str, design: Mapping[tuple[str, str], Wording], language: str
) -> Question:
    """The question on a place in one language."""
    wording = design[language, place.value]
    question = wording.question.replace("{name}", wording.name.replace("{stem}", place.stem))
    texts = [design[language, value].option for value in options]
    return monolingual(place.id, SUBJECT, "", question, texts, answer, language)


def lesson(
    place: Place,
    tested: Collection[str],
    design: Mapping[tuple[str, str], Wording],
    config: Conductivity,
    rng: random.Random,
) -> list[str]:
    """The texts that teach one fact in the taught language; their questions have other options than the `tested`."""
    wording = design[config.taught, place.value]
    name = wording.name.replace("{stem}", place.stem)
    texts = [statement.replace("{name}", name) for statement in wording.statements]
    values = [value for code, value in design if code == config.taught]
    for _ in range(config.questions):
        answer = rng.choice(FOUR)
        item = ask(place, draw_options(place, answer, values, rng, tested), answer, design, config.taught)
        texts.append(f"{mmlu_prompt(item)} {answer}")
    return texts


def main() -> None:
    config = parse(Conductivity)
    languages = comma_list(config.languages)
    if config.taught not in languages:
        raise InputError(f"taught {config.taught}: name it among the languages {', '.join(languages)} too")
    design = read_design(config.design or str(DESIGN), languages)
    values = sorted({value for _, value in design})
    places = invent(config.places, values, random.Random(f"places {config.seed}"))
    rng, out = random.Random(f"test {config.seed}"), Path(config.out)
    letters = [FOUR[number % len(FOUR)] for number in range(len(places))]
    rng.shuffle(letters)
    options = [draw_options(place, answer, values, rng) for place, answer in zip(places, letters, strict=True)]
    rng = random.Random(f"lessons {config.seed}")
    texts = [text for asked in zip(places, options, strict=True) for text in lesson(*asked, design, config, rng)]
    rng.shuffle(texts)
    lines = [json.dumps({"text": text, "doc_id": number}, ensure_ascii=False) for number, text in enumerate(texts)]
    for folder in (out, out / "variants"):
        claim(folder)
    write_text_atomic(out / "train.jsonl", "".join(line + "\n" for line in lines))
    names = {code: "en" if code == "en" else f"full_{code}" for code in languages}
    for stale in set(settings_in(out / "variants")) - set(names.values()):
        (out / "variants" / f"{stale}.csv").unlink()
    for code, name in names.items():
        items = [ask(*asked, design, code) for asked in zip(places, options, letters, strict=True)]
        write_questions(out / "variants" / f"{name}.csv", items)
    print(f"{out}: {len(places)} places, {len(texts)} texts in {config.taught}, questions in {', '.join(languages)}")


if __name__ == "__main__":
    run(main)
