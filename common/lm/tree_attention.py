"""Attention over a prefix tree, for any transformers model, through its attention interface.

A batch is a range of nodes in depth-first order, packed into one row. A query needs three kinds of keys: the path that
all nodes of the batch share (computed in earlier batches; one matrix product for all queries), the rest of its own
path, and its neighbours. The last two are gathered for small blocks of queries, so that the cost grows with nodes x
depth, not with nodes squared as with one dense mask. Of keys and values only those of the path to the next batch's
first node are kept.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, PreTrainedModel

from common.lm.prefix_tree import PrefixTree

BLOCK = 64  # queries that share their gathered keys; a multiple of precision.ROWS
KEY_MULTIPLE = 16  # alignment of matrix products
LONG_STEM = 128  # nodes without a branch that are worth a forward pass of their own

# What the attention layers of a forward pass work on: here a TreeBatch, in prefix_attention.py a SharedPrefix.
current: ContextVar = ContextVar("current")

How = tuple[float, int | None, float | None]  # scaling, sliding window, soft cap
CALLED_TWICE = "its attention layers are called more than once in a forward pass"


class UnsupportedAttention(Exception):
    """The model's attention has a feature that is not supported here; the message names it."""


def next_stop(tree: PrefixTree, start: int, budget: int) -> int:
    """End of the range of nodes that begins at `start`, at most `budget` nodes later.

    A long stem that all following nodes share is a range of its own, so that they share its keys. Otherwise the range
    ends before the node nearest to a root, so that the nodes of the next range have a long path in common.
    """
    stop = min(start + budget, len(tree))
    depth = tree.depth[start:stop]
    lowest_after = np.minimum.accumulate(depth[::-1])[::-1][1:]
    in_stem = (depth[:-1] == depth[0] + np.arange(len(depth) - 1)) & (lowest_after > depth[:-1])
    if (stem := int(np.argmin(np.append(in_stem, False)))) >= LONG_STEM:
        return start + stem
    if stop == len(tree):
        return stop
    half = start + (budget + 1) // 2
    return stop - int(np.argmin(tree.depth[half : stop + 1][::-1]))


class TreeBatch:
    """Nodes [start, stop) of a tree and their attention pattern; one object for all layers of one forward pass.

    `past` has, by layer, keys and values [1, kv_heads, depth[start], head_dim] of the path to `start`; after the pass
    `new_past` has the same for node `stop`. `common` is the length of the path that all nodes share.
    """

    def __init__(self, tree: PrefixTree, start: int, stop: int, past: dict[int, tuple]):
        self.past, self.new_past = past, {}
        self.tree, self.start, self.size = tree, start, stop - start
        self.common = int(tree.depth[start:stop].min())
        self._on_device: dict[tuple, Tensor] = {}
        # The keys that every block of queries gathers, and the path that the next batch needs.
        start_depth = int(tree.depth[start])
        path = np.empty(max(start_depth, int(tree.depth[start:stop].max()) + 1), np.int64)
        if tree.parent[start] >= 0:
            path[:start_depth] = tree.path(tree.parent[start])
        blocks = []
        for first in range(start, stop, BLOCK):
            nodes = np.arange(first, min(first + BLOCK, stop))
            blocks.append((np.concatenate([path[self.common : tree.depth[first]], nodes]), nodes))
            # Of all nodes of one depth so far, the latest is on the path to the next node.
            path[tree.depth[nodes]] = nodes
        self.blocks = len(blocks)
        self.width = -(-max(len(keys) for keys, _ in blocks) // KEY_MULTIPLE) * KEY_MULTIPLE
        keys = np.full((self.blocks, self.width), -1, np.int64)
        queries = np.full((self.blocks, BLOCK), -1, np.int64)
        for i, (key_nodes, query_nodes) in enumerate(blocks):
            keys[i, : len(key_nodes)] = key_nodes
            queries[i, : len(query_nodes)] = query_nodes
        self._keys, self._queries = {"gathered": keys, "common": path[None, : self.common]}, queries
        next_path = path[: tree.depth[stop]] if stop < len(tree) else path[:0]
        # Places in [path to start] + [start, stop); those of padding are never seen.
        places = np.append(tree.depth[:start], start_depth + np.arange(stop - start))
        self._slots = {"gathered": np.where(keys < 0, 0, places[keys]).ravel(), "next": places[next_path]}

    def slots(self, name: str, device: torch.device) -> Tensor:
        """Slots of `gathered` keys, [blocks * width], or of the path to the `next` batch's first node, [its depth]."""
        return self._cached((name, device), lambda: torch.from_numpy(self._slots[name]).to(device))

    def mask(self, keys: str, like: Tensor, groups: int, window: int | None) -> Tensor:
        """Additive mask [blocks, groups * BLOCK, keys] of `gathered` or `common`: a query sees its path in `window`."""

        def make() -> Tensor:
            nodes, depths, ends = self._keys[keys], self.tree.depth[self._keys[keys]], self.tree.end[self._keys[keys]]
            nodes, depths, ends = (torch.from_numpy(one).to(like.device)[:, None, :] for one in (nodes, depths, ends))
            own = (self._queries, self.tree.depth[self._queries])
            queries, query_depths = (torch.from_numpy(one).to(like.device)[:, :, None] for one in own)
            seen = (nodes >= 0) & (nodes <= queries) & (queries < ends)
            if window is not None:
                seen &= query_depths - depths < window
            seen |= queries < 0  # padding queries attend to all; nobody reads their output
            mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
            return mask.masked_fill_(~seen, torch.finfo(like.dtype).min).repeat(1, groups, 1)

        return self._cached((keys, like.dtype, like.device, groups, window), make)

    def _cached(self, name: tuple, make: Callable[[], Tensor]) -> Tensor:
        if name not in self._on_device:
            self._on_device[name] = make()
        return self._on_device[name]


def tree_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **keys: Any
) -> tuple[Tensor, None]:
    """Attention function in transformers' interface: query [1, heads, T, head_dim] -> output [1, T, heads, head_dim].

    Raises UnsupportedAttention for attention sinks, position biases or non-causal attention.
    """
    how = supported(module, query, keys)
    batch = current.get()
    if module.layer_idx in batch.new_past:
        raise UnsupportedAttention(CALLED_TWICE)
    if module.layer_idx in batch.past:
        past_key, past_value = batch.past[module.layer_idx]
        key, value = torch.cat([past_key, key], dim=2), torch.cat([past_value, value], dim=2)
    next_slots = batch.slots("next", key.device)
    batch.new_past[module.layer_idx] = (key.index_select(2, next_slots), value.index_select(2, next_slots))
    return _attend(batch, query[0], key[0], value[0], how)[None].contiguous(), None


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right in float32, as fused kernels keep it: in bfloat16, large scores say little of differences."""
    if torch.version.cuda and right.is_cuda and right.dtype != torch.float32:
        both = (one.to(right.dtype).flatten(0, -3) for one in (left, right))
        return torch.bmm(*both, out_dtype=torch.float32).unflatten(0, left.shape[:-2])
    return left.float() @ right.float()


def supported(module: nn.Module, query: Tensor, keys: Mapping[str, Any]) -> How:
    """How an attention layer attends; UnsupportedAttention where it uses what is not supported here."""
    scaling, window, softcap = (keys.get(name) for name in ("scaling", "sliding_window", "softcap"))
    for name in ("s_aux", "position_bias"):
        if keys.get(name) is not None:
            raise UnsupportedAttention(f"its attention uses {name}")
    if not getattr(module, "is_causal", True) or keys.get("is_causal") is False:
        raise UnsupportedAttention("its attention is not causal")
    layer_types = getattr(module.config, "layer_types", None)
    if layer_types is None:
        has_window = getattr(module.config, "sliding_window", None) is not None
    else:
        has_window = layer_types[module.layer_idx] == "sliding_attention"
    if has_window and window is None:
        raise UnsupportedAttention("its attention layers do not pass on the length of their sliding window")
    return query.shape[-1] ** -0.5 if scaling is None else scaling, window, softcap


def _attend(batch: TreeBatch, query: Tensor, key: Tensor, value: Tensor, how: How) -> Tensor:
    """query [heads, T, head_dim]; key, value [kv_heads, path + T, head_dim] -> [T, heads, head_dim]."""
    scaling, window, softcap = how
    heads, kv_heads, common = query.shape[0], key.shape[0], batch.common
    groups = heads // kv_heads
    slots = batch.slots("gathered", key.device)
    gathered_key, gathered_value = (
        states.index_select(1, slots).unflatten(1, (batch.blocks, batch.width)) for states in (key, value)
    )
    # Query heads that share a key head become further rows: [kv_heads, blocks, groups * BLOCK, head_dim].
    rows = pad(query, (0, 0, 0, batch.blocks * BLOCK - query.shape[1]))
    rows = rows.view(kv_heads, groups, batch.blocks, BLOCK, -1).transpose(1, 2).flatten(2, 3)
    by_block = (batch.blocks, groups * BLOCK)

    common_scores = product(rows.flatten(1, 2), key[:, :common].mT).unflatten(1, by_block).mul_(scaling)
    scores = product(rows, gathered_key.mT).mul_(scaling)
    if softcap is not None:
        common_scores, scores = (softcap * torch.tanh(part / softcap) for part in (common_scores, scores))
    if window is not None:
        common_scores += batch.mask("common", scores, groups, window)
    scores += batch.mask("gathered", scores, groups, window)
    weights = torch.cat([common_scores, scores], dim=-1)
    torch.softmax(weights, -1, out=weights)
    output = product(weights[..., :common].flatten(1, 2), value[:, :common]).unflatten(1, by_block)
    output += product(weights[..., common:], gathered_value)

    output = output.unflatten(2, (groups, BLOCK)).permute(1, 3, 0, 2, 4)  # [blocks, BLOCK, kv_heads, groups, head_dim]
    return output.reshape(batch.blocks * BLOCK, heads, -1)[: query.shape[1]].to(value.dtype)


AttentionInterface.register("prefix_tree", tree_attention)


@contextmanager
def attending(model: PreTrainedModel, name: str, work: Any) -> Iterator[None]:
    """Inside the block, `model` attends through the function registered as `name`, to `work`; afterwards as before."""
    before, token = model.config._attn_implementation, current.set(work)
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        current.reset(token)
