"""Hidden states of every layer: pooled over a text, or at its last token.

    vectors = pooled_states(model, ids, "mean")    # float32 [texts, layers + 1, hidden size]

Layer 0 is the embedding of tokens. As everywhere in transformers, the last layer is after the final norm.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from common.cli import InputError
from common.progress import Progress

TOKEN_BUDGET = {"cpu": 2048, "cuda": 8192}  # tokens in a batch, padding counted
STATES = 2**30  # numbers, 2 GB in half precision
Pooling = Literal["mean", "last"]


@torch.inference_mode()
def pooled_states(
    model: PreTrainedModel,
    ids: Sequence[Sequence[int]],
    pooling: Pooling,
    *,
    skip: Sequence[int] = (),
) -> np.ndarray:
    """One vector per text and layer: the mean over its tokens, or its last token; tokens of `skip` (BOS) do not count.

    Returns float32 [texts, layers + 1, hidden size]. Raises InputError for a text without other tokens, and for states
    that are no numbers.
    """
    skipped = set(skip)
    if (row := next((row for row, own in enumerate(ids, 1) if not set(own) - skipped), None)) is not None:
        raise InputError(f"text {row} has no token to take the hidden states of; leave it out")
    result: np.ndarray | None = None
    with Progress(len(ids), "texts") as progress:
        for rows in batches(ids, model):
            states, mask = forward(model, [ids[row] for row in rows])
            for place, row in enumerate(rows):
                for position, token in enumerate(ids[row]):
                    if token in skipped:
                        mask[place, position] = 0
            if pooling == "mean":
                vectors = weighted(states, mask)
            else:
                last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)
                vectors = at_positions(states, last)
            if result is None:
                result = np.empty((len(ids), *vectors.shape[1:]), dtype=np.float32)
            result[rows] = vectors
            if not np.isfinite(result[rows]).all():
                raise InputError("the model's hidden states overflow or are no numbers; use --dtype float32")
            progress.update(len(rows))
    return result if result is not None else np.empty((0, 0, 0), dtype=np.float32)


def batches(ids: Sequence[Sequence[int]], model: PreTrainedModel) -> Iterator[list[int]]:
    """Batches of rows by length, longest first, within TOKEN_BUDGET, and with STATES at most in all layers together."""
    config, order = model.config.get_text_config(), sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
    most = TOKEN_BUDGET.get(model.device.type, TOKEN_BUDGET["cuda"])
    budget = min(most, STATES // (config.hidden_size * (config.num_hidden_layers + 1)))
    while order:
        count = max(1, budget // max(1, len(ids[order[0]])))
        yield order[:count]
        order = order[count:]


def weighted(states: Sequence[torch.Tensor], weights: torch.Tensor) -> np.ndarray:
    """Means of each layer's states with weights [rows, tokens]: float32 [rows, layers, hidden size]."""
    shares = (weights / weights.sum(1, keepdim=True)).to(states[0].device)
    return torch.stack([torch.einsum("bth,bt->bh", layer.float(), shares) for layer in states], 1).cpu().numpy()


def at_positions(states: Sequence[torch.Tensor], positions: torch.Tensor) -> np.ndarray:
    """Each layer's states at one position a row, [rows]: float32 [rows, layers, hidden size]."""
    rows = torch.arange(len(positions))
    return torch.stack([layer[rows, positions].float() for layer in states], 1).cpu().numpy()


def forward(model: PreTrainedModel, ids: Sequence[Sequence[int]]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states of each layer, [rows, tokens, hidden size] in the model's precision, and a mask [rows, tokens].

    The mask is 0 for padding, which is behind the texts.
    """
    width, limit = max(map(len, ids)), getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and width > limit:
        raise InputError(f"a text of {width} tokens is longer than the model's {limit} positions; shorten or cut it")
    tokens = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros(len(ids), width)
    for row, own in enumerate(ids):
        tokens[row, : len(own)] = torch.tensor(own)
        mask[row, : len(own)] = 1
    device = model.device
    output = model(
        tokens.to(device), attention_mask=mask.long().to(device), output_hidden_states=True, use_cache=False,
        logits_to_keep=1,
    )  # fmt: skip
    return [state.to(device) for state in output.hidden_states], mask
