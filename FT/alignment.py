"""Alignment beside the language modelling loss: texts that mean the same get hidden states that are alike.

    middle   Liu and Niehues, arXiv 2502.14830: parallel sentences in a middle layer; steps of alignment alternate with
             steps of language modelling
    words    PreAlign (Li et al., arXiv 2407.16222): pairs of a dictionary at every layer and in the output embeddings,
             in the same step as language modelling

A text's state is the mean over its own tokens; special tokens count as little as padding. Which pairs a pass sees
follows from the seed and its number alone, so that an interrupted training goes on with the same.
"""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

import torch
from pairs import Pair, padded
from peft import PeftModel
from torch.nn.functional import cross_entropy, embedding, normalize
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, Trainer

from common.cli import InputError


def contrastive_loss(states: torch.Tensor, texts: torch.Tensor, temperature: float, across: bool) -> torch.Tensor:
    """-log of the share of a text's translation among its candidates, softmax of cosines / temperature; mean of both
    directions.

    Args:
        states: [2n, width], all sources and then their targets.
        texts: [2n], equal for equal texts. Of two pairs that share a text none is a candidate of the other.
        across: the candidates are the texts of the other side (`middle`), else all texts but itself (`words`).
    """
    count = len(states) // 2
    source, target = texts.view(2, count)
    related = (source[:, None] == source) | (target[:, None] == target)
    related = related | (source[:, None] == target) | (target[:, None] == source)
    same = torch.eye(count, dtype=torch.bool, device=states.device)
    other = related & ~same  # between a text and the translations of others
    own = torch.ones_like(same) if across else related
    left_out = torch.cat([torch.cat([own, other], 1), torch.cat([other, own], 1)])
    with torch.autocast(states.device.type, enabled=False):
        unit = normalize(states.float(), dim=-1)
        scores = (unit @ unit.T / temperature).masked_fill(left_out, -torch.inf)
    return cross_entropy(scores, torch.arange(2 * count, device=states.device).roll(count))


def pooled(states: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The mean over each text's own tokens, [texts, tokens, width] -> [texts, width], float32."""
    return (states.float() * own[..., None]).sum(1) / own.sum(1, keepdim=True)


def middle_loss(model: PreTrainedModel, pairs: dict[str, torch.Tensor], layer: int, temperature: float):
    """The loss of `middle`, of the states that layer `layer` puts out, counted from 1."""
    states = hidden_states(model, pairs)[layer]
    return contrastive_loss(pooled(states, pairs["own"]), pairs["texts"], temperature, across=True)


def words_loss(model: PreTrainedModel, pairs: dict[str, torch.Tensor], temperature: float) -> torch.Tensor:
    """The loss of `words`, the mean over the embeddings, every layer and the output embeddings."""
    layers = [*hidden_states(model, pairs), embedding(pairs["input_ids"], model.get_output_embeddings().weight)]
    losses = [
        contrastive_loss(pooled(states, pairs["own"]), pairs["texts"], temperature, across=False) for states in layers
    ]
    return torch.stack(losses).mean()


def hidden_states(model: PreTrainedModel, pairs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The embeddings and the output of each layer, [texts, tokens, width] each, without the logits."""
    keys = {key: pairs[key] for key in ("input_ids", "attention_mask")}
    return model.base_model(**keys, output_hidden_states=True, use_cache=False).hidden_states


class Passes:
    """What each forward pass of an epoch reads: rows of the corpus as n >= 0, and pairs as -1 - n.

    With a `ratio`, that share of the optimizer steps reads pairs and the others rows, in turn, all rows once; the last
    step, where it is not a whole one, comes at the end. Without one each pass reads both.
    """

    def __init__(
        self, rows: int, pairs: int, sizes: tuple[int, int], accumulation: int, ratio: float | None, seed: int
    ):
        self.rows, self.pairs, self.seed, self.epoch = rows, pairs, seed, 0
        self.row_batch, self.pair_batch = sizes
        self.accumulation, self.ratio = accumulation, ratio
        self.row_passes = ceil(rows / self.row_batch)
        kinds = list(self.kinds())
        self.total, self.pair_passes = len(kinds), sum("pairs" in kind for kind in kinds)
        if not self.pair_passes:
            raise InputError(
                f"{rows} rows of text are too few for a step that aligns; lower accumulation or batch_size, or add text"
            )

    def kinds(self) -> Iterator[tuple[str, ...]]:
        """What each pass of an epoch reads."""
        if self.ratio is None:
            yield from [("rows", "pairs")] * self.row_passes
            return
        share, left, step = Fraction(str(self.ratio)), self.row_passes // self.accumulation, 0
        while left or int((step + 1) * share) > int(step * share):
            aligns = int((step + 1) * share) > int(step * share)
            yield from [("pairs",) if aligns else ("rows",)] * self.accumulation
            left, step = left - (not aligns), step + 1
        yield from [("rows",)] * (self.row_passes % self.accumulation)

    def set_epoch(self, epoch: int) -> None:
        """Called by transformers' Trainer."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()
        batches = (order[start : start + self.row_batch] for start in range(0, self.rows, self.row_batch))
        first = self.epoch * self.pair_passes * self.pair_batch
        places = (range(begin, begin + self.pair_batch) for begin in range(first, 2**62, self.pair_batch))
        for kind in self.kinds():
            rows = next(batches) if "rows" in kind else []
            chosen = [-1 - self.pair(place) for place in next(places)] if "pairs" in kind else []
            yield [*rows, *chosen]

    def pair(self, place: int) -> int:
        """The pair at a place of an endless series that goes through all of them, in another order each time."""
        turn, within = divmod(place, self.pairs)
        return shuffled(self.pairs, f"{self.seed}:{turn}")[within]


@lru_cache(maxsize=2)
def shuffled(count: int, seed: str) -> list[int]:
    """The numbers below `count` in an order that the seed decides."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


class RowsAndPairs(Dataset):
    """Rows of the corpus, and pairs, by the numbers that Passes gives them."""

    def __init__(self, rows: Sequence[dict], pairs: Sequence[Pair]):
        self.rows, self.pairs = rows, pairs

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict | Pair:
        return self.rows[number] if number >= 0 else self.pairs[-1 - number]


class AlignmentTrainer(Trainer):
    """transformers' Trainer with the passes above; their tokens are counted, and evaluations are as without them."""

    def __init__(self, config: Any, pairs: Sequence[Pair], **keys: Any):
        super().__init__(**keys)
        self.config, self.pairs = config, pairs
        layers = self.model.config.get_text_config().num_hidden_layers
        self.layer = config.align_layer or layers // 2
        if self.layer > layers:
            raise InputError(f"align_layer is {self.layer}, but {config.model} has {layers} layers")

    def get_train_dataloader(self) -> DataLoader:
        """See Passes; one process reads it all."""
        rows = self._remove_unused_columns(self.train_dataset)
        sizes = (self.args.per_device_train_batch_size, self.config.align_batch_size)
        ratio = self.config.align_ratio if self.config.align == "middle" else None
        passes = Passes(len(rows), len(self.pairs), sizes, self.args.gradient_accumulation_steps, ratio, self.args.seed)
        data = RowsAndPairs(rows, self.pairs)
        return self.accelerator.prepare(DataLoader(data, batch_sampler=passes, collate_fn=self.collate))

    def collate(self, read: Sequence[dict | Pair]) -> dict[str, Any]:
        """The rows as a batch, and the pairs, if there are any, as `pairs`."""
        rows, pairs = ([one for one in read if isinstance(one, Pair) is kind] for kind in (False, True))
        return (self.data_collator(rows) if rows else {}) | ({"pairs": padded(pairs)} if pairs else {})

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of a pass; losses of pairs are means over passes, and count `align_weight` beside a row's."""
        pairs = inputs.pop("pairs", None)
        if pairs is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        aligned = self.alignment_loss(self.accelerator.unwrap_model(model), pairs)
        if not inputs:
            return aligned
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        if self.model_accepts_loss_kwargs and num_items_in_batch is not None:  # else Trainer divides the sum
            aligned = aligned / self.current_gradient_accumulation_steps
        return loss + self.config.align_weight * aligned

    def alignment_loss(self, model: torch.nn.Module, pairs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss of the pairs of a pass."""
        causal = model.get_base_model() if isinstance(model, PeftModel) else model
        with self.accelerator.autocast():
            if self.config.align == "middle":
                return middle_loss(causal, pairs, self.layer, self.config.align_temperature)
            return words_loss(causal, pairs, self.config.align_temperature)

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        for part in (inputs, inputs.get("pairs", {})):
            if "input_ids" in part:
                super()._track_num_input_tokens(part)
