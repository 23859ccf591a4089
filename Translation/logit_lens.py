"""Logit lens: the next-token distribution that each layer's hidden state gives under the model's own head.

    probabilities, best = lens(model, ids, tokens)

For any causal LM of transformers with a final norm before its head (nostalgebraist 2020; Wendler et al.,
arXiv 2402.10588).
"""

from collections.abc import Sequence

import numpy as np
import torch
from hidden_states import batches, forward
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from common.cli import InputError
from common.lm.precision import compute_dtype

NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")  # names of final norms in transformers


def final_norm(model: PreTrainedModel) -> nn.Module:
    """The norm between a model's last layer and its head; InputError where it has none of the usual names."""
    decoder = model.get_decoder()
    for name in NORMS:
        if isinstance(norm := getattr(decoder, name, None), nn.Module):
            return norm
    raise InputError(f"{type(model).__name__}: no final norm under the names {', '.join(NORMS)}; the lens needs one")


@torch.inference_mode()
def lens(
    model: PreTrainedModel,
    ids: Sequence[Sequence[int]],
    groups: Sequence[Sequence[Sequence[int]]],
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Next-token probabilities of each layer, at the last token of each text.

    Args:
        ids: token ids of the texts.
        groups: for each text, equally many groups of tokens whose probabilities are summed.

    Returns probabilities float32 [texts, layers + 1, groups], and the likeliest token int64 [texts, layers + 1]. Layer
    0 is the embedding; the last layer is the model's own prediction.
    """
    norm, head, dtype = final_norm(model), model.get_output_embeddings(), compute_dtype(model)
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    probabilities, best = [None] * len(ids), [None] * len(ids)
    with tqdm(total=len(ids), unit="text", disable=not progress) as bar:
        for rows in batches(ids):
            states, mask = forward(model, [ids[row] for row in rows])
            last = states[:, torch.arange(len(rows)), mask.sum(1).long() - 1].to(head.weight.device, dtype)
            last[:-1] = norm(last[:-1])  # transformers has applied the norm to the last layer's states
            logits = head(last).float()
            if cap is not None:
                logits = cap * torch.tanh(logits / cap)
            likely, top = logits.softmax(-1), logits.argmax(-1)
            for place, row in enumerate(rows):
                sums = [likely[:, place, list(group)].sum(-1) for group in groups[row]]
                probabilities[row] = torch.stack(sums, dim=-1).cpu().numpy()
                best[row] = top[:, place].cpu().numpy()
            bar.update(len(rows))
    return np.stack(probabilities), np.stack(best)
