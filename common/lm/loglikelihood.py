"""log P(continuation | prompt) for many prompts with a few continuations each; shared prefixes are computed once.

    logprobs = loglikelihood(model, tokenizer, prompts, [" A", " B", " C", " D"])  # [prompts, 4]

All token sequences form one prefix tree (common/lm/prefix_tree.py), which is split into ranges of `token_budget` nodes,
one forward pass each (common/lm/tree_attention.py). The LM head sees only positions that predict a token of a
continuation. Models whose attention does not support a tree are computed in plain padded batches.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.lm.memory import halved, keep_freed_memory
from common.lm.precision import filled
from common.lm.prefix_tree import PrefixTree, build_tree
from common.lm.tokenization import TokenizedPair, tokenize_pairs
from common.lm.tree_attention import TreeBatch, UnsupportedAttention, attending, next_stop
from common.progress import Progress

logger = logging.getLogger(__name__)

TOKEN_BUDGET = {"cpu": 1024, "cuda": 8192}  # 1,024 keeps activations in a processor's cache
SMALLEST_BUDGET = 64
# Layers whose results do not depend on padding after a sequence.
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
PADDING_IS_SAFE = ATTENTION | {"linear_attention", "conv", "moe", "hybrid", "hybrid_sliding"}
LOGITS = {"cpu": 2**26, "cuda": 2**30}  # most logits of one forward pass, 128 MB and 2 GB in bfloat16
HEAD_ROWS = {"cpu": 8, "cuda": 512}  # rows of logits converted to float32 at a time; 8 stay in a processor's cache

Continuation = str | Sequence[int]


@dataclass
class ScoringStats:
    """Token counts, summed over calls.

    Attributes:
        prompt_tokens: tokens of all prompts, shared prefixes counted for each prompt.
        tree_tokens: nodes of the prefix trees, the least that has to be computed.
        computed_tokens: tokens that went through the model, padding and repeated work included.
    """

    prompt_tokens: int = 0
    tree_tokens: int = 0
    computed_tokens: int = 0


def loglikelihood(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    continuations: Sequence[Continuation] | Sequence[Sequence[Continuation]],
    *,
    alone: bool = False,
    token_budget: int | None = None,
    stats: ScoringStats | None = None,
) -> np.ndarray:
    """Log-probability of each continuation given its prompt, in nats, summed over the continuation's tokens.

    Prompt and continuation are tokenized together. Token ids as a continuation are appended to the prompt's tokens.

    Args:
        continuations: one list for all prompts, or one list per prompt.
        alone: each prompt in a plain forward pass of its own, as in the paper's code.
        token_budget: most tokens in one forward pass; default 1,024 on a CPU and 8,192 on a GPU. It is halved for the
            rest of the call when memory runs out.

    Returns:
        float32 [prompts, most continuations]; NaN for the missing ones of shorter lists.

    Raises InputError where two different continuations of a prompt have the same tokens, a continuation is empty, or a
    prompt is longer than the model's context.
    """
    lists = _one_list_each(prompts, continuations)
    pairs = tokenize_pairs(tokenizer, prompts, lists)
    for pair in pairs:
        _check_length(model, pair.prompt, len(pair.tokens) - 1)
    if model.device.type == "cpu":
        keep_freed_memory()
    stats = stats if stats is not None else ScoringStats()
    stats.prompt_tokens += sum({pair.prompt: pair.prompt_tokens for pair in pairs}.values())
    budget = token_budget or TOKEN_BUDGET.get(model.device.type, TOKEN_BUDGET["cuda"])
    logprobs = _score_padded(model, pairs, 1, stats, alone) if alone else _score(model, pairs, budget, stats)
    result = np.full((len(prompts), max(map(len, lists), default=0)), np.nan, np.float32)
    result[[pair.prompt for pair in pairs], [pair.continuation for pair in pairs]] = logprobs
    return result


def _one_list_each(prompts: Sequence[str], continuations: Sequence) -> list[Sequence[Continuation]]:
    """One list of continuations per prompt."""
    first = continuations[0] if continuations else ""
    if isinstance(first, str) or isinstance(first[0], int):
        return [continuations] * len(prompts)
    if len(continuations) != len(prompts):
        raise InputError(f"{len(prompts)} prompts but {len(continuations)} lists of continuations; give one list each")
    return list(continuations)


def _check_length(model: PreTrainedModel, prompt: int, length: int) -> None:
    """InputError where the model cannot read so many tokens of a prompt with its continuation, the last left out."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and length > limit:
        raise InputError(
            f"prompt {prompt} with its continuation has {length + 1} tokens but the model takes {limit}; shorten it or"
            " use fewer few-shot examples"
        )


def _score(model: PreTrainedModel, pairs: list[TokenizedPair], budget: int, stats: ScoringStats) -> np.ndarray:
    """Log-probability of every pair, float64 [pairs]; with the prefix tree if the model supports it."""
    # The last token of a sequence predicts nothing that is needed, so it is not in the tree.
    tree = build_tree([pair.tokens[:-1] for pair in pairs])
    stats.tree_tokens += len(tree)
    reason = plain_path_reason(model)
    with torch.inference_mode():
        if reason is None:
            try:
                return _score_tree(model, pairs, tree, budget, stats)
            except UnsupportedAttention as error:
                reason = str(error)
        name = type(model).__name__
        logger.warning_once(f"{name} is computed in padded batches, without sharing prefixes: {reason}")
        return _score_padded(model, pairs, budget, stats)


def plain_path_reason(model: PreTrainedModel) -> str | None:
    """Why `model` does not support a prefix tree, as far as class and config show; None if it does.

    Sliding windows are supported: the tree applies them along each path.
    """
    config = model.config.get_text_config()
    if not model._supports_attention_backend:
        return "its attention does not go through transformers' attention interface"
    if getattr(model, "_is_stateful", False):
        return "it carries a recurrent state"
    if other := layer_types(model) - {"full_attention", "sliding_attention"}:
        return f"it has {', '.join(sorted(other))} layers"
    if getattr(config, "alibi", False):
        return "its positions are biases on the attention scores"
    if (getattr(config, "rope_parameters", None) or {}).get("rope_type") in ("dynamic", "longrope"):
        return "its rotary frequencies depend on the length of the sequence"
    return None


def layer_types(model: PreTrainedModel) -> set[str]:
    """Kinds of the layers, such as full_attention and conv; none where the config does not say."""
    return set(getattr(model.config.get_text_config(), "layer_types", None) or [])


def _score_tree(
    model: PreTrainedModel, pairs: list[TokenizedPair], tree: PrefixTree, budget: int, stats: ScoringStats
) -> np.ndarray:
    """Compute the tree range by range; a range that does not fit in memory is retried at half the size."""
    nodes, targets, owners = _predictions(tree, pairs)
    logprobs = np.zeros(len(pairs))
    most = max(1, LOGITS.get(model.device.type, LOGITS["cuda"]) // model.config.get_text_config().vocab_size)
    ends = np.append(np.unique(nodes), len(tree))  # a pass ends before one prediction too many
    past: dict[int, tuple] = {}
    start = 0
    with Progress(len(tree), "tokens") as progress:
        while start < len(tree):
            room = ends[min(np.searchsorted(ends, start) + most, len(ends) - 1)] - start
            stop = next_stop(tree, start, min(budget, int(room)))
            here = slice(*np.searchsorted(nodes, [start, stop]))
            batch = TreeBatch(tree, start, stop, past)
            try:
                values, computed = _run_batch(model, batch, nodes[here], targets[here])
            except (torch.OutOfMemoryError, RuntimeError) as error:
                budget = halved(budget, error, "tokens", SMALLEST_BUDGET)
                continue
            np.add.at(logprobs, owners[here], values)
            past = batch.new_past
            stats.computed_tokens += computed
            progress.update(stop - start)
            start = stop
    return logprobs


def _predictions(tree: PrefixTree, pairs: list[TokenizedPair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every required prediction in the order of nodes: node, next token, pair it counts for; each [predictions]."""
    node = tree.last.copy()
    remaining = np.array([len(pair.tokens) - pair.start for pair in pairs])
    parts = []
    for back in range(1, int(remaining.max(initial=0)) + 1):
        which = np.flatnonzero(remaining >= back)
        parts.append((node[which], np.array([pairs[i].tokens[-back] for i in which]), which))
        node[which] = tree.parent[node[which]]
    nodes, targets, owners = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(nodes, kind="stable")
    return nodes[order], targets[order], owners[order]


def _run_batch(model: PreTrainedModel, batch: TreeBatch, nodes: np.ndarray, targets: np.ndarray) -> tuple:
    """One forward pass; log-probability of each target after its node, [targets], and the tokens that it took."""
    needed, rows = np.unique(nodes, return_inverse=True)
    # A range without predictions still computes the keys and values of the path; one row of logits is cheap.
    positions = needed - batch.start if len(needed) else np.array([0])
    device, own = model.get_input_embeddings().weight.device, slice(batch.start, batch.start + batch.size)
    tokens, depths, positions = (filled(model, it) for it in (batch.tree.tokens[own], batch.tree.depth[own], positions))
    with attending(model, "prefix_tree", batch):
        logits = model(
            input_ids=torch.from_numpy(tokens[None]).to(device),
            position_ids=torch.from_numpy(depths[None]).to(device),
            logits_to_keep=positions.tolist(),  # a tensor would have to be on the device of the last layer
            use_cache=False,
        ).logits[0]
    return _target_logprobs(logits, rows, targets), len(tokens)


def _target_logprobs(logits: torch.Tensor, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """log softmax(logits)[rows, targets] in float32; logits [n, vocabulary] -> [targets]."""
    parts = logits.split(HEAD_ROWS.get(logits.device.type, HEAD_ROWS["cuda"]))
    normalizer = torch.cat([part.float().logsumexp(-1) for part in parts])
    rows, targets = torch.from_numpy(rows).to(logits.device), torch.from_numpy(targets).to(logits.device)
    return (logits[rows, targets].float() - normalizer[rows]).cpu().numpy()


@torch.inference_mode()
def _score_padded(
    model: PreTrainedModel, pairs: list[TokenizedPair], budget: int, stats: ScoringStats, alone: bool = False
) -> np.ndarray:
    """Whole sequences, longest first, padded on the right to the longest of a batch; equal ones once, unless `alone`.

    Models with layers that compress or index their keys would see the padding; their batches have one length each.
    """
    by_input: dict[tuple[int, bytes], list[int]] = {}  # continuations of one token share their whole input
    for i, pair in enumerate(pairs):
        by_input.setdefault((alone * pair.prompt, pair.tokens[:-1].tobytes()), []).append(i)
    inputs = sorted(by_input.values(), key=lambda owners: -len(pairs[owners[0]].tokens))
    logprobs = np.zeros(len(pairs))
    done, unpadded = 0, bool(layer_types(model) - PADDING_IS_SAFE)
    with Progress(len(inputs), "prompts") as progress:
        while done < len(inputs):
            width = len(pairs[inputs[done][0]].tokens) - 1
            rows = inputs[done : done + max(1, budget // width)]
            if unpadded:
                rows = [owners for owners in rows if len(pairs[owners[0]].tokens) - 1 == width]
            try:
                for i, value in _run_padded(model, pairs, rows, width):
                    logprobs[i] = value
            except (torch.OutOfMemoryError, RuntimeError) as error:
                budget = halved(budget, error, "tokens", SMALLEST_BUDGET)
                continue
            stats.computed_tokens += len(rows) * width
            progress.update(len(rows))
            done += len(rows)
    return logprobs


def _run_padded(
    model: PreTrainedModel, pairs: list[TokenizedPair], inputs: list[list[int]], width: int
) -> Iterator[tuple[int, float]]:
    """One padded forward pass; yields (pair, log-probability)."""
    ids = np.zeros((len(inputs), width), np.int64)
    mask = np.zeros_like(ids)
    for row, owners in enumerate(inputs):
        tokens = pairs[owners[0]].tokens[:-1]
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    device = model.get_input_embeddings().weight.device
    logits = model(input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device)).logits
    for row, owners in enumerate(inputs):
        for i in owners:
            start, tokens = pairs[i].start, pairs[i].tokens
            positions = np.arange(len(tokens) - start)
            yield i, float(_target_logprobs(logits[row, start - 1 : len(tokens) - 1], positions, tokens[start:]).sum())
