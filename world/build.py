"""Write the data of the synthetic world: questions, quiz, author facts, parallel sentences, dictionaries, encyclopedia.

    python -m world.build --out DIR [--config world/default.yaml] [--seed 43]

Every file has the layout of the real data set that it replaces, so that all scripts run on it unchanged:
    mmlu/<lang>/{dev,test}/<subject>_{dev,test}.csv  headerless as MMLU; rows parallel in all languages
    hp/<Language>.csv                                question,A,B,C,D,GT,category; facts that only English text states
    tofu/<lang>/authors.json                         JSON lines as TOFU; facts that no pretraining text states
    tofu/train.jsonl                                 English text that teaches these facts, with every synonym
    knowledge_free/<subject>/{no,one,two}_fact/      the questions of mmlu with facts before them
    clika/design.csv                                 wording of facts on new persons, in every language
    mpararel/{patterns,tuples}/<lang>/<subject>.jsonl  two questions of each relation, and the facts of `mmlu/`
    klar/<code>.txt, klar/lang_rel_frequencies.json  the same facts as statements, and how often training text has each
    bmike53/counterfact_test_<lang>.json             tested facts with another value, as BMIKE-53; in English and <lang>
    flores/<code>.devtest                            parallel sentences, held out of pretraining
    dictionaries/en-<lang>.tsv                       single-word translations
    wiki/wiki.{train,test}.txt                       English encyclopedia as raw WikiText
    wiki/<lang>.test.txt                             the test part sentence by sentence in every language
    memory/en-<lang>.tsv                             a dictionary that also has each sentence of its training part
    data.yaml                                        where these are, with the keys of the repository's data.yaml
Takes seconds; the same configuration gives the same bytes.
"""

import csv
import io
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

from common.cli import InputError, run
from common.languages import LANGUAGES as LANGUAGE_TABLE
from common.questions import FOUR, Question
from common.reporting.files import LOCK, claim, write_text_atomic
from world import grammar
from world.config import WorldConfig, check_ranges, parse_with_world
from world.facts import (
    AUTHOR,
    CHARACTER,
    ENCYCLOPEDIA,
    ENGLISH_ONLY,
    SHARED,
    SPELL,
    Fact,
    Universe,
    make_universe,
    strangers,
)
from world.items import balanced_letters, draw_options, parallel_items, subjects, write_item
from world.lexicon import LANGUAGES, dictionary, load_lexicon, write_dictionaries
from world.stream import parallel_sentences

DEMONSTRATIONS = 5  # rows of a dev file, as in MMLU
PERTURBED = 5  # most wrong answers to an author question, as in TOFU
TEST_SHARE = 10  # one article in so many is for testing
PERSON_SHARE = 5  # one article in so many is on a person
DRAWS = 100  # enough to see each of a handful of wordings
DESIGNED = "vehicle"  # the relation of `clika/`
THING_SENTENCES = (8, 24)  # of an article on a thing
DATA = """\
# The data sets of the synthetic world, with the keys of the data.yaml of the repository; paths relative to this file.
mmlu: mmlu/en
mmlu_translations: mmlu
quiz: hp
flores: flores
wikitext: wiki/wiki.train.txt
wikitext_tokenized: false
tofu: tofu/en/authors.json
tofu_corpus: tofu/train.jsonl
tofu_translations: tofu
knowledge_free: knowledge_free
mpararel: mpararel
klar: klar
conductivity_design: clika/design.csv
bmike53: bmike53
dictionaries: dictionaries
translator: dictionary
translator_dictionary: memory
perplexity_texts: wiki
held_out_languages: pt,nl
"""


@dataclass
class Build:
    """Write the data of the synthetic world.

    Attributes:
        out: folder to write to
        articles: encyclopedia articles in `wiki/`, on persons and things
    """

    out: str
    articles: int = 3000

    def __post_init__(self) -> None:
        check_ranges(self, {"articles": (1, 100_000)})


@dataclass(frozen=True)
class Article:
    """`said` has facts and sentences, independent of a language; `number` determines the wording."""

    number: int
    title: str
    said: tuple[Fact | grammar.Sentence, ...]


def write_mmlu(folder: Path, universe: Universe, config: WorldConfig) -> int:
    """MMLU's layout, one folder a language; returns the number of test questions."""
    count = 0
    for split in ("dev", "test"):
        for language, items in parallel_items(universe, config, split).items():
            by_subject: dict[str, list[Question]] = {}
            for item in items:
                by_subject.setdefault(item.subject, []).append(item)
            for subject, rows in by_subject.items():
                rows = rows[:DEMONSTRATIONS] if split == "dev" else rows
                table = [[item.question, *item.options, item.answer] for item in rows]
                write_rows(folder / language / split / f"{subject}_{split}.csv", table)
                count += len(rows) if (split, language) == ("test", "en") else 0
    return count


def write_knowledge_free(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """The test questions of `write_mmlu` after no fact, the fact asked for, and also another one of the same person."""
    rng = random.Random(f"given facts {config.seed}")
    asked = [
        fact for group, relation in subjects().values() for fact in universe.facts[group] if fact.relation == relation
    ]
    given = []
    for fact in asked:
        others = [one for one in universe.facts[fact.group] if one.name == fact.name and one != fact]
        given.append({"no": [], "one": [fact], "two": rng.sample([fact, rng.choice(others)], 2)})
    for language, items in parallel_items(universe, config, "test").items():
        wording = random.Random(f"given facts {config.seed} {language}")
        files: dict[Path, list[dict[str, str]]] = {}
        for item, facts in zip(items, given, strict=True):
            for number, own in facts.items():
                said = [grammar.statement(one.relation, one.name, one.value, language, wording) for one in own]
                options = [f"{letter}. {option}" for letter, option in zip(FOUR, item.options, strict=True)]
                row = {"input": "\n".join([*said, item.question, "", *options]), "output": item.answer}
                place = folder / item.subject / f"{number}_fact" / f"{item.subject}_{language}.json"
                files.setdefault(place, []).append(row)
        for place, rows in files.items():
            write_text_atomic(place, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


def write_rows(path: Path, rows: list[list[str]]) -> None:
    """A CSV file of these rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text_atomic(path, text.getvalue())


def write_quiz(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """The domain quiz, half on characters and half on spells, one file a language, rows parallel."""
    rng = random.Random(f"quiz {config.seed}")
    size = min(len(universe.facts[CHARACTER]), len(universe.facts[SPELL]))
    facts = [fact for group in (CHARACTER, SPELL) for fact in rng.sample(universe.facts[group], size)]
    rows = {language: [["question", *FOUR, "GT", "category"]] for language in LANGUAGES}
    for fact, answer in zip(facts, balanced_letters(len(facts), rng), strict=True):
        options = draw_options(universe, fact, answer, rng)
        for language in LANGUAGES:
            item = write_item(fact, options, answer, language, rng)
            rows[language].append([item.question, *item.options, answer, f"{fact.group}s"])
    for language, table in rows.items():
        write_rows(folder / f"{LANGUAGE_TABLE[language].name}.csv", table)


def write_authors(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """Author facts as questions with an answer, a paraphrase of it and wrong answers, in every language."""
    for language in LANGUAGES:
        rng = random.Random(f"authors {config.seed} {language}")
        lines = [
            json.dumps(author_row(fact, universe, language, rng), ensure_ascii=False) for fact in universe.facts[AUTHOR]
        ]
        write_text_atomic(folder / language / "authors.json", "".join(line + "\n" for line in lines))
    rng = random.Random(f"author text {config.seed}")
    texts = [text for fact in universe.facts[AUTHOR] for text in author_texts(fact, rng)]
    rng.shuffle(texts)
    lines = [json.dumps({"text": text, "doc_id": number}) for number, text in enumerate(texts)]
    write_text_atomic(folder / "train.jsonl", "".join(line + "\n" for line in lines))


def author_row(fact: Fact, universe: Universe, language: str, rng: random.Random) -> dict:
    """One row in TOFU's fields."""

    def say(value: str, choice: int) -> str:
        return grammar.statement(fact.relation, fact.name, value, language, rng, choice)

    others = [value for value in universe.values[fact.relation] if value != fact.value]
    return {
        "question": grammar.question(fact.relation, fact.name, language, rng),
        "answer": say(fact.value, 0),
        "paraphrased_answer": say(fact.value, 1),
        "perturbed_answer": [say(value, 1) for value in rng.sample(others, min(PERTURBED, len(others)))],
    }


def author_texts(fact: Fact, rng: random.Random) -> list[str]:
    """One fact in English in every wording and with every synonym, alone and as the answer to a question."""

    def all_of(make: Callable[..., str], *arguments: str) -> list[str]:
        return sorted({make(*arguments, "en", rng) for _ in range(DRAWS)})

    statements = all_of(grammar.statement, fact.relation, fact.name, fact.value)
    questions = cycle(all_of(grammar.question, fact.relation, fact.name))
    return statements + [f"Question: {next(questions)}\nAnswer: {said}" for said in statements]


def write_design(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """What CLiKA/conductivity.py needs to teach facts on new persons: one row per language and value."""
    rows = [["language", "value", "name", "statements", "question", "option"]]
    for language in LANGUAGES:
        rng = random.Random(f"design {config.seed} {language}")
        for value in universe.values[DESIGNED]:
            said = {grammar.statement(DESIGNED, "{name}", value, language, rng) for _ in range(DRAWS)}
            asked = grammar.question(DESIGNED, "{name}", language, rng)
            option = grammar.option(value, language, rng)
            rows.append([language, value, "{stem}", " | ".join(sorted(said)), asked, option])
    write_rows(folder / "design.csv", rows)


def tested_facts(universe: Universe) -> dict[str, list[Fact]]:
    """The facts of the MMLU-style files by subject."""
    return {
        subject: [fact for fact in universe.facts[group] if fact.relation == relation]
        for subject, (group, relation) in subjects().items()
    }


def write_mpararel(folder: Path, universe: Universe) -> None:
    """mParaRel's layout: the two questions of each relation, answered as in training text, and the facts on persons.

    Statements are no such pairs: an object has another article in each of them, by its gender and case.
    """
    for language, (subject, facts) in product(LANGUAGES, tested_facts(universe).items()):
        relation = facts[0].relation
        asked = [grammar.question(relation, "[X]", language, random.Random(0), choice) for choice in (0, 1)]
        patterns = [{"pattern": f"{question}\nAnswer: [Y]"} for question in asked]
        tuples = [
            {
                "sub_uri": fact.name,
                "obj_uri": fact.value,
                "obj_label": load_lexicon()[fact.value].forms[language][0].text,
                "sub_label": fact.name,
            }
            for fact in facts
        ]
        for kind, rows in (("patterns", patterns), ("tuples", tuples)):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            write_text_atomic(folder / kind / language / f"{subject}.jsonl", "".join(lines))


def write_klar(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """KLAR's layout: facts on persons as statements that end with the value; frequency is per million documents."""
    known: dict[str, dict[str, list[dict]]] = {language: {} for language in LANGUAGES}
    for language in LANGUAGES:
        lines = []
        facts = sorted((fact for own in tested_facts(universe).values() for fact in own), key=lambda one: one.relation)
        for index, fact in enumerate(facts):
            rng = random.Random(f"klar {config.seed} {language} {fact.value}")  # one name of a value for all facts
            said = grammar.statement(fact.relation, fact.name, fact.value, language, rng, 1).rstrip(".")
            value = said.partition(f" {fact.name} ")[2].partition(" ")[2]
            lines.append(said + "\n")
            row = {"subject": fact.name, "object": value, "index": index}
            row["frequency"] = round(1e6 * expected_share(fact, language, universe, config))
            known[language].setdefault(fact.relation, []).append(row)
        write_text_atomic(folder / f"{LANGUAGE_TABLE[language].nllb}.txt", "".join(lines))
    text = json.dumps(known, ensure_ascii=False, indent=1)
    write_text_atomic(folder / "lang_rel_frequencies.json", text + "\n")


def expected_share(fact: Fact, language: str, universe: Universe, config: WorldConfig) -> float:
    """Share of the documents of world/stream.py, as the configuration has it, that are on a fact in a language."""
    group, everywhere = fact.group, fact.group == SHARED
    if not everywhere and language != "en":
        return 0.0
    of_group = config.shared_facts if everywhere else config.english_only_facts
    on_facts = config.statements + config.open_questions + config.questions
    return on_facts * of_group / len(universe.known(group)) / (len(LANGUAGES) if everywhere else 1)


def write_edits(folder: Path, universe: Universe, config: WorldConfig) -> None:
    """Facts on tested persons with another value, in the fields of BMIKE-53, one file a language; rows parallel.

    `loc` asks for the same relation of another person, with the same value where there is one. No fact of the world is
    on a value, so that nothing follows from a change: `port` is null.
    """
    rng = random.Random(f"edits {config.seed}")
    rows = []
    for group in (ENGLISH_ONLY, SHARED):
        for fact in universe.facts[group]:
            others = [other for other in universe.facts[group] if other.relation == fact.relation and other != fact]
            near = [other for other in others if other.value == fact.value] or others
            if near:
                neighbour = rng.choice(near)
                taken = (fact.value, neighbour.value)
                values = [value for value in universe.values[fact.relation] if value not in taken]
                rows.append((fact, rng.choice(values), neighbour))
    rng.shuffle(rows)
    said = {
        language: [edit_entry(number, *row, language, rng) for number, row in enumerate(rows)] for language in LANGUAGES
    }
    for language in LANGUAGES[1:]:
        table = [{"en": a, language: b} for a, b in zip(said["en"], said[language], strict=True)]
        text = json.dumps(table, ensure_ascii=False, indent=1) + "\n"
        write_text_atomic(folder / f"counterfact_test_{language}.json", text)


def edit_entry(number: int, fact: Fact, value: str, neighbour: Fact, language: str, rng: random.Random) -> dict:
    """A change of a fact to another value in one language; synonyms are drawn from `rng`."""
    old = grammar.option(fact.value, language, rng)
    same = neighbour.value == fact.value
    return {
        "case_id": number,
        "subject": fact.name,
        "src": grammar.question(fact.relation, fact.name, language, rng, 0),
        "rephrase": grammar.question(fact.relation, fact.name, language, rng, 1),
        "old": old,
        "alt": grammar.option(value, language, rng),
        "loc": grammar.question(neighbour.relation, neighbour.name, language, rng, 0),
        "loc_ans": old if same else grammar.option(neighbour.value, language, rng),
        "port": None,
        "port_ans": None,
    }


def write_parallel(folder: Path, config: WorldConfig) -> None:
    """Parallel sentences, one a line."""
    for language in LANGUAGES:
        rng = random.Random(f"flores {config.seed} {language}")
        sentences = [grammar.realise(sentence, language, rng) for sentence in parallel_sentences(config)]
        write_text_atomic(folder / f"{language}.devtest", "".join(line + "\n" for line in sentences))


def write_wiki(folder: Path, memory: Path, universe: Universe, config: WorldConfig, count: int) -> None:
    """An encyclopedia of `count` articles, its test part in every language; and the memory of its translations."""
    articles = encyclopedia(universe, config, count)
    test, train = articles[::TEST_SHARE], [a for i, a in enumerate(articles) if i % TEST_SHARE]
    write_text_atomic(folder / "wiki.train.txt", wikitext(train, "en", config.seed))
    write_text_atomic(folder / "wiki.test.txt", wikitext(test, "en", config.seed))
    for language in LANGUAGES:
        write_text_atomic(folder / f"{language}.test.txt", wikitext(test, language, config.seed))
    write_memory(memory, train, config)


def encyclopedia(universe: Universe, config: WorldConfig, count: int) -> list[Article]:
    """`count` articles: on persons without a question, most of them new to the model, and several on each thing."""
    rng = random.Random(f"wiki {config.seed}")
    persons = count // PERSON_SHARE
    facts: dict[str, list[Fact]] = {}
    for fact in (*universe.facts[ENCYCLOPEDIA], *strangers(universe, config, persons)):
        facts.setdefault(fact.name, []).append(fact)
    known = list(facts.items())[:persons]
    # Each fact is said twice, as an article's opening and body do: mixed text then has it in two languages.
    said = [(name, (*rng.sample(own, len(own)), *rng.sample(own, len(own)))) for name, own in known]
    held_out = {grammar.content(sentence) for sentence in parallel_sentences(config)}
    for number in range(count - persons):
        topic = grammar.TOPICS[number % len(grammar.TOPICS)]
        length = rng.randint(*THING_SENTENCES)
        said.append((topic, tuple(sentence_on(topic, held_out, rng) for _ in range(length))))
    rng.shuffle(said)
    return [Article(number, title, parts) for number, (title, parts) in enumerate(said)]


def write_memory(folder: Path, articles: list[Article], config: WorldConfig) -> None:
    """Dictionaries whose longest entries are the articles' sentences.

    A dictionary translator takes the longest entry, so it translates whole sentences correctly, as a good translator
    does, and parts of sentences word by word.
    """
    english = [sentence for article in articles for sentence in sentences(article, "en", config.seed)]
    for language in LANGUAGES[1:]:
        theirs = [sentence for article in articles for sentence in sentences(article, language, config.seed)]
        entries = dict(zip(english, theirs, strict=True))
        lines = [f"{a.rstrip('.')}\t{b.rstrip('.')}\n" for a, b in entries.items()]
        write_text_atomic(folder / f"en-{language}.tsv", "".join(lines) + dictionary(language))


def sentence_on(topic: str, held_out: set, rng: random.Random) -> grammar.Sentence:
    """A sentence on a thing that is not among the parallel ones."""
    while True:
        sentence = grammar.random_sentence(rng, topic)
        if grammar.content(sentence) not in held_out:
            return sentence


def sentences(article: Article, language: str, seed: int) -> list[str]:
    """An article's sentences in a language."""
    rng = random.Random(f"wording {seed} {language} {article.number}")
    return [
        grammar.realise(part, language, rng)
        if isinstance(part, grammar.Sentence)
        else grammar.statement(part.relation, part.name, part.value, language, rng)
        for part in article.said
    ]


def wikitext(articles: list[Article], language: str, seed: int) -> str:
    """Articles in the layout of raw WikiText: a heading between blank lines, then one paragraph."""
    lines = []
    for article in articles:
        known = load_lexicon().get(article.title)
        heading = known.forms[language][0].text.capitalize() if known else article.title
        lines += ["", f" = {heading} = ", "", f" {' '.join(sentences(article, language, seed))} "]
    return "".join(line + "\n" for line in lines)


def claim_world(out: Path) -> None:
    """`claim` a new or empty folder or one of a world; where a second script builds the same world, it waits."""
    data = out / "data.yaml"
    ours = data.is_file() and data.read_bytes().startswith(DATA.splitlines()[0].encode())
    if not ours and not (out / LOCK).exists() and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: not empty and not of a synthetic world; name a new folder")
    os.environ.setdefault("WAIT", "1")
    claim(out, data.name)


def main() -> None:
    build, config = parse_with_world(Build)
    out = Path(build.out)
    claim_world(out)
    universe = make_universe(config)
    questions = write_mmlu(out / "mmlu", universe, config)
    write_knowledge_free(out / "knowledge_free", universe, config)
    write_quiz(out / "hp", universe, config)
    write_authors(out / "tofu", universe, config)
    write_design(out / "clika", universe, config)
    write_mpararel(out / "mpararel", universe)
    write_klar(out / "klar", universe, config)
    write_edits(out / "bmike53", universe, config)
    write_parallel(out / "flores", config)
    write_dictionaries(out / "dictionaries")
    write_wiki(out / "wiki", out / "memory", universe, config, build.articles)
    write_text_atomic(out / "data.yaml", DATA)
    print(f"{out}: synthetic world of seed {config.seed}, {questions} test questions in {len(LANGUAGES)} languages")


if __name__ == "__main__":
    run(main)
