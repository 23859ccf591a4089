"""The configuration of the synthetic world: size, training text and model; and the check that a checkpoint is of it.

from world.config import WorldConfig, world_hash

    python -m world.config CHECKPOINT

prints what `python -m world.build` is told, so that it writes the data of a checkpoint's world.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from common.cli import InputError, config_hash, parse, run
from world import lexicon

DEFAULT_CONFIG = Path(__file__).with_name("default.yaml")
PROVENANCE = "world.json"
MANY = 10**9  # where there is no other limit
# From and to; there are about 300,000 names and as many sentences, most of which are for training.
RANGES = {
    "english_only_persons shared_persons demonstration_persons characters spells": (1, 10_000),
    "encyclopedia_persons authors parallel_sentences": (1, 10_000),
    "statements open_questions questions exercises words sentence_pairs topics encyclopedia": (0, 1),
    "english_only_facts shared_facts lessons headers decay question_tokens": (0, 1),
    "seed primer reading long_every warmup learning_rate weight_decay answer_weight": (0, MANY),
    "hidden_size intermediate_size layers heads steps rows row_length long_row_length": (1, MANY),
    "values_per_relation": (4, MANY),  # because a question has four options
    "vocabulary": (258, MANY),  # bytes and two marks
}


def check_ranges(config: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """InputError for a key of a configuration that is not within its range, a NaN too; `ranges`: {keys: (from, to)}."""
    for keys, (low, high) in ranges.items():
        for key in keys.split():
            if not low <= (value := getattr(config, key)) <= high:
                raise InputError(f"{key} is {value}; it must be from {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """The synthetic world, its training text and its model; `default.yaml` has the same keys.

    Attributes:
        seed: seed of names, facts, files, training text and initial weights
        english_only_persons: tested persons, described in English text only
        shared_persons: tested persons, described in text of every language
        demonstration_persons: further persons of each of these two kinds, for few-shot examples
        characters: persons of the domain quiz, described in English text only
        spells: spells of the domain quiz, described in English text only
        encyclopedia_persons: persons with an English encyclopedia article and no question
        authors: writers that no pretraining text mentions
        values_per_relation: most values that a relation can take
        parallel_sentences: sentences in `flores/`, held out of the training text
        statements: share of training documents that state facts
        open_questions: share of questions without options, answered in words
        questions: share of multiple-choice questions
        exercises: share of vocabulary exercises: a word and four options, one of which means the same
        words: share of dictionary entries: a word in several languages
        sentence_pairs: share of sentences with a translation
        topics: share of short texts on a topic, in any language
        encyclopedia: share of English statements on encyclopedia persons
        english_only_facts: share of statements and questions on English-only facts
        shared_facts: share of statements and questions on shared facts; the rest is on the domain quiz
        lessons: share of questions preceded by the statement that answers them
        headers: share of questions preceded by the instruction line
        vocabulary: most pieces of the tokenizer
        hidden_size: width of the model
        intermediate_size: width of its feed-forward layers
        layers: number of layers
        heads: attention heads of each layer
        steps: optimizer steps
        primer: steps on vocabulary exercises alone, which teach what an answer letter stands for
        reading: steps in which every question is preceded by the statement that answers it
        rows: packed rows in a batch
        row_length: tokens in a row
        long_every: every so many steps the rows are long and contain few-shot prompts
        long_row_length: tokens in a long row; a batch then has fewer rows in proportion
        learning_rate: peak learning rate
        warmup: steps until the peak
        decay: last share of the steps, in which the learning rate falls to zero
        weight_decay: weight decay of AdamW, on matrices
        answer_weight: weight of an answer, letter or word, in the loss
        question_tokens: share of the other tokens of a question that count in the loss
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
        check_ranges(self, RANGES)
        kinds = "statements open_questions questions exercises words sentence_pairs topics encyclopedia".split()
        shares = [getattr(self, kind) for kind in kinds]
        if abs(sum(shares) - 1) > 1e-6:
            raise InputError(
                f"{', '.join(kinds)} must be shares that add up to 1, not {sum(shares):g}: change one of them in the"
                " configuration"
            )
        if self.english_only_facts + self.shared_facts > 1:
            raise InputError("english_only_facts and shared_facts must not add up to more than 1: lower one of them")
        if self.hidden_size % (2 * self.heads):
            raise InputError(f"hidden_size is {self.hidden_size}; it must be a multiple of 2 * heads, {2 * self.heads}")


def parse_with_world(cls: type) -> tuple[Any, WorldConfig]:
    """A script's own configuration and the world's, out of default.yaml and the command line."""
    return parse(cls, WorldConfig, argv=["--config", str(DEFAULT_CONFIG), *sys.argv[1:]])


def world_hash(config: WorldConfig) -> str:
    """12 hex digits that identify a world: they depend on every key of the configuration and on the lexicon."""
    words = sha256(Path(lexicon.__file__).with_name("lexicon.tsv").read_bytes()).hexdigest()
    # code_switched is a former key without effect; the hash of published checkpoints contains it.
    return config_hash({**asdict(config), "code_switched": 0.0, "lexicon": words})


def world_of(checkpoint: str) -> WorldConfig:
    """The world of a checkpoint; InputError for another world.json than world.pretrain writes, or other words."""
    path = Path(checkpoint) / PROVENANCE
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        config = WorldConfig(**{key: value for key, value in made["config"].items() if key != "code_switched"})
        digest = made["config_hash"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not as world.pretrain writes it ({error!r}); pretrain the model again") from error
    if digest != world_hash(config):
        raise InputError(f"{path}: its world was made of other words than world/lexicon.tsv; pretrain the model again")
    return config


def main() -> None:
    if len(sys.argv) != 2:
        raise InputError("name one checkpoint, the folder with world.json")
    config = world_of(sys.argv[1])
    ordinary = config == WorldConfig(seed=config.seed)
    keys = {"out": f"results/world_{config.seed}{'' if ordinary else f'_{world_hash(config)}'}/data"} | asdict(config)
    print(shlex.join(word for key, value in keys.items() for word in (f"--{key}", str(value))))


if __name__ == "__main__":
    run(main)
