"""Passages of a corpus, and copies of them with words or tokens replaced at random.

mixed = mixed_language(passages, 0.16, ("de", "fr"), translator, seed=42)
"""

import random
from collections.abc import Sequence
from difflib import SequenceMatcher

from transformers import PreTrainedTokenizerBase

from common.cli import InputError
from common.corpus import read_documents
from common.translation.base import Translator

WORDS = (20, 100)  # fewest words of a passage, and where longer ones are cut


def read_passages(
    source: str, subset: str | None, split: str, count: int, seed: int, detokenize: bool = False
) -> list[str]:
    """`count` paragraphs of at least 20 words, truncated to 100, drawn at random from a corpus of any layout."""
    texts = [row.text for row in read_documents(source, subset, split, "rows", detokenize)]
    shortest, longest = WORDS
    passages = [" ".join(text.split()[:longest]) for text in texts if len(text.split()) >= shortest]
    if len(passages) < count:
        raise InputError(f"{source}: {len(passages)} passages of {shortest} words or more, {count} are asked for")
    return random.Random(f"passages {seed}").sample(passages, count)


def mixed_language(
    passages: Sequence[str], rate: float, languages: Sequence[str], translator: Translator, seed: int
) -> list[str]:
    """Each word translated from English with probability `rate`, into one of `languages` at random (section 3.2)."""
    choices = _choose(passages, rate, languages, seed)
    translations = _translate(choices, translator)
    return [
        " ".join(translations[language, word] if language else word for word, language in words) for words in choices
    ]


def random_words(
    passages: Sequence[str], rate: float, languages: Sequence[str], translator: Translator, seed: int
) -> list[str]:
    """As `mixed_language`, but each replaced word becomes the translation of another one.

    The inserted words are those of `mixed_language` over all passages, shuffled within each language. Languages,
    scripts and word frequencies are the same, to control for the mere presence of another language.
    """
    choices = _choose(passages, rate, languages, seed)
    translations = _translate(choices, translator)
    rng = random.Random(f"words {seed}")
    pools: dict[str, list[str]] = {}
    for words in choices:
        for word, language in words:
            if language:
                pools.setdefault(language, []).append(translations[language, word])
    for pool in pools.values():
        rng.shuffle(pool)
    return [" ".join(pools[language].pop() if language else word for word, language in words) for words in choices]


def _choose(passages: Sequence[str], rate: float, languages: Sequence[str], seed: int) -> list[list[tuple]]:
    """(word, language or None) of every word of every passage."""
    chosen = []
    for number, passage in enumerate(passages):
        rng = random.Random(f"mixed {seed} {number}")
        chosen.append([(w, rng.choice(languages) if rng.random() < rate else None) for w in passage.split()])
    return chosen


def _translate(choices: Sequence[Sequence[tuple]], translator: Translator) -> dict[tuple[str, str], str]:
    wanted: dict[str, dict[str, None]] = {}
    for words in choices:
        for word, language in words:
            if language:
                wanted.setdefault(language, {})[word] = None
    return {
        (language, word): translated
        for language, words in wanted.items()
        for word, translated in zip(words, translator.translate(list(words), "en", language), strict=True)
    }


def replaced_tokens(
    ids: Sequence[Sequence[int]], rate: float, tokenizer: PreTrainedTokenizerBase, seed: int
) -> list[list[int]]:
    """Each token replaced by a random one of the vocabulary with probability `rate`; special tokens stay."""
    special = set(tokenizer.all_special_ids)
    vocabulary = [token for token in range(len(tokenizer)) if token not in special]
    result = []
    for number, tokens in enumerate(ids):
        rng = random.Random(f"replaced {seed} {number}")
        result.append([t if t in special or rng.random() >= rate else rng.choice(vocabulary) for t in tokens])
    return result


def dropped_tokens(
    ids: Sequence[Sequence[int]], rate: float, tokenizer: PreTrainedTokenizerBase, seed: int
) -> list[list[int]]:
    """Each token left out with probability `rate`; special tokens stay, and one other token at least."""
    special = set(tokenizer.all_special_ids)
    result = []
    for number, tokens in enumerate(ids):
        rng = random.Random(f"dropped {seed} {number}")
        kept = [rng.random() >= rate for _ in tokens]
        own = [i for i, token in enumerate(tokens) if token not in special]
        if own and not any(kept[i] for i in own):
            kept[rng.choice(own)] = True
        result.append([t for t, keep in zip(tokens, kept, strict=True) if keep or t in special])
    return result


def share_replaced(original: str, changed: str) -> float:
    """Share of a passage's words that are not in the changed copy, in their order: what was really replaced or cut.

    It is below the rate where a translation is spelt like the English word, and above it where each of a word's several
    tokens may be replaced.
    """
    words, others = original.split(), changed.split()
    kept = sum(block.size for block in SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks())
    return 1 - kept / len(words)
