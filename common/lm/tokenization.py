"""Tokenize prompt and continuation together, so that a continuation is scored by the tokens that really follow.

In `"Answer:" + " A"` the letter is the token ` A` under byte-level BPE, `▁A` under SentencePiece, and two tokens where
the vocabulary has no such piece; tokenizing the letter alone (`tokenizer("A")`) gives another token in each case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from common.cli import InputError
from common.lm.prefix_tree import common_prefix


@dataclass(frozen=True)
class TokenizedPair:
    """One prompt with one of its continuations.

    Attributes:
        prompt, continuation: index of the prompt, and of the continuation among the prompt's.
        tokens: [length] int64, both together.
        start: first token of the continuation; it may contain the last characters of the prompt where the tokenizer
            merges across the boundary.
        prompt_tokens: tokens of the prompt alone.
    """

    prompt: int
    continuation: int
    tokens: np.ndarray
    start: int
    prompt_tokens: int


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], continuations: Sequence[Sequence[str | Sequence[int]]]
) -> list[TokenizedPair]:
    """Tokenize every prompt with each of its continuations (strings, or token ids to append).

    Raises InputError where different continuations of a prompt have the same tokens, or one of them has no token.
    """
    bos = leading_tokens(tokenizer)
    alone = _encode(tokenizer, list(prompts))
    together = _encode_together(tokenizer, prompts, continuations, alone)
    pairs = []
    for p, options in enumerate(continuations):
        seen: dict[bytes, str | Sequence[int]] = {}
        prefix = _missing(bos, alone[p])
        for c, option in enumerate(options):
            tokens = np.concatenate([prefix, together[p][c]])
            start = len(prefix) + common_prefix(alone[p], together[p][c])
            if start == len(tokens):
                raise InputError(f"continuation {option!r} of prompt {p} adds no token to it")
            if start == 0:
                raise InputError(f"prompt {p} is empty and the tokenizer has no start token to predict from")
            other = seen.setdefault(tokens[start:].tobytes(), option)
            if other != option:
                raise InputError(f"continuations {other!r} and {option!r} of prompt {p} are the same tokens")
            pairs.append(TokenizedPair(p, c, tokens, start, len(prefix) + len(alone[p])))
    return pairs


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """Tokens of each prompt for generation: with BOS if the tokenizer adds one, without EOS."""
    bos = leading_tokens(tokenizer)
    return [[*_missing(bos, ids).tolist(), *ids.tolist()] for ids in _encode(tokenizer, list(prompts))]


def _missing(bos: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The leading tokens to add: BOS, unless the text already has it, as that of a chat template."""
    return bos[:0] if np.array_equal(tokens[: len(bos)], bos) else bos


def leading_tokens(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Special tokens that the tokenizer puts before a text (BOS), [n] int64; those after it are never used."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for n in range(len(full) - len(bare) + 1):
        if full[n : n + len(bare)] == bare:
            return np.array(full[:n], np.int64)
    raise InputError(f"the tokenizer of {tokenizer.name_or_path} changes a text when it adds special tokens")


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[np.ndarray]:
    if not texts:
        return []
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return [np.array(row, np.int64) for row in ids]


def _encode_together(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    continuations: Sequence[Sequence[str | Sequence[int]]],
    alone: list[np.ndarray],
) -> list[list[np.ndarray]]:
    """Tokens of prompt + continuation for every continuation, without special tokens.

    A tokenizer that first splits text into words, and at line ends, gives the last line the same tokens whatever
    precedes it. Then only last lines ("Answer: A"), most of them equal, are tokenized again, provided that the prompt's
    tokens end with those of its last line. Otherwise, and with tokenizers that do not split text first (SentencePiece),
    the whole text is tokenized for every continuation.
    """
    splitter = getattr(getattr(tokenizer, "backend_tokenizer", None), "pre_tokenizer", None)
    apart = splitter and any(begin == 2 for _, (begin, _) in splitter.pre_tokenize_str("a\nAnswer: A"))
    again = [prompt[prompt.rfind("\n") + 1 :] if apart else prompt for prompt in prompts]  # what is tokenized again
    lasts = _encode_distinct(tokenizer, again)
    kept = []  # first tokens of each prompt that are not
    for p, line in enumerate(again):
        count = len(alone[p]) - len(lasts[line])
        as_before = 0 < count < len(alone[p]) and np.array_equal(alone[p][count:], lasts[line])
        kept.append(count if as_before else 0)
        again[p] = line if as_before else prompts[p]
    texts = [again[p] + c for p, options in enumerate(continuations) for c in options if isinstance(c, str)]
    encoded = _encode_distinct(tokenizer, texts)

    def together(p: int, c: str | Sequence[int]) -> np.ndarray:
        if isinstance(c, str):
            return np.concatenate([alone[p][: kept[p]], encoded[again[p] + c]])
        return np.concatenate([alone[p], np.asarray(c, np.int64)])

    return [[together(p, c) for c in options] for p, options in enumerate(continuations)]


def _encode_distinct(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, np.ndarray]:
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, _encode(tokenizer, distinct), strict=True))
