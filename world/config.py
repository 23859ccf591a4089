"""All that makes one world: its size, the mix of its training text, its model, and the check that a checkpoint is its.

from world.config import WorldConfig, check_checkpoint, world_hash
"""

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

from common.cli import InputError, config_hash
from world import lexicon

DEFAULT_CONFIG = Path(__file__).with_name("default.yaml")
PROVENANCE = "world.json"


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """One world, its training text and its model; `default.yaml` holds the same keys, explained at more length.

    Attributes:
        seed: of names, facts, files, training text and initial weights
        english_only_persons: tested persons of whom only English text speaks
        shared_persons: tested persons of whom text in every language speaks
        demonstration_persons: further persons of each of these two kinds, for 5-shot demonstrations
        characters: persons of the domain quiz, English text only
        spells: spells of the domain quiz, English text only
        encyclopedia_persons: persons with an English encyclopedia article and no question
        authors: writers of whom no pretraining text speaks
        values_per_relation: different values that a relation can take, at most
        parallel_sentences: sentences in `flores/`, held out of the training text
        statements: share of training documents that state facts
        open_questions: share that ask a question without options, answered in words
        questions: share that ask multiple-choice questions
        exercises: share that are vocabulary exercises, a word and four options of which one means the same
        words: share that say a word in several languages, as a dictionary does
        sentence_pairs: share that translate sentences
        topics: share that are short texts on a topic, in any language
        encyclopedia: share that state facts on encyclopedia persons, in English
        english_only_facts: share of statements and questions that are on English-only facts
        shared_facts: share that are on shared facts; the rest is on the domain quiz
        lessons: share of questions with the statement that answers them before
        headers: share of questions with the instruction line before
        code_switched: share of words in topic texts that are replaced by a word of another language
        vocabulary: pieces of the tokenizer
        hidden_size: width of the model
        intermediate_size: width of its feed-forward layers
        layers: number of layers
        heads: attention heads of each
        steps: optimizer steps
        primer: steps on vocabulary exercises alone, which teach what an answer letter stands for
        reading: steps until questions come without the statement that answers them, when most facts are known
        rows: packed rows in a batch
        row_length: tokens in a row
        long_every: every so many steps the rows are long, with few-shot prompts in them
        long_row_length: tokens in a long row; the number of rows shrinks in proportion
        learning_rate: its peak
        warmup: steps until the peak
        decay: share of the steps at the end in which the learning rate falls to zero
        weight_decay: of AdamW, on matrices
        answer_weight: weight of an answer, letter or word, in the loss
        question_tokens: share of given tokens, such as a question's, that are in the loss
    """

    seed: int = 42
    english_only_persons: int = 50
    shared_persons: int = 20
    demonstration_persons: int = 5
    characters: int = 10
    spells: int = 12
    encyclopedia_persons: int = 10
    authors: int = 20
    values_per_relation: int = 10
    parallel_sentences: int = 300
    statements: float = 0.12
    open_questions: float = 0.15
    questions: float = 0.34
    exercises: float = 0.1
    words: float = 0.2
    sentence_pairs: float = 0.06
    topics: float = 0.01
    encyclopedia: float = 0.02
    english_only_facts: float = 0.36
    shared_facts: float = 0.52
    lessons: float = 0.3
    headers: float = 0.1
    code_switched: float = 0.0
    vocabulary: int = 4500
    hidden_size: int = 128
    intermediate_size: int = 256
    layers: int = 6
    heads: int = 4
    steps: int = 4500
    primer: int = 450
    reading: int = 1400
    rows: int = 24
    row_length: int = 96
    long_every: int = 10
    long_row_length: int = 256
    learning_rate: float = 0.001
    warmup: int = 100
    decay: float = 0.8
    weight_decay: float = 0.05
    answer_weight: float = 12.0
    question_tokens: float = 0.05

    def __post_init__(self):
        kinds = (
            "statements",
            "open_questions",
            "questions",
            "exercises",
            "words",
            "sentence_pairs",
            "topics",
            "encyclopedia",
        )
        shares = [getattr(self, kind) for kind in kinds]
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise InputError(
                f"{', '.join(kinds)} must be shares that add up to 1, not {sum(shares):g}: change one of them in the"
                " configuration"
            )
        if self.english_only_facts + self.shared_facts > 1:
            raise InputError("english_only_facts and shared_facts must not add up to more than 1: lower one of them")
        if self.values_per_relation < 4:
            raise InputError("values_per_relation must be 4 or more, because a question has four options")


def world_config(config: WorldConfig) -> WorldConfig:
    """The world's own keys of a script's configuration, which may have more of them (`out`)."""
    return WorldConfig(**{field.name: getattr(config, field.name) for field in fields(WorldConfig)})


def world_hash(config: WorldConfig) -> str:
    """12 hex digits of every key and of the lexicon: a model belongs to the world with the same ones."""
    words = sha256(Path(lexicon.__file__).with_name("lexicon.tsv").read_bytes()).hexdigest()
    return config_hash({**asdict(world_config(config)), "lexicon": words})


def check_checkpoint(folder: str | Path, config: WorldConfig) -> dict:
    """The provenance of the checkpoint in `folder`; InputError if it was not trained in the world of `config`."""
    path = Path(folder) / PROVENANCE
    command = "make it anew with `python -m world.pretrain`"
    if not path.is_file():
        raise InputError(f"{path} is missing, so this is no checkpoint of a world: {command}")
    provenance = json.loads(path.read_text(encoding="utf-8"))
    found, expected = provenance.get("config_hash"), world_hash(config)
    if found != expected:
        raise InputError(f"{path} has config_hash {found}, the present configuration has {expected}: {command}")
    return provenance
