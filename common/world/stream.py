"""The training text of the world, endless and seeded, and its packing into rows of tokens.

    for document in documents(universe, config): print(document)

Statements and questions are each in one language (the instruction line and the labels of a question are English in
every language, as in the evaluation). English-only facts are written in English and nowhere else.
"""

import random
from collections.abc import Iterator

import numpy as np
from transformers import PreTrainedTokenizerBase

from common.errors import InputError
from common.languages import LANGUAGES as LANGUAGE_TABLE
from common.prompts import LETTERS, mmlu_prompt, question_text
from common.world import grammar
from common.world.config import WorldConfig
from common.world.facts import CHARACTER, ENCYCLOPEDIA, ENGLISH_ONLY, SHARED, SPELL, Fact, Universe
from common.world.items import draw_options, subjects, write_item
from common.world.lexicon import LANGUAGES, load_lexicon
from common.world.relations import RELATIONS

# How a translation is asked for, in training and later: `source` and `target` are English names of languages.
TRANSLATION_PROMPT = "{source}: {text}\n{target}:"
DEMONSTRATIONS = (2, 6)  # fewest and most questions of a few-shot document
SENTENCES = (2, 5)  # fewest and most sentences of a topic text or an article
PRIMER_LENGTH = 18  # tokens in the longest exercise of the primer
PRIMER_ATTEMPTS = 50  # rounds of drawing exercises until a batch of short ones is full
WAITING = 8  # documents that fit no row before a batch is closed


class Documents:
    """Draws documents of the kinds and in the shares of a WorldConfig."""

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
            self.question: config.questions,
            self.exercise: config.exercises,
            self.word_pair: config.word_pairs,
            self.sentence_pair: config.sentence_pairs,
            self.topic: config.topics,
            self.article: config.encyclopedia,
        }
        self.held_out = {grammar.content(sentence) for sentence in parallel_sentences(config)}
        self.words = list(load_lexicon().values())
        self.subjects = list(subjects())

    def draw(self) -> str:
        """One document."""
        return self._choose(self.makers)()

    def statement(self) -> str:
        """One fact."""
        fact, language = self._fact()
        return grammar.statement(fact.relation, fact.name, fact.value, language, self.rng)

    def question(self) -> str:
        """A multiple-choice question with its answer, some with the statement that answers it or the header before."""
        fact, language = self._fact()
        item = self._item(fact, language)
        text = f"{mmlu_prompt(item) if self._happens(self.config.headers) else question_text(item)} {item.answer}"
        if not self._happens(self.config.lessons):
            return text
        return grammar.statement(fact.relation, fact.name, fact.value, language, self.rng) + "\n" + text

    def exercise(self, same_word: bool = False) -> str:
        """A vocabulary exercise in one language: a word, and the option that means the same or is the `same_word`."""
        relation, language = self.rng.choice(list(RELATIONS)), self.rng.choice(LANGUAGES)
        answer = self.rng.choice(LETTERS)
        values = self.rng.sample(self.universe.values[relation], len(LETTERS))
        options = [grammar.option(value, language, self.rng) for value in values]
        right = LETTERS.index(answer)
        word = options[right] if same_word else grammar.option(values[right], language, self.rng)
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
        return "\n".join([word, *lines, f"Answer: {answer}"])

    def few_shot(self) -> str:
        """Several questions on the same relation in one language, as in few-shot evaluation."""
        fact, language = self._fact()
        related = [other for other in self.universe.known(fact.group) if other.relation == fact.relation]
        facts = self.rng.sample(related, min(len(related), self.rng.randint(*DEMONSTRATIONS)))
        *shots, last = [self._item(other, language) for other in facts]
        return f"{mmlu_prompt(last, shots)} {last.answer}"

    def word_pair(self) -> str:
        """A word and its translation."""
        forms = self.rng.choice(self.words).forms
        source, target = self._language_pair()
        texts = [self.rng.choice(forms[language]).text for language in (source, target)]
        return f"{translation_prompt(texts[0], source, target)} {texts[1]}"

    def sentence_pair(self) -> str:
        """A sentence and its translation."""
        source, target = self._language_pair()
        sentence = self._sentence(None)
        texts = [grammar.realise(sentence, language, self.rng) for language in (source, target)]
        return f"{translation_prompt(texts[0], source, target)} {texts[1]}"

    def topic(self) -> str:
        """A few sentences on one topic, in one language."""
        language = self.rng.choice(LANGUAGES)
        topic = self.rng.choice(grammar.TOPICS)
        sentences = [self._sentence(topic) for _ in range(self.rng.randint(*SENTENCES))]
        return " ".join(grammar.realise(sentence, language, self.rng) for sentence in sentences)

    def article(self) -> str:
        """Statements on one person of the encyclopedia, in English."""
        known = self.universe.known(ENCYCLOPEDIA)
        name = self.rng.choice(known).name
        facts = [fact for fact in known if fact.name == name]
        drawn = self.rng.sample(facts, min(len(facts), self.rng.randint(*SENTENCES)))
        return " ".join(grammar.statement(f.relation, f.name, f.value, "en", self.rng) for f in drawn)

    def _choose(self, shares: dict):
        return self.rng.choices(list(shares), list(shares.values()))[0]

    def _happens(self, share: float) -> bool:
        return self.rng.random() < share

    def _fact(self) -> tuple[Fact, str]:
        """A fact and the language to write it in: one in which it is known."""
        groups = self._choose(self.groups)
        return self.rng.choice(self.facts[groups]), self.rng.choice(LANGUAGES) if groups == (SHARED,) else "en"

    def _item(self, fact: Fact, language: str):
        answer = self.rng.choice(LETTERS)
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


def translation_prompt(text: str, source: str, target: str) -> str:
    """The prompt after which the translation follows; `source` and `target` are ISO codes."""
    return TRANSLATION_PROMPT.format(source=LANGUAGE_TABLE[source].name, text=text, target=LANGUAGE_TABLE[target].name)


def parallel_sentences(config: WorldConfig) -> list[grammar.Sentence]:
    """The sentences of `flores/`, distinct in content; training text never says the same."""
    rng = random.Random(f"parallel {config.seed}")
    sentences = {}
    while len(sentences) < config.parallel_sentences:
        sentence = grammar.random_sentence(rng)
        sentences.setdefault(grammar.content(sentence), sentence)
    return list(sentences.values())


class Batches:
    """Packed batches for training: iterating gives, step by step, token ids [rows, length] and loss weights alike."""

    def __init__(self, universe: Universe, config: WorldConfig, tokenizer: PreTrainedTokenizerBase):
        self.config, self.tokenizer = config, tokenizer
        self.documents = Documents(universe, config, f"stream {config.seed}")
        self.noise = np.random.default_rng(config.seed)
        self.bos, self.pad = tokenizer.bos_token_id, tokenizer.pad_token_id
        self.label = tokenizer("\nAnswer:").input_ids[-1]  # one piece, which stands before answers and nowhere else
        self.letters = np.array([tokenizer(f"\nAnswer: {letter}").input_ids[-1] for letter in LETTERS])
        self.waiting: list[list[int]] = []

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        config = self.config
        short = max(1, config.rows * config.row_length // config.long_row_length)
        for step in range(config.steps):
            if step < config.primer:
                yield self._primer()
            elif config.long_every and step % config.long_every == config.long_every - 1:
                yield self._pack(short, config.long_row_length, few_shot=True)
            else:
                yield self._pack(config.rows, config.row_length, few_shot=False)

    def _primer(self) -> tuple[np.ndarray, np.ndarray]:
        """One exercise a row with the word itself among the options, and only its letter in the loss.

        Nothing else makes a model find out as fast what an answer letter stands for: in mixed text that takes it
        thousands of steps, here a few hundred.
        """
        count = max(1, self.config.rows * self.config.row_length // (2 * PRIMER_LENGTH))
        rows: list[list[int]] = []
        for _ in range(PRIMER_ATTEMPTS):
            texts = [self.documents.exercise(same_word=True) for _ in range(count)]
            rows += [ids for ids in self._encode(texts) if len(ids) <= PRIMER_LENGTH]
            if len(rows) >= count:
                break
        else:
            raise InputError(
                f"hardly an exercise has {PRIMER_LENGTH} tokens or fewer: raise vocabulary, or set primer to 0"
            )
        rows = rows[:count]
        ids = np.full((len(rows), PRIMER_LENGTH), self.pad, dtype=np.int64)
        for target, row in zip(ids, rows, strict=True):
            target[: len(row)] = row
        weights = self._weights(ids)
        return ids, np.where(weights == self.config.letter_weight, weights, 0)

    def _pack(self, rows: int, length: int, few_shot: bool) -> tuple[np.ndarray, np.ndarray]:
        """First fit: a document goes into the first row with room for it."""
        packed = [[] for _ in range(rows)]
        if few_shot:
            texts = [self.documents.few_shot() for _ in packed]
            packed = [ids if len(ids) <= length else [] for ids in self._encode(texts)]
        left_over = []
        while len(left_over) < WAITING:
            if not self.waiting:
                self.waiting = self._encode([self.documents.draw() for _ in range(64)])
            ids = self.waiting.pop()
            row = next((row for row in packed if len(row) + len(ids) <= length), None)
            if row is not None:
                row.extend(ids)
            elif len(ids) <= length:
                left_over.append(ids)
        self.waiting += left_over
        ids = np.full((rows, length), self.pad, dtype=np.int64)
        for target, row in zip(ids, packed, strict=True):
            target[: len(row)] = row
        return ids, self._weights(ids)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.backend_tokenizer.encode_batch(texts)]

    def _weights(self, ids: np.ndarray) -> np.ndarray:
        """Loss weight of each token as a target: letters count most, other tokens of questions now and then."""
        letter = np.isin(ids, self.letters) & (np.roll(ids, 1, axis=1) == self.label)
        weights = (ids != self.pad).astype(np.float32)
        starts = np.cumsum(ids == self.bos, axis=1)
        for row, (row_starts, row_letters) in enumerate(zip(starts, letter, strict=True)):
            asked = np.isin(row_starts, row_starts[row_letters])
            weights[row, asked & (self.noise.random(len(asked)) >= self.config.question_tokens)] = 0
        weights[letter] = self.config.letter_weight
        weights[:, 0] = 0
        return weights
