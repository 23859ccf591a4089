"""Greedy generation for many prompts, batched by length; their common beginning is computed once.

    answers = generate(model, tokenizer, prompts, max_new_tokens=64)

Finished rows leave the batch, so that a short answer does not wait for a long one.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.lm.loglikelihood import plain_path_reason
from common.lm.memory import halved, keep_freed_memory
from common.lm.precision import compute_dtype
from common.lm.prefix_attention import SharedPrefix, shared_prefix_enabled
from common.lm.tokenization import prompt_tokens
from common.lm.tree_attention import UnsupportedAttention

BATCH_BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}  # for a batch's keys and values, and one layer's attention scores


@dataclass(frozen=True)
class Answer:
    """`text` before the stop string, stripped; `finished` is False where max_new_tokens cut it off."""

    text: str
    finished: bool
    tokens: int


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_new_tokens: int,
    *,
    stop: str | None = "\n",
    token_budget: int | None = None,
    progress: bool = True,
) -> list[Answer]:
    """The greedy continuation of each prompt up to `stop` or the end of the text, in the order of `prompts`.

    Args:
        stop: one or more line ends; None stops at the end of the text only.
        token_budget: most tokens in a batch, prompts and answers together; by default as many as fit in BATCH_BYTES,
            and fewer once memory runs out.

    Raises InputError for a prompt that leaves no room for an answer, and for a recurrent model.
    """
    ids = tokens_of(model, tokenizer, prompts, max_new_tokens)
    if model.device.type == "cpu":
        keep_freed_memory()
    # A shared prefix would stay inside a sliding window; models with one read every prompt whole.
    whole = plain_path_reason(model) or getattr(model.config.get_text_config(), "sliding_window", None)
    shared = 0 if whole else common_prefix(ids)
    prefix = _read_prefix(model, ids[0][:shared]) if shared else None
    order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
    answers: list[Answer | None] = [None] * len(ids)
    most = len(ids)
    with tqdm(total=len(ids), unit="answer", disable=not progress) as bar:
        while order:
            longest = len(ids[order[0]])
            if token_budget:
                rows = token_budget // (longest + max_new_tokens)
            else:
                rows = _rows_that_fit(model, longest, longest - (prefix.length if prefix else 0), max_new_tokens)
            batch = order[: max(1, min(rows, most))]
            try:
                done = _greedy(model, tokenizer, [ids[i] for i in batch], prefix, max_new_tokens, stop)
            except UnsupportedAttention:
                prefix = None
                continue
            except (torch.OutOfMemoryError, RuntimeError) as error:
                most = halved(len(batch), error, "prompts")
                continue
            order = order[len(batch) :]
            for i, answer in zip(batch, done, strict=True):
                answers[i] = answer
            bar.update(len(batch))
    return answers


def tokens_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], max_new_tokens: int
) -> list[list[int]]:
    """Tokens of each prompt; InputError for one that leaves no room for an answer, and for a recurrent model."""
    if getattr(model, "_is_stateful", False):
        raise InputError(f"{type(model).__name__} has a recurrent state, which generation does not support")
    ids = prompt_tokens(tokenizer, prompts)
    for row, prompt in enumerate(ids):
        check_room(model, row, len(prompt), max_new_tokens)
    return ids


def check_room(model: PreTrainedModel, row: int, length: int, max_new_tokens: int) -> None:
    """InputError where a prompt of `length` tokens leaves no room for an answer."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and length + max_new_tokens > positions:
        raise InputError(
            f"row {row}: its prompt has {length} tokens and the model {positions} positions, which leaves no room for"
            f" {max_new_tokens} more"
        )


def _rows_that_fit(model: PreTrainedModel, longest: int, own: int, new: int) -> int:
    """How many prompts of `longest` tokens, `own` of them not shared, fit in BATCH_BYTES with `new` tokens more."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    cache = 2 * config.num_hidden_layers * kv_heads * width * (own + new)
    return BATCH_BYTES.get(model.device.type, BATCH_BYTES["cuda"]) // (
        compute_dtype(model).itemsize * (cache + heads * own * longest)
    )


def common_prefix(ids: Sequence[Sequence[int]]) -> int:
    """Number of first tokens common to all sequences; at least one token of each is left."""
    if not ids:
        return 0
    first, last = min(ids), max(ids)  # every other sequence lies between them
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return min(same, min(map(len, ids)) - 1)


def _read_prefix(model: PreTrainedModel, ids: Sequence[int]) -> SharedPrefix:
    with torch.inference_mode():
        output = model(torch.tensor([ids], device=model.device), use_cache=True, logits_to_keep=1)
    return SharedPrefix(output.past_key_values)


@lru_cache(maxsize=4)
def _line_ends(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Whether each token of the vocabulary contains a line end; bool [tokens]."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return torch.tensor(["\n" in text for text in texts])


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """The tokens that end a text: all special ones, of which a text has none, and those of the generation config.

    Configurations name one of several, such as the end of a turn, and leave out that of a document.
    """
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    found = {*tokenizer.all_special_ids, *(own if isinstance(own, list) else [own])} - {None}
    return torch.tensor(sorted(found), dtype=torch.long)


@torch.inference_mode()
def _greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[Sequence[int]],
    prefix: SharedPrefix | None,
    max_new_tokens: int,
    stop: str | None,
) -> list[Answer]:
    """One batch, the longest prompt first."""
    device = model.device
    shared = prefix.length if prefix else 0
    width = len(ids[0]) - shared
    tokens = torch.full((len(ids), width), tokenizer.pad_token_id or 0, device=device)
    mask = torch.ones(len(ids), width, dtype=torch.long, device=device)
    for row, prompt in enumerate(ids):
        own = len(prompt) - shared
        tokens[row, width - own :] = torch.tensor(prompt[shared:], device=device)
        mask[row, : width - own] = 0
    past = DynamicCache(config=model.config)
    positions = shared + (mask.cumsum(1) - 1).clamp(min=0)
    ends = _line_ends(tokenizer).to(device)
    closing = _end_tokens(model, tokenizer).to(device)
    alive = torch.arange(len(ids), device=device)  # rows still in the batch
    new: list[list[int]] = [[] for _ in ids]
    finished = [False] * len(ids)
    with shared_prefix_enabled(model, prefix) if prefix else nullcontext():
        for _ in range(max_new_tokens):
            keys = {"attention_mask": None if prefix else mask, "position_ids": positions, "past_key_values": past}
            if prefix:
                prefix.begin(mask)
            output = model(tokens, use_cache=True, logits_to_keep=1, **keys)
            chosen = output.logits[:, -1].argmax(-1)
            ended = torch.isin(chosen, closing)
            lines = ends[chosen.clamp(max=len(ends) - 1)]
            for place, (row, token) in enumerate(zip(alive.tolist(), chosen.tolist(), strict=True)):
                new[row].append(token)
                if stop and lines[place] and stop in tokenizer.decode(new[row], skip_special_tokens=True):
                    ended[place] = True
                finished[row] = bool(ended[place])
            keep = (~ended).nonzero().flatten()
            if not len(keep):
                break
            if len(keep) < len(alive):
                for layer in past.layers:  # possibly on different devices
                    layer.batch_select_indices(keep.to(layer.keys.device))
            alive, mask = alive[keep], torch.nn.functional.pad(mask[keep], (0, 1), value=1)
            tokens, positions = chosen[keep, None], positions[keep, -1:] + 1
    texts = tokenizer.batch_decode(new, skip_special_tokens=True)
    texts = [(text.split(stop)[0] if stop else text).strip() for text in texts]
    return [Answer(text, end, len(row)) for text, end, row in zip(texts, finished, new, strict=True)]
