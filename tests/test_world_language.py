"""The world's lexicon and grammar: correct articles, cases and agreement in seven languages."""

import random
from collections import defaultdict

import pytest

from common.cli import InputError
from world import grammar
from world.lexicon import HEADER, LANGUAGES, Form, concepts, load_lexicon, read_lexicon, write_dictionaries
from world.relations import RELATION_TEXTS, RELATIONS


def form(concept: str, lang: str, index: int = 0) -> Form:
    return load_lexicon()[concept].forms[lang][index]


@pytest.mark.parametrize(
    ("lang", "concept", "index", "definite", "case", "expected"),
    [
        ("en", "donkey", 1, False, "nom", "an ass"),
        ("en", "horse", 0, False, "nom", "a horse"),
        ("en", "sheep", 1, False, "nom", "a ewe"),
        ("de", "dog", 0, True, "nom", "der Hund"),
        ("de", "dog", 0, True, "acc", "den Hund"),
        ("de", "dog", 0, False, "acc", "einen Hund"),
        ("de", "cat", 0, False, "acc", "eine Katze"),
        ("de", "horse", 0, False, "acc", "ein Pferd"),
        ("de", "faith", 0, True, "acc", "den Glauben"),
        ("fr", "donkey", 0, True, "nom", "l'âne"),
        ("fr", "donkey", 0, False, "nom", "un âne"),
        ("fr", "cow", 0, True, "nom", "la vache"),
        ("fr", "hospital", 0, True, "nom", "l'hôpital"),
        ("fr", "hut", 1, True, "nom", "la hutte"),
        ("fr", "eye", 0, True, "nom", "l'œil"),
        ("es", "chest", 1, True, "nom", "el arca"),
        ("es", "spider", 0, True, "nom", "la araña"),
        ("es", "horse", 0, False, "nom", "un caballo"),
        ("it", "snake", 0, True, "nom", "il serpente"),
        ("it", "shark", 0, True, "nom", "lo squalo"),
        ("it", "shark", 0, False, "nom", "uno squalo"),
        ("it", "donkey", 0, True, "nom", "l'asino"),
        ("it", "island", 0, False, "nom", "un'isola"),
        ("it", "donkey", 0, False, "nom", "un asino"),
        ("it", "soup", 0, True, "nom", "la zuppa"),
        ("pt", "horse", 0, True, "nom", "o cavalo"),
        ("pt", "cow", 0, False, "nom", "uma vaca"),
        ("nl", "horse", 0, True, "nom", "het paard"),
        ("nl", "dog", 0, True, "nom", "de hond"),
        ("nl", "horse", 0, False, "nom", "een paard"),
    ],
)
def test_articles(lang, concept, index, definite, case, expected):
    assert grammar.noun_phrase(form(concept, lang, index), lang, definite=definite, case=case) == expected


@pytest.mark.parametrize(
    ("lang", "noun", "adjective", "case", "expected"),
    [
        ("en", "dog", "red", "nom", "the red dog"),
        ("de", "dog", "red", "nom", "der rote Hund"),
        ("de", "dog", "red", "acc", "den roten Hund"),
        ("de", "cat", "tired", "nom", "die müde Katze"),
        ("de", "horse", "heavy", "acc", "das schwere Pferd"),
        ("fr", "cow", "white", "nom", "la vache blanche"),
        ("fr", "dog", "white", "nom", "le chien blanc"),
        ("es", "cow", "red", "nom", "la vaca roja"),
        ("it", "soup", "cold", "nom", "la zuppa fredda"),
        ("pt", "cow", "tired", "nom", "a vaca cansada"),
        ("nl", "horse", "red", "nom", "het rode paard"),
    ],
)
def test_adjectives_agree_with_their_noun(lang, noun, adjective, case, expected):
    phrase = grammar.noun_phrase(form(noun, lang), lang, case=case, adjective=form(adjective, lang))
    assert phrase == expected


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        ("en", "The dog is tired."),
        ("de", "Der Hund ist müde."),
        ("fr", "Le chien est fatigué."),
        ("es", "El perro está cansado."),
        ("it", "Il cane è stanco."),
        ("pt", "O cão está cansado."),
        ("nl", "De hond is vermoeid."),
    ],
)
def test_predicates(lang, expected):
    class First(random.Random):
        def choice(self, options):
            return options[0]

        def random(self):
            return 0.0

    assert grammar.realise(grammar.Sentence("is", ("dog", "tired")), lang, First()) == expected


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_relation_is_said_and_asked_in_two_ways(lang):
    assert list(RELATION_TEXTS[lang]) == list(RELATIONS)
    for relation in RELATIONS.values():
        for value in concepts(relation.category):
            for choice in (0, 1):
                said = grammar.statement(relation.id, "Zorvan", value.id, lang, random.Random(0), choice)
                asked = grammar.question(relation.id, "Zorvan", lang, random.Random(0), choice)
                assert "Zorvan" in said and said.endswith(".") and said[0].isupper()
                assert "Zorvan" in asked and asked.endswith("?") and not set("{}") & set(said + asked)
                words = said.lower().replace("'", " ").strip(".").split()
                assert grammar.acceptable(value.id, lang) & set(words)


def test_a_sentence_has_its_content_words_in_every_language():
    rng = random.Random(5)
    for _ in range(300):
        sentence = grammar.random_sentence(rng)
        for lang in LANGUAGES:
            text = grammar.realise(sentence, lang, rng)
            words = set(text.lower().replace("'", " ").strip(".").split())
            for concept in grammar.content(sentence):
                assert words & grammar.acceptable(concept, lang), (text, concept)


def test_sentences_on_a_topic_name_it():
    rng = random.Random(6)
    for topic in grammar.TOPICS:
        assert topic in grammar.content(grammar.random_sentence(rng, topic))


def test_same_generator_same_text():
    texts = []
    for _ in range(2):
        rng = random.Random(3)
        texts.append([grammar.realise(grammar.random_sentence(rng), lang, rng) for lang in LANGUAGES])
    assert texts[0] == texts[1]


def test_lexicon_is_large_and_unambiguous():
    lexicon = load_lexicon()
    assert len(lexicon) >= 300
    used = defaultdict(set)
    synonyms = []
    for concept in lexicon.values():
        for lang in LANGUAGES:
            synonyms.append(len(concept.forms[lang]) > 1)
            for one in concept.forms[lang]:
                used[lang, one.text.lower()].add(concept.id)
    assert sum(synonyms) / len(synonyms) >= 0.75
    assert {key: ids for key, ids in used.items() if len(ids) > 1} == {}


def test_words_mostly_differ_between_languages():
    pairs = same = 0
    for concept in load_lexicon().values():
        english = {one.text.lower() for one in concept.forms["en"]}
        for lang in LANGUAGES[1:]:
            pairs += 1
            same += bool(english & {one.text.lower() for one in concept.forms[lang]})
    assert same / pairs < 0.08


def test_dictionaries_hold_every_pair_of_words(tmp_path):
    write_dictionaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"en-{lang}.tsv" for lang in LANGUAGES[1:])
    lines = (tmp_path / "en-fr.tsv").read_text(encoding="utf-8").splitlines()
    assert all(len(line.split("\t")) == 2 for line in lines)
    assert {"horse\tcheval", "steed\tcoursier", "white\tblanche"} <= set(lines)
    german = (tmp_path / "en-de.tsv").read_text(encoding="utf-8").splitlines()
    assert {"red\trot", "red\trote", "red\troten", "tired\tmüde", "tired\tmüden", "dog\tHund"} <= set(german)
    assert len(german) == len(set(german))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("horse\tanimal\tnoun\thorse", "row 2: 4 cells"),
        (
            "horse\tanimal\tnoun\thorse\tPferd\tcheval:m\tcaballo:m\tcavallo:m\tcavalo:m\tpaard:n",
            "'Pferd' is not a noun",
        ),
        (
            "red\tadjective\tadj\tred\trot\trouge\trojo/roja\trosso/rossa\trubro/rubra\trood/rode",
            "'rouge' is not a adj",
        ),
        ("go\tverb\tnone\tgoes\tgeht\tva\tva\tva\tvai\tgaat", "part of speech 'none'"),
    ],
)
def test_malformed_rows_are_named(row, message):
    with pytest.raises(InputError, match=message):
        read_lexicon("\t".join(HEADER) + "\n" + row + "\n")


def test_an_empty_lexicon_is_refused():
    with pytest.raises(InputError, match="row 1"):
        read_lexicon("")
