"""Greedy generation for many prompts, the longest first; their common beginning is computed once.

    answers = generate(model, tokenizer, prompts, max_new_tokens=64)

A finished row leaves the batch and another prompt takes its place (continuous batching), so that a short answer does
not wait for a long one and the batch stays full.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from os.path import commonprefix  # of any sequences

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError
from common.lm.loglikelihood import ATTENTION, layer_types, plain_path_reason
from common.lm.memory import halved, keep_freed_memory
from common.lm.precision import compute_dtype
from common.lm.prefix_attention import SharedPrefix
from common.lm.tokenization import prompt_tokens
from common.lm.tree_attention import UnsupportedAttention, attending
from common.progress import Progress

BATCH_BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}  # for a batch's keys and values, and one layer's attention scores
REFILL = 4  # prompts join once this share of the places, a quarter, is free


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
) -> list[Answer]:
    """The greedy continuation of each prompt up to `stop` or the end of the text, in the order of `prompts`.

    Args:
        stop: one or more line ends; None stops at the end of the text only.
        token_budget: most tokens in a batch, prompts and answers together; by default as many as fit in BATCH_BYTES,
            and fewer once memory runs out: what was being written then begins anew.

    Raises InputError for a prompt that leaves no room for an answer, and for a recurrent model.
    """
    ids = tokens_of(model, tokenizer, prompts, max_new_tokens)
    if model.device.type == "cpu":
        keep_freed_memory()
    # A shared prefix does not move out of a sliding window; where it would have to, every prompt is read whole.
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    whole = plain_path_reason(model) or (window and max(map(len, ids), default=0) + max_new_tokens > window)
    shared = 0 if whole else common_prefix(ids)
    prefix = None
    if shared:
        with torch.inference_mode():
            read = model(torch.tensor([ids[0][:shared]], device=model.device), use_cache=True, logits_to_keep=1)
        prefix = SharedPrefix(read.past_key_values)
    try:
        with attending(model, "shared_prefix", prefix) if prefix else nullcontext():
            return _write_all(_Writer(model, tokenizer, ids, prefix, max_new_tokens, stop), token_budget)
    except UnsupportedAttention:
        return _write_all(_Writer(model, tokenizer, ids, None, max_new_tokens, stop), token_budget)


def _write_all(writer: "_Writer", token_budget: int | None) -> list[Answer]:
    """The answer to each of the writer's prompts, as many at a time as fit in memory."""

    def order(rows: Iterable[int]) -> list[int]:
        return sorted(rows, key=lambda row: (len(writer.ids[row]), -row))  # the longest last, which is the next

    waiting, most = order(range(len(writer.ids))), len(writer.ids)
    with Progress(most, "answers") as progress:
        while waiting or writer.batch.rows:
            longest = max(len(writer.ids[row]) for row in (*waiting[-1:], *writer.batch.rows))
            if token_budget:
                places = token_budget // (longest + writer.max_new_tokens)
            else:
                places = _rows_that_fit(writer.model, longest, longest - writer.shared, writer.max_new_tokens)
            places = max(1, min(places, most))
            free = places - len(writer.batch.rows)
            joining = waiting[-free:] if free >= max(1, places // REFILL) else []
            try:
                writer.step(joining[::-1])
            except (torch.OutOfMemoryError, RuntimeError) as error:
                rows = {*writer.batch.rows, *joining}
                most = halved(len(rows), error, "prompts")
                waiting = order({*waiting, *rows})
                writer.batch = _Batch()
                continue
            del waiting[len(waiting) - len(joining) :]
            progress.update(len(writer.answers) - progress.done)
    return [writer.answers[row] for row in range(len(writer.ids))]


def tokens_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], max_new_tokens: int
) -> list[list[int]]:
    """Tokens of each prompt; InputError for one that leaves no room for an answer, and for recurrent layers."""
    if getattr(model, "_is_stateful", False) or layer_types(model) - ATTENTION:
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
    each = compute_dtype(model).itemsize * (cache + heads * own * longest)
    return BATCH_BYTES.get(model.device.type, BATCH_BYTES["cuda"]) // each


def common_prefix(ids: Sequence[Sequence[int]]) -> int:
    """Number of first tokens common to all sequences; at least one token of each is left."""
    return min(len(commonprefix(ids)), min(map(len, ids)) - 1) if ids else 0


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


@dataclass
class _Batch:
    """Rows that are written together: `tokens` are to be read next, `past` holds the keys and values before them.

    Attributes:
        rows: the prompt of each row.
        tokens, positions: [rows, width] int64, the own tokens of new prompts, or the last token that was written.
        mask: [rows, keys and width] int64, 0 for the padding on the left.
        written: tokens of each row's answer.
    """

    rows: list[int] = field(default_factory=list)
    tokens: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    past: DynamicCache | None = None
    written: list[list[int]] = field(default_factory=list)

    def keep(self, places: list[int]) -> None:
        """Keep the rows in these places."""
        self.rows, self.written = ([own[place] for place in places] for own in (self.rows, self.written))
        index = torch.tensor(places, dtype=torch.long, device=self.tokens.device)
        self.tokens, self.positions, self.mask = self.tokens[index], self.positions[index], self.mask[index]
        for layer in self.past.layers:  # possibly on different devices
            if layer.get_seq_length():
                layer.batch_select_indices(index.to(layer.keys.device))

    def join(self, other: "_Batch") -> None:
        """Add the rows of another batch; both have read their prompts."""
        width = max(int(batch.mask.sum(1).max()) for batch in (self, other))  # without what is padding everywhere
        for layer, more in zip(self.past.layers, other.past.layers, strict=True):
            if layer.get_seq_length():
                layer.keys = torch.cat([_fitted(own.keys, width - 1, -2) for own in (layer, more)])
                layer.values = torch.cat([_fitted(own.values, width - 1, -2) for own in (layer, more)])
        self.mask = torch.cat([_fitted(own.mask, width, -1) for own in (self, other)])
        self.tokens = torch.cat([self.tokens, other.tokens])
        self.positions = torch.cat([self.positions, other.positions])
        self.rows, self.written = self.rows + other.rows, self.written + other.written


def _fitted(states: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    """The last `width` places along an axis counted from the end, with zeros in front where there are fewer."""
    states = states.narrow(axis, max(0, states.shape[axis] - width), min(width, states.shape[axis]))
    return torch.nn.functional.pad(states, (0, 0) * (-1 - axis) + (width - states.shape[axis], 0))


@dataclass
class _Writer:
    """Writes answers to prompts, a token at a time for all rows of `batch`; `answers` has those that are finished."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ids: Sequence[Sequence[int]]
    prefix: SharedPrefix | None
    max_new_tokens: int
    stop: str | None

    def __post_init__(self) -> None:
        self.shared = self.prefix.length if self.prefix else 0
        self.lines = _line_ends(self.tokenizer).to(self.model.device)
        self.closing = _end_tokens(self.model, self.tokenizer).to(self.model.device)
        self.batch, self.answers = _Batch(), {}

    @torch.inference_mode()
    def step(self, joining: Sequence[int]) -> None:
        """Prompts that join are read and get their first token; without any, every row gets one more."""
        if not joining:
            self._advance(self.batch)
            return
        new = self._begin(joining)
        self._advance(new)
        if new.rows and self.batch.rows:
            self.batch.join(new)
        elif new.rows:
            self.batch = new

    def _begin(self, rows: Sequence[int]) -> _Batch:
        """A batch of prompts of which nothing is read yet."""
        own = [self.ids[row][self.shared :] for row in rows]
        width, device = max(map(len, own)), self.model.device
        tokens = torch.full((len(rows), width), self.tokenizer.pad_token_id or 0, device=device)
        mask = torch.zeros(len(rows), width, dtype=torch.long, device=device)
        for place, prompt in enumerate(own):
            tokens[place, width - len(prompt) :] = torch.tensor(prompt, device=device)
            mask[place, width - len(prompt) :] = 1
        positions = self.shared + (mask.cumsum(1) - 1).clamp(min=0)
        # Every layer keeps all keys, those with a sliding window too, so that batches can be joined.
        return _Batch(list(rows), tokens, positions, mask, DynamicCache(), [[] for _ in rows])

    def _advance(self, batch: _Batch) -> None:
        """Read the batch's tokens and write the next one of each row; finished rows leave."""
        if self.prefix:
            self.prefix.begin(batch.mask)
        mask = None if self.prefix else batch.mask
        keys = {"attention_mask": mask, "position_ids": batch.positions, "past_key_values": batch.past}
        logits = self.model(batch.tokens, use_cache=True, logits_to_keep=1, **keys).logits[:, -1]
        if logits.isnan().any():
            raise InputError("the model gives NaN; try --dtype float32")
        chosen = logits.argmax(-1)
        ended = torch.isin(chosen, self.closing).tolist()
        line = self.lines[chosen.clamp(max=len(self.lines) - 1)].tolist()
        left = []
        for place, token in enumerate(chosen.tolist()):
            written = batch.written[place]
            written.append(token)
            if self.stop and line[place] and self.stop in self.tokenizer.decode(written, skip_special_tokens=True):
                ended[place] = True
            if ended[place] or len(written) == self.max_new_tokens:
                text = self.tokenizer.decode(written, skip_special_tokens=True)
                text = text.split(self.stop)[0] if self.stop else text
                self.answers[batch.rows[place]] = Answer(text.strip(), ended[place], len(written))
            else:
                left.append(place)
        batch.mask = torch.nn.functional.pad(batch.mask, (0, 1), value=1)
        batch.tokens, batch.positions = chosen[:, None], batch.positions[:, -1:] + 1
        if len(left) < len(batch.rows):
            batch.keep(left)
