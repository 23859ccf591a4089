"""TOFU's measures of an answer (Maini et al., arXiv 2401.06121, section 2.2), and their means by language."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from common.reporting.stats import paired_bootstrap

NAME = "answers"  # subfolder of a run that holds the written answers
# Characters of scripts without spaces; each counts as a word.
UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff])")


class Words(Tokenizer):
    """Words in lower case, in any script; the library's own tokenizer drops every letter outside a to z."""

    def tokenize(self, text: str) -> list[str]:
        # Marks belong to letters: the vowel signs of Hindi and Bengali are no letters by themselves.
        kept = [char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in text.lower()]
        return UNSPACED.sub(r" \1 ", "".join(kept)).split()


ROUGE = RougeScorer(["rougeL"], tokenizer=Words())


def rouge_l_recall(reference: str, answer: str) -> float:
    """Share of the reference's words in the longest common subsequence with the answer, 0 to 1; words unstemmed."""
    return ROUGE.score(reference, answer)["rougeL"].recall


def normalized_probability(logprob: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """P(answer | question)^(1 / tokens), 0 to 1; `logprob` in nats over all tokens of the answer. Same shapes."""
    return np.exp(np.asarray(logprob, float) / np.asarray(tokens, float))


def truth_ratio(true: float, perturbed: Sequence[float]) -> float:
    """Mean normalized probability of the perturbed answers over that of the true one.

    0 and up, 1 where the model cannot tell them apart; NaN without perturbations. The mean is the arithmetic one, as in
    the paper's equation and in `get_model_utility` of its code; the ratio that the code logs has the geometric one.
    """
    if not len(perturbed) or np.isnan(true):
        return float("nan")
    return float(np.mean(perturbed) / true) if true > 0 else float("inf")


def summarize(tables: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Mean of each measure by language with its 95% bootstrap interval, and the paired difference from English.

    Columns language, measure, n, value, ci_low, ci_high, delta_vs_en, delta_low, delta_high. Rows without the measure
    are left out. `truthfulness` is max(0, 1 - truth ratio), as TOFU adds it up.
    """
    measures = {code: measured(table) for code, table in tables.items()}
    rows = []
    for code, table in measures.items():
        for name in table:
            values = table[name].dropna()
            row = {"language": code, "measure": name, "n": len(values)}
            none = np.zeros(len(values))
            row |= dict(zip(("value", "ci_low", "ci_high"), paired_bootstrap(values, none, seed=seed), strict=True))
            if code != "en" and "en" in measures:
                difference = paired_bootstrap(values, measures["en"].loc[values.index, name], seed=seed)
                row |= dict(zip(("delta_vs_en", "delta_low", "delta_high"), difference, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """The measures of each question as numbers, by id."""
    numbers = table.set_index("id")[["probability", "truth_ratio", "rouge_l_recall"]].replace("", np.nan).astype(float)
    numbers["truth_ratio"] = (1 - numbers["truth_ratio"]).clip(lower=0)
    return numbers.rename(columns={"truth_ratio": "truthfulness"})
