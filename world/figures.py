"""What a model knows in which language: accuracies printed during pretraining and kept beside a checkpoint.

figures = measure(model, tokenizer, make_universe(config), config)
"""

import random
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.languages import PAPER
from common.lm.generation import generate
from common.lm.loglikelihood import loglikelihood
from common.prompts import mmlu_prompt, translation_prompt
from common.questions import FOUR, Question
from common.settings import build_settings
from world.config import WorldConfig
from world.facts import ENGLISH_ONLY, SHARED, Universe
from world.grammar import acceptable, content, realise
from world.items import parallel_items
from world.lexicon import draw_form, spoken
from world.stream import parallel_sentences

WORD_TOKENS, SENTENCE_TOKENS = 6, 24  # longest answers


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    universe: Universe,
    config: WorldConfig,
    limit: int | None = None,
) -> dict[str, np.ndarray]:
    """Whether each answer is right, 0 or 1 [questions, languages], by name; `limit` is the most answers of each name.

    shared_in_language: shared facts in each of the paper's languages; english_only_in_english: English-only facts in
    English; english_only_elsewhere: the same facts in de, fr, es, it; english_only_mixup: the same with question and
    options in five languages; translation_words: single words; translation_sentences: content words of held-out
    sentences.
    """
    items = parallel_items(universe, config, "test")
    parallel = {lang: [item for item in items[lang] if item.subject.startswith(ENGLISH_ONLY)] for lang in PAPER}
    asked = {
        "shared_in_language": [[item for item in items[lang] if item.subject.startswith(SHARED)] for lang in PAPER],
        "english_only_in_english": [parallel["en"]],
        "english_only_elsewhere": [parallel[lang] for lang in PAPER[1:]],
        "english_only_mixup": [build_settings(parallel, PAPER, config.seed)["mixup"]],
    }
    figures = {name: _answered(model, tokenizer, versions, limit) for name, versions in asked.items()}
    figures["translation_words"] = _words(model, tokenizer, config, limit)
    figures["translation_sentences"] = _sentences(model, tokenizer, config, limit)
    return figures


def _answered(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    versions: Sequence[Sequence[Question]],
    limit: int | None,
) -> np.ndarray:
    """Which zero-shot questions are answered correctly; `versions` has the same questions in each language."""
    questions = list(zip(*versions, strict=True))
    if limit is not None:  # spread over the subjects
        questions = random.Random(0).sample(questions, min(limit // len(versions), len(questions)))
    items = [item for question in questions for item in question]
    prompts = [mmlu_prompt(item) for item in items]
    letters = [f" {letter}" for letter in FOUR]
    best = loglikelihood(model, tokenizer, prompts, letters).argmax(1)
    right = [FOUR[choice] == item.answer for choice, item in zip(best, items, strict=True)]
    return np.array(right, int).reshape(len(questions), len(versions))


def _words(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: WorldConfig, limit: int | None
) -> np.ndarray:
    """Which single words are translated as one of their accepted forms, from and into English."""
    rng = random.Random(f"words {config.seed}")
    prompts, accepted = [], []
    for concept in spoken():
        other = rng.choice(PAPER[1:])
        source, target = rng.sample(["en", other], 2)
        prompts.append(translation_prompt(draw_form(concept, source, rng).text, source, target))
        accepted.append(acceptable(concept.id, target))
    prompts, accepted = prompts[:limit], accepted[:limit]
    answers = generate(model, tokenizer, prompts, WORD_TOKENS)
    right = [answer.text.lower() in forms for answer, forms in zip(answers, accepted, strict=True)]
    return np.array(right, int)[:, None]


def _sentences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: WorldConfig, limit: int | None
) -> np.ndarray:
    """Which content words of held-out sentences are in their translations from and into English."""
    rng = random.Random(f"sentences {config.seed}")
    prompts, accepted = [], []
    for sentence in parallel_sentences(config)[:limit]:
        source, target = rng.sample(["en", rng.choice(PAPER[1:])], 2)
        prompts.append(translation_prompt(realise(sentence, source, rng), source, target))
        accepted.append([acceptable(concept, target) for concept in content(sentence)])
    answers = generate(model, tokenizer, prompts, SENTENCE_TOKENS)
    right = []
    for answer, words in zip(answers, accepted, strict=True):
        said = set(answer.text.lower().replace("'", " ").strip(" .").split())
        right += [bool(said & forms) for forms in words]
    return np.array(right, int)[:, None]
