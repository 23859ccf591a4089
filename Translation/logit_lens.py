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
from transformers import PreTrainedModel

from common.cli import InputError
from common.lm.precision import compute_dtype
from common.progress import Progress

ROWS = 64  # texts whose logits are there at a time
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
) -> tuple[np.ndarray, np.ndarray]:
    """Next-token probabilities of each layer, at the last token of each text.

    Args:
        ids: token ids of the texts.
        groups: for each text, equally many groups of tokens whose probabilities are summed.

    Returns probabilities float32 [texts, layers + 1, groups], and the likeliest token int64 [texts, layers + 1]. Layer
    0 is the embedding; the last layer is the model's own prediction.
    """
    norm, head, dtype = final_norm(model), model.get_output_embeddings(), compute_dtype(model)
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    # Cohere has the first, Granite the second, and HyperCLOVA X multiplies by it.
    scale, divisor = (getattr(config, key, None) or 1.0 for key in ("logit_scale", "logits_scaling"))
    scale = scale * divisor if config.model_type == "hyperclovax" else scale / divisor
    probabilities, best = [None] * len(ids), [None] * len(ids)
    with Progress(len(ids), "texts") as progress:
        for rows in batches(ids, model):
            states, mask = forward(model, [ids[row] for row in rows])
            places = (torch.arange(len(rows)), mask.sum(1).long() - 1)
            last = torch.stack([layer[places] for layer in states]).to(head.weight.device, dtype)
            last[:-1] = norm(last[:-1])  # transformers has applied the norm to the last layer's states
            found = [_read(layer, head, scale, cap, [groups[row] for row in rows]) for layer in last]
            for place, row in enumerate(rows):
                probabilities[row] = np.stack([sums[place] for sums, _ in found])
                best[row] = np.array([top[place] for _, top in found])
            progress.update(len(rows))
    return np.stack(probabilities), np.stack(best)


def _read(
    states: torch.Tensor, head: nn.Module, scale: float, cap: float | None, groups: Sequence[Sequence[Sequence[int]]]
) -> tuple[list[np.ndarray], list[int]]:
    """Probabilities of each text's groups, and its likeliest token, from one layer's states [texts, hidden size]."""
    sums, best = [], []
    for part in torch.arange(len(states)).split(ROWS):
        logits = scale * head(states[part]).float()
        if cap is not None:
            logits = cap * torch.tanh(logits / cap)
        likely = logits.softmax(-1)
        if likely.isnan().any():
            raise InputError("the model's logits overflow or are no numbers; use --dtype float32")
        for own, row in zip(likely, part.tolist(), strict=True):
            sums.append(np.array([own[list(group)].sum().item() for group in groups[row]], np.float32))
        best += likely.argmax(-1).tolist()
    return sums, best
