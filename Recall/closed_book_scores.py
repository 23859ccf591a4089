"""Scores of written answers to the questions of ECLeKTic and MultiLoKo, and what they say about languages.

    score, summarize = SCORES["multiloko"]
    rows = summarize(tables, seed)  # of answers by column: (language, measure, n, value, ci_low, ci_high)

ECLeKTic (arXiv 2502.21228): `source` is the score in the language a question was made in, `overall` that of knowing it
there and in another language, `transfer` the share of what is known there that is known in the other too.

MultiLoKo (arXiv 2504.10356; facebookresearch/multiloko, README.md): `accuracy` on a language's own questions,
`in_english` on the same in English, `from_english` on English questions in that language; `mother_tongue` is the first
minus the second, `locality` the first minus the third.
"""

import re
import string
import unicodedata
from collections.abc import Mapping

import numpy as np
import pandas as pd
from local_questions import Asked

from common.reporting.stats import LEVEL, wilson_by_question

RESAMPLES = 10_000
ALL = "all"
HAN = re.compile("([\u3400-\u9fff])")  # characters that are words in scripts without spaces
EDGE = r"(?:(?<!\d)|(?!\d))"  # not within a number
Row = tuple[str, str, int, float, float, float]


def normalized(text: str, language: str) -> str:
    """Lower case without punctuation and English articles, as facebookresearch/multiloko's eval.py compares answers."""
    kept = (c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    words = "".join(kept).split()
    return " ".join(word for word in words if language != "en" or word not in ("a", "an", "the"))


def found_words(said: str, row: Asked) -> float:
    """Share of the answer's words, or Chinese characters, that are written somewhere, 0 to 1; numbers as a whole.

    Parts of words count, since many languages write others onto them.
    """
    said, answer = (normalized(text, row.language) for text in (said, "".join(row.answers[:1])))
    words = HAN.sub(r" \1 ", answer).split()
    return float(np.mean([bool(re.search(f"{EDGE}{re.escape(word)}{EDGE}", said)) for word in words] or [0]))


def exact_match(said: str, row: Asked) -> float:
    """1 where one of the answers is written and nothing else, else 0."""
    said = normalized(said, row.language)
    return float(said != "" and said in {normalized(answer, row.language) for answer in row.answers})


def resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of [questions, ...] over questions drawn with replacement, [RESAMPLES, ...]."""
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(values), counts / len(values), RESAMPLES)
    return draws @ distinct / len(values)


def bootstrapped(language: str, measure: str, n: int, value: float, draws: np.ndarray) -> Row:
    """A measure with the interval of its resampled values; those that do not exist are left out."""
    tail = 50 * (1 - LEVEL)
    ends = np.nanpercentile(draws, [tail, 100 - tail]) if np.isfinite(value) else (np.nan, np.nan)
    return language, measure, n, value, *ends


def score_eclektic(tables: Mapping[str, pd.DataFrame], seed: int) -> list[Row]:
    """Each measure over all languages, and those of transfer by the language that is asked in.

    With s a question's score in its own language and t that in another one, or its mean over all others: overall is the
    mean of s t over questions, transfer the sum of s t over that of s.
    """
    scores = np.stack([table["score"].astype(float) for table in tables.values()], axis=1)
    origin = next(iter(tables.values()))["origin"].to_numpy()
    home = origin[:, None] == np.array(list(tables))
    own, elsewhere = scores[home], np.where(home, 0, scores).sum(axis=1) / (len(tables) - 1)
    rows = [bootstrapped(ALL, "source", len(own), own.mean(), resampled(own, seed))]
    parts = {ALL: (own, elsewhere)}
    parts |= {code: (own[~here], score[~here]) for code, score, here in zip(tables, scores.T, home.T, strict=True)}
    for code, (source, target) in parts.items():
        if n := len(source):
            pair = np.stack([source * target, source], axis=1)
            both, known = np.vstack([pair.mean(axis=0), resampled(pair, seed)]).T
            share = np.divide(both, known, out=np.full(len(both), np.nan), where=known > 0)
            rows += [bootstrapped(code, "overall", n, both[0], both[1:])]
            rows += [bootstrapped(code, "transfer", n, share[0], share[1:])]
    return rows


def score_multiloko(tables: Mapping[str, pd.DataFrame], seed: int) -> list[Row]:
    """The measures of each language, and of all; Wilson intervals of accuracies, bootstrap ones of differences.

    Questions of `mother_tongue` are drawn in pairs, those of `locality` of all languages together, English ones once.
    """
    scores = {column: table["score"].astype(float).to_numpy() for column, table in tables.items()}
    codes = [column for column in scores if "-" not in column]
    rows = []
    for name, chosen in [*((code, [code]) for code in codes), (ALL, codes)]:
        abroad = [code for code in chosen if code != "en"]
        right = {"accuracy": np.concatenate([scores[code] for code in chosen])[:, None]}
        effects: list[Row] = []
        if abroad:
            local, english = (np.concatenate([scores[code + end] for code in abroad]) for end in ("", "-en"))
            foreign = np.stack([scores[f"en-{code}"] for code in abroad], axis=1)
            right |= {"in_english": english[:, None], "from_english": foreign}
            change, gap = (local - english).mean(), local.mean() - foreign.mean()
            apart = resampled(local, seed) - resampled(foreign.mean(axis=1), seed + 1)
            effects.append(bootstrapped(name, "mother_tongue", len(local), change, resampled(local - english, seed)))
            effects.append(bootstrapped(name, "locality", len(local), gap, apart))
        rows += [(name, key, one.size, one.mean(), *wilson_by_question(one)) for key, one in right.items()]
        rows += effects
    return rows


SCORES = {"eclektic": (found_words, score_eclektic), "multiloko": (exact_match, score_multiloko)}
