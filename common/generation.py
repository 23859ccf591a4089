"""Greedy answers to many prompts: sorted by length, the prompts' common beginning computed once.

    answers = generate(model, tokenizer, prompts, max_new_tokens=64)

Rows that have come to their end leave the batch, so that a short answer does not wait for a long one.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from common.errors import InputError
from common.memory import keep_freed_memory
from common.tokenization import prompt_tokens

TOKEN_BUDGET = {"cpu": 8192, "cuda": 65_536}  # tokens in a batch, the answers' counted


@dataclass(frozen=True)
class Answer:
    """`text` up to where it stops, without blanks around; `finished` is False where max_new_tokens cut it off."""

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
    """The greedy continuation of each prompt up to `stop`, or to the end of the text, in the order of `prompts`.

    `stop` is one or more line ends, None for the end of the text alone;
    `token_budget` is the most tokens in a batch, prompts and answers together; by default one for the device. Raises
    InputError for a prompt that leaves no room for an answer, and for a model without a key-value cache.
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    ids = prompt_tokens(tokenizer, prompts)
    positions = getattr(model.config, "max_position_embeddings", None)
    for row, prompt in enumerate(ids):
        if positions and len(prompt) + max_new_tokens > positions:
            raise InputError(
                f"row {row}: its prompt has {len(prompt)} tokens and the model {positions} positions, which leaves no"
                f" room for {max_new_tokens} more"
            )
    # Between a shared beginning and a shorter prompt lies padding, which a sliding window would count as text.
    sliding = getattr(model.config.get_text_config(), "sliding_window", None)
    shared = 0 if sliding else common_prefix(ids)
    cache = _prefix_cache(model, ids[0][:shared]) if shared else None
    order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
    budget = token_budget or TOKEN_BUDGET.get(model.device.type, TOKEN_BUDGET["cuda"])
    answers: list[Answer | None] = [None] * len(ids)
    with tqdm(total=len(ids), unit="answer", disable=not progress) as bar:
        while order:
            rows = max(1, budget // (len(ids[order[0]]) + max_new_tokens))
            batch, order = order[:rows], order[rows:]
            done = _greedy(model, tokenizer, [ids[i] for i in batch], shared, cache, max_new_tokens, stop)
            for i, answer in zip(batch, done, strict=True):
                answers[i] = answer
            bar.update(len(batch))
    return answers


def common_prefix(ids: Sequence[Sequence[int]]) -> int:
    """How many first tokens all sequences have in common; one token at least is left to each."""
    if not ids:
        return 0
    first, last = min(ids), max(ids)  # every other sequence lies between them
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return min(same, min(map(len, ids)) - 1)


def _prefix_cache(model: PreTrainedModel, ids: Sequence[int]) -> DynamicCache:
    with torch.inference_mode():
        output = model(torch.tensor([ids], device=model.device), use_cache=True, logits_to_keep=1)
    if not isinstance(getattr(output, "past_key_values", None), DynamicCache):
        raise InputError(f"{type(model).__name__} keeps no key-value cache, so it cannot answer here")
    return output.past_key_values


@lru_cache(maxsize=4)
def _line_ends(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Whether each token of the vocabulary has a line end in it; bool [tokens]."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return torch.tensor(["\n" in text for text in texts])


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """The tokens that end a text: the tokenizer's, and those of the generation config, as the end of a chat's turn."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    found = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return torch.tensor(sorted({token for token in found if token is not None}), dtype=torch.long)


@torch.inference_mode()
def _greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[Sequence[int]],
    shared: int,
    cache: DynamicCache | None,
    max_new_tokens: int,
    stop: str | None,
) -> list[Answer]:
    """One batch, the longest prompt first."""
    device = model.device
    width = len(ids[0]) - shared
    tokens = torch.full((len(ids), width), tokenizer.pad_token_id or 0, device=device)
    mask = torch.ones(len(ids), shared + width, dtype=torch.long, device=device)
    for row, prompt in enumerate(ids):
        own = len(prompt) - shared
        tokens[row, width - own :] = torch.tensor(prompt[shared:], device=device)
        mask[row, shared : shared + width - own] = 0
    past = DynamicCache(config=model.config) if cache is None else copy.deepcopy(cache)
    if cache is not None:
        past.batch_repeat_interleave(len(ids))
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
    ends = _line_ends(tokenizer).to(device)
    closing = _end_tokens(model, tokenizer).to(device)
    alive = torch.arange(len(ids), device=device)  # rows still in the batch
    new: list[list[int]] = [[] for _ in ids]
    finished = [False] * len(ids)
    for _ in range(max_new_tokens):
        output = model(
            tokens, attention_mask=mask, position_ids=positions, past_key_values=past, use_cache=True, logits_to_keep=1
        )
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
            past.batch_select_indices(keep)
        alive, mask = alive[keep], torch.nn.functional.pad(mask[keep], (0, 1), value=1)
        tokens, positions = chosen[keep, None], positions[keep, -1:] + 1
    texts = tokenizer.batch_decode(new, skip_special_tokens=True)
    texts = [(text.split(stop)[0] if stop else text).strip() for text in texts]
    return [Answer(text, end, len(row)) for text, end, row in zip(texts, finished, new, strict=True)]
