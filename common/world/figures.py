"""What a world model knows in which language: the accuracies watched during pretraining and kept beside a checkpoint.

figures = measure(model, tokenizer, make_universe(config), config)
"""

import random
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.choices import Item, build_settings
from common.generation import generate
from common.languages import PAPER
from common.prompts import LETTERS, mmlu_prompt, translation_prompt
from common.scoring import score_continuations
from common.world.config import WorldConfig
from common.world.facts import ENGLISH_ONLY, SHARED, Universe
from common.world.grammar import acceptable, content, realise
from common.world.items import parallel_items
from common.world.lexicon import draw_form, spoken
from common.world.stream import parallel_sentences

WORD_TOKENS, SENTENCE_TOKENS = 6, 24  # longest answers


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    universe: Universe,
    config: WorldConfig,
    limit: int | None = None,
) -> dict[str, tuple[int, int]]:
    """(right, asked) of each ability; `limit` asks that many questions of each kind, spread over the subjects.

    shared_in_language: shared facts asked in each of the paper's languages; english_only_in_english: what it says;
    english_only_elsewhere: the same facts asked in de, fr, es, it; english_only_mixup: question and options in five
    languages; translation_words: single words; translation_sentences: content words of held-out sentences.
    """
    items = parallel_items(universe, config, "test")
    parallel = {lang: [item for item in items[lang] if item.subject.startswith(ENGLISH_ONLY)] for lang in PAPER}
    shared = [item for lang in PAPER for item in items[lang] if item.subject.startswith(SHARED)]
    asked = {
        "shared_in_language": shared,
        "english_only_in_english": parallel["en"],
        "english_only_elsewhere": [item for lang in PAPER[1:] for item in parallel[lang]],
        "english_only_mixup": build_settings(parallel, PAPER, config.seed)["mixup"],
    }
    figures = {name: _answered(model, tokenizer, _spread(questions, limit)) for name, questions in asked.items()}
    figures["translation_words"] = _words(model, tokenizer, config, limit)
    figures["translation_sentences"] = _sentences(model, tokenizer, config, limit)
    return figures


def _spread(questions: Sequence[Item], limit: int | None) -> Sequence[Item]:
    return questions if limit is None else random.Random(0).sample(questions, min(limit, len(questions)))


def _answered(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item]) -> tuple[int, int]:
    """How many zero-shot questions get the right letter."""
    prompts = [mmlu_prompt(item) for item in items]
    letters = [f" {letter}" for letter in LETTERS]
    best = score_continuations(model, tokenizer, prompts, letters, progress=False).argmax(1)
    return sum(LETTERS[choice] == item.answer for choice, item in zip(best, items, strict=True)), len(items)


def _words(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: WorldConfig, limit: int | None
) -> tuple[int, int]:
    """How many single words are translated by one of their accepted forms, from and into English."""
    rng = random.Random(f"words {config.seed}")
    prompts, accepted = [], []
    for concept in spoken():
        other = rng.choice(PAPER[1:])
        source, target = rng.sample(["en", other], 2)
        prompts.append(translation_prompt(draw_form(concept, source, rng).text, source, target))
        accepted.append(acceptable(concept.id, target))
    prompts, accepted = prompts[:limit], accepted[:limit]
    answers = generate(model, tokenizer, prompts, WORD_TOKENS, progress=False)
    return sum(answer.text.lower() in right for answer, right in zip(answers, accepted, strict=True)), len(prompts)


def _sentences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: WorldConfig, limit: int | None
) -> tuple[int, int]:
    """How many content words of held-out sentences appear in their translations from and into English."""
    rng = random.Random(f"sentences {config.seed}")
    prompts, accepted = [], []
    for sentence in parallel_sentences(config)[:limit]:
        source, target = rng.sample(["en", rng.choice(PAPER[1:])], 2)
        prompts.append(translation_prompt(realise(sentence, source, rng), source, target))
        accepted.append([acceptable(concept, target) for concept in content(sentence)])
    answers = generate(model, tokenizer, prompts, SENTENCE_TOKENS, progress=False)
    right = asked = 0
    for answer, words in zip(answers, accepted, strict=True):
        said = set(answer.text.lower().replace("'", " ").strip(" .").split())
        right += sum(bool(said & forms) for forms in words)
        asked += len(words)
    return right, asked
