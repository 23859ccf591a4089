"""The training text of the synthetic world, endless and seeded, and its packing into rows of tokens.

    text = Documents(universe, config, "seed").draw().text

Every statement and question is in one language; instruction line and labels are in English in every language, as in
the evaluation. English-only facts are stated in English only.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from common.cli import InputError
from common.languages import LANGUAGES as LANGUAGE_TABLE
from common.prompts import mmlu_prompt, question_text
from common.questions import FOUR, Question
from world import grammar
from world.config import WorldConfig
from world.facts import CHARACTER, ENCYCLOPEDIA, ENGLISH_ONLY, SHARED, SPELL, Fact, Universe
from world.items import draw_options, subjects, write_item
from world.lexicon import LANGUAGES, draw_form, spoken
from world.relations import RELATIONS

if TYPE_CHECKING:  # takes a second to import, and writing the data does without it
    from transformers import PreTrainedTokenizerBase

DEMONSTRATIONS = (2, 6)  # fewest and most questions of a few-shot document
SENTENCES = (2, 5)  # fewest and most sentences of a topic text or an article
GIVEN = -1.0  # weight of text that is given, not taught, such as a question
SAME_WORD = 0.5  # share of exercises whose answer is the word itself
WAITING = 8  # documents that fit no row, at which a batch is closed


@dataclass(frozen=True)
class Document:
    """A text in parts, each with the weight of its tokens in the loss (GIVEN: 1 for a share, `question_tokens`)."""

    parts: tuple[tuple[str, float], ...]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(text for text, _ in self.parts)


class Documents:
    """Draws documents of each kind in the shares of a WorldConfig."""

    def __init__(self, universe: Universe, config: WorldConfig, seed: str):
        self.universe, self.config = universe, config
        self.rng = random.Random(seed)
        self.groups = {
            (ENGLISH_ONLY,): config.english_only_facts,
            (SHARED,): config.shared_facts,
            (CHARACTER, SPELL): 1 - config.english_only_facts - config.shared_facts,
        }
        self.facts = {groups: [f for group in groups for f in universe.known(group)] for groups in self.groups}
        self.makers = {
            self.statement: config.statements,
            self.open_question: config.open_questions,
            self.word: config.words,
            self.sentence_pair: config.sentence_pairs,
            self.topic: config.topics,
            self.article: config.encyclopedia,
            self.question: config.questions,
            self.exercise: config.exercises,
        }
        self.held_out = {grammar.content(sentence) for sentence in parallel_sentences(config)}
        self.concepts = spoken()
        self.subjects = list(subjects())

    def draw(self, step: int | None = None) -> Document:
        """One document of a training step: exercises at first, then text and lessons, then questions too."""
        if step is not None and step < self.config.primer:
            return self.exercise()
        maker = self._choose(self.makers)
        if maker == self.question and step is not None and step < self.config.reading:
            return self.lesson()
        return maker()

    def statement(self) -> Document:
        """One fact."""
        fact, language = self._fact()
        return Document(((self._statement(fact, language), 1.0),))

    def question(self) -> Document:
        """A multiple-choice question with its answer; a share of them are lessons."""
        if self._happens(self.config.lessons):
            return self.lesson()
        item = self._item(*self._fact())
        return Document(self._asked(item))

    def lesson(self) -> Document:
        """A multiple-choice question, preceded by the statement that answers it."""
        fact, language = self._fact()
        statement = self._statement(fact, language) + "\n"
        return Document(((statement, 1.0), *self._asked(self._item(fact, language))))

    def open_question(self) -> Document:
        """A question without options, and its answer in words."""
        fact, language = self._fact()
        asked = f"{grammar.question(fact.relation, fact.name, language, self.rng)}\nAnswer:"
        answer = f" {grammar.option(fact.value, language, self.rng)}"
        return Document(((asked, GIVEN), (answer, self.config.answer_weight)))

    def exercise(self) -> Document:
        """A vocabulary exercise in one language: a word, and the option that means the same."""
        relation, language = self.rng.choice(list(RELATIONS)), self.rng.choice(LANGUAGES)
        answer = self.rng.choice(FOUR)
        values = self.rng.sample(self.universe.values[relation], len(FOUR))
        options = [grammar.option(value, language, self.rng) for value in values]
        right = FOUR.index(answer)
        word = options[right] if self._happens(SAME_WORD) else grammar.option(values[right], language, self.rng)
        lines = [f"{letter}. {option}" for letter, option in zip(FOUR, options, strict=True)]
        return Document((("\n".join([word, *lines, "Answer:"]), GIVEN), (f" {answer}", self.config.answer_weight)))

    def few_shot(self) -> Document:
        """Several questions on the same relation in one language, as in few-shot evaluation."""
        fact, language = self._fact()
        related = [other for other in self.universe.known(fact.group) if other.relation == fact.relation]
        facts = self.rng.sample(related, min(len(related), self.rng.randint(*DEMONSTRATIONS)))
        *shots, last = [self._item(other, language) for other in facts]
        texts = re.split(r"(?<=\nAnswer:)( [A-D])(?=\n|$)", f"{mmlu_prompt(last, shots)} {last.answer}")
        parts = zip(texts, cycle((GIVEN, self.config.answer_weight)), strict=False)
        return Document(tuple((text, weight) for text, weight in parts if text))

    def word(self) -> Document:
        """A word in several languages, as in a dictionary."""
        concept = self.rng.choice(self.concepts)
        languages = self.rng.sample(LANGUAGES, self.rng.randint(2, len(LANGUAGES)))
        return self._translation([(language, draw_form(concept, language, self.rng).text) for language in languages])

    def sentence_pair(self) -> Document:
        """A sentence and its translation."""
        sentence = self._sentence(None)
        languages = self._language_pair()
        return self._translation([(lang, grammar.realise(sentence, lang, self.rng)) for lang in languages])

    def topic(self) -> Document:
        """A few sentences on one topic, in one language."""
        language = self.rng.choice(LANGUAGES)
        topic = self.rng.choice(grammar.TOPICS)
        sentences = [self._sentence(topic) for _ in range(self.rng.randint(*SENTENCES))]
        return Document(((" ".join(grammar.realise(sentence, language, self.rng) for sentence in sentences), 1.0),))

    def article(self) -> Document:
        """Statements on one person of the encyclopedia, in English."""
        known = self.universe.known(ENCYCLOPEDIA)
        name = self.rng.choice(known).name
        facts = [fact for fact in known if fact.name == name]
        drawn = self.rng.sample(facts, min(len(facts), self.rng.randint(*SENTENCES)))
        return Document(((" ".join(self._statement(fact, "en") for fact in drawn), 1.0),))

    def _statement(self, fact: Fact, language: str) -> str:
        return grammar.statement(fact.relation, fact.name, fact.value, language, self.rng)

    def _asked(self, item: Question) -> tuple[tuple[str, float], ...]:
        """A question, some with the header before, and its answer."""
        prompt = mmlu_prompt(item) if self._happens(self.config.headers) else question_text(item)
        return (prompt, GIVEN), (f" {item.answer}", self.config.answer_weight)

    @staticmethod
    def _translation(texts: list[tuple[str, str]]) -> Document:
        """The same in several languages: [(language, text)]; the first is given."""
        (source, first), *others = texts
        parts = [(f"{LANGUAGE_TABLE[source].name}: {first}", GIVEN)]
        for language, text in others:
            parts += [("\n", 1.0), (f"{LANGUAGE_TABLE[language].name}:", GIVEN), (f" {text}", 1.0)]
        return Document(tuple(parts))

    def _choose(self, shares: dict):
        return self.rng.choices(list(shares), list(shares.values()))[0]

    def _happens(self, share: float) -> bool:
        return self.rng.random() < share

    def _fact(self) -> tuple[Fact, str]:
        """A fact and the language to write it in: one in which it is known."""
        groups = self._choose(self.groups)
        return self.rng.choice(self.facts[groups]), self.rng.choice(LANGUAGES) if groups == (SHARED,) else "en"

    def _item(self, fact: Fact, language: str):
        answer = self.rng.choice(FOUR)
        options = draw_options(self.universe, fact, answer, self.rng)
        # Any subject: were it the fact's own, a German question under the header `english_only_...` would be new in
        # evaluation, and what that does would be taken for the barrier.
        return write_item(fact, options, answer, language, self.rng, subject=self.rng.choice(self.subjects))

    def _language_pair(self) -> tuple[str, str]:
        """Two languages, English among them half of the time."""
        others = LANGUAGES[1:]
        pair = ["en", self.rng.choice(others)] if self._happens(0.5) else self.rng.sample(others, 2)
        return tuple(self.rng.sample(pair, 2))

    def _sentence(self, topic: str | None) -> grammar.Sentence:
        while True:
            sentence = grammar.random_sentence(self.rng, topic)
            if grammar.content(sentence) not in self.held_out:
                return sentence


def parallel_sentences(config: WorldConfig) -> list[grammar.Sentence]:
    """The sentences of `flores/`, distinct in content and held out of the training text."""
    rng = random.Random(f"parallel {config.seed}")
    sentences = {}
    while len(sentences) < config.parallel_sentences:
        sentence = grammar.random_sentence(rng)
        sentences.setdefault(grammar.content(sentence), sentence)
    return list(sentences.values())


class Batches:
    """Packed training batches: yields token ids [rows, length] and loss weights [rows, length] of each step."""

    def __init__(self, universe: Universe, config: WorldConfig, tokenizer: "PreTrainedTokenizerBase"):
        self.config, self.tokenizer = config, tokenizer
        self.documents = Documents(universe, config, f"stream {config.seed}")
        self.noise = np.random.default_rng(config.seed)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        config = self.config
        short = max(1, config.rows * config.row_length // config.long_row_length)
        for step in range(config.steps):
            if step in (config.primer, config.reading):
                self.waiting = []
            if step >= config.reading and config.long_every and step % config.long_every == config.long_every - 1:
                first = [self.documents.few_shot() for _ in range(short)]
                yield self._pack(short, config.long_row_length, step, first)
            else:
                yield self._pack(config.rows, config.row_length, step, [])

    def _pack(self, rows: int, length: int, step: int, first: list[Document]) -> tuple[np.ndarray, np.ndarray]:
        """First fit: each document goes into the first row with room for it, the documents of `first` before others."""
        ids = np.full((rows, length), self.tokenizer.pad_token_id, dtype=np.int64)
        weights = np.zeros((rows, length), dtype=np.float32)
        used = np.zeros(rows, dtype=np.int64)

        def put(document: tuple[np.ndarray, np.ndarray]) -> bool:
            size = len(document[0])
            room = np.flatnonzero(used + size <= length)
            if len(room):
                place = room[0], slice(used[room[0]], used[room[0]] + size)
                ids[place], weights[place] = document
                used[room[0]] += size
            return len(room) > 0

        for document in self._encode(first):
            put(document)
        left_over = []
        while len(left_over) < WAITING:
            if not self.waiting:
                self.waiting = self._encode([self.documents.draw(step) for _ in range(64)])
                if min(len(ids) for ids, _ in self.waiting) > length:
                    raise InputError(f"rows of {length} tokens are too short for any text; raise row_length")
            document = self.waiting.pop()
            if len(document[0]) <= length and not put(document):
                left_over.append(document)
        self.waiting += left_over
        return ids, weights

    def _encode(self, documents: list[Document]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Token ids and loss weights of each document; a token has the weight of the part that it ends in."""
        encoded = []
        for document, encoding in zip(
            documents, self.tokenizer.backend_tokenizer.encode_batch([d.text for d in documents]), strict=True
        ):
            part_ends = np.cumsum([len(text) for text, _ in document.parts])
            ends = np.array([end for _, end in encoding.offsets])
            part = np.searchsorted(part_ends, ends)
            weights = np.array([weight for _, weight in document.parts], dtype=np.float32)[part]
            weights[weights == GIVEN] = 1.0
            given = np.array([weight == GIVEN for _, weight in document.parts])[part]
            weights[given & (self.noise.random(len(given)) >= self.config.question_tokens)] = 0
            weights[0] = 1  # the mark that opens a document ends the one before
            encoded.append((np.array(encoding.ids), weights))
        return encoded
