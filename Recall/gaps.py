"""Score the candidates for a gap in a text: the mean log-probability per token of a candidate and what follows it.

    scores = gap_scores(model, tokenizer, ["The capital of France is "], [["Paris", "Rome"]], [""])  # [1, 2]

Candidates of several tokens count whole. Their mean per token is what mParaRel takes too (coastalcph/mpararel,
get_model_predictions.py: the mean over a candidate's masks); a sum would prefer candidates of few tokens, which are
others in each language. What stands behind the gap is scored with the candidate, since a model that reads from left to
right has not seen it when it comes to the gap.
"""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.lm.loglikelihood import loglikelihood
from common.lm.tokenization import leading_tokens, tokenize_pairs


def gap_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    before: Sequence[str],
    candidates: Sequence[Sequence[str]],
    behind: Sequence[str],
    token_budget: int | None = None,
) -> np.ndarray:
    """Scores in nats a token, float64 [texts, most candidates]; NaN for the missing ones of shorter lists.

    `before` and `behind` are the texts around the gap, [texts] each, with the blanks that belong there. InputError as
    in `common.lm.loglikelihood.loglikelihood`, and where the model gives NaN.
    """
    # A text that begins with its gap needs a token to predict from; without BOS, EOS is put before it.
    start = "" if len(leading_tokens(tokenizer)) else tokenizer.eos_token or ""
    prompts = [text.rstrip() or start for text in before]
    blanks = [" " if text != text.rstrip() else "" for text in before]
    continuations = [
        [f"{blank}{candidate}{rest}" for candidate in own]
        for blank, own, rest in zip(blanks, candidates, behind, strict=True)
    ]
    scores = loglikelihood(model, tokenizer, prompts, continuations, token_budget=token_budget).astype(float)
    for pair in tokenize_pairs(tokenizer, prompts, continuations):
        scores[pair.prompt, pair.continuation] /= len(pair.tokens) - pair.start
        if np.isnan(scores[pair.prompt, pair.continuation]):
            raise InputError(f"{before[pair.prompt]!r}: the model gives NaN; try --dtype float32")
    return scores
