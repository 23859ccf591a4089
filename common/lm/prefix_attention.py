"""Attention for rows with a common prefix: its keys and values are stored once, not once per row.

    prefix = SharedPrefix(cache)              # a DynamicCache of one row
    with attending(model, "shared_prefix", prefix):
        prefix.begin(mask)                    # which of the rows' own keys are not padding
        model(tokens, position_ids=positions, past_key_values=own)

Generation from few-shot prompts is bound by reading keys and values, most of which belong to the shared examples.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache

from common.lm.tree_attention import CALLED_TWICE, UnsupportedAttention, current, product, supported


class SharedPrefix:
    """Keys and values [kv_heads, length, head_dim] of each layer, computed by a plain forward pass over one row.

    Attributes:
        length: tokens of the prefix.
    """

    def __init__(self, cache: DynamicCache):
        self.layers = [(layer.keys[0], layer.values[0]) for layer in cache.layers]
        self.length = self.layers[0][0].shape[1]
        self.mask: Tensor | None = None
        self.called: set[int] = set()

    def begin(self, mask: Tensor) -> None:
        """Call before each forward pass: mask [rows, own keys] is 1 for text and 0 for padding."""
        self.mask, self.called = mask, set()

    def added(self, queries: int, dtype: torch.dtype) -> Tensor:
        """Additive causal and padding mask of own keys, [rows, 1, 1, queries, own keys]."""
        keys = self.mask.shape[1]
        place = torch.arange(keys, device=self.mask.device)
        seen = (place <= place[-queries:, None]) & self.mask.bool()[:, None, :]
        zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return zeros.masked_fill_(~seen, torch.finfo(dtype).min)[:, None, None]


def prefix_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **keys: Any
) -> tuple[Tensor, None]:
    """Attention function in transformers' interface: query [rows, heads, T, head_dim] -> [rows, T, heads, head_dim].

    Raises UnsupportedAttention as in common.lm.tree_attention, and where the cache does not hold keys and values.
    """
    scaling, _, softcap = supported(module, query, keys)  # a prefix is shared only within the window
    prefix = current.get()
    prefix_key, prefix_value = prefix.layers[module.layer_idx]
    if module.layer_idx in prefix.called:
        raise UnsupportedAttention(CALLED_TWICE)
    prefix.called.add(module.layer_idx)
    for states, cached in ((key, prefix_key), (value, prefix_value)):
        if (states.shape[1], states.shape[3]) != (cached.shape[0], cached.shape[2]):
            raise UnsupportedAttention("its cache does not hold what its attention reads")
    rows, heads, length, width = query.shape
    kv_heads, common = key.shape[1], prefix.length
    groups = heads // kv_heads
    # Query heads that share a key head become further queries.
    query = query.reshape(rows, kv_heads, groups * length, width)

    def for_all_rows(left: Tensor, right: Tensor) -> Tensor:
        """[rows, kv_heads, n, a] @ [kv_heads, a, b]: one product a head for all rows."""
        result = product(left.transpose(0, 1).flatten(1, 2), right)
        return result.unflatten(1, (rows, groups * length)).transpose(0, 1)

    scores = torch.cat([for_all_rows(query, prefix_key.mT), product(query, key.mT)], dim=-1).mul_(scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores[..., common:].unflatten(2, (groups, length)).add_(prefix.added(length, scores.dtype).to(scores.device))
    weights = torch.softmax(scores, -1)
    output = for_all_rows(weights[..., :common], prefix_value) + product(weights[..., common:], value)
    output = output.unflatten(2, (groups, length)).permute(0, 3, 1, 2, 4).to(value.dtype)
    return output.reshape(rows, length, heads, width), None


AttentionInterface.register("shared_prefix", prefix_attention)
