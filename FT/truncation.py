"""Rows as TOFU's fine-tuning makes them: a document a row, cut at a length, its question masked from the loss.

Source: locuslab/tofu (commit 8c49eee), data_module.py lines 8 to 32 and custom_data_collator.
"""

from collections.abc import Sequence

import torch
from datasets import Dataset
from packing import MAP_BATCH, NO_LABEL
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from common.cli import InputError


def truncate(data: Dataset, tokenizer: PreTrainedTokenizerBase, row_length: int, processes: int = 1) -> Dataset:
    """Rows `input_ids`, `labels`, `attention_mask` of at most `row_length` tokens, and `cut`, the tokens left out.

    `data` has the columns `text` and `question`, with which the text begins; "" for none. Texts without a token are
    left out. Raises InputError where the tokenizer has no end-of-text token, and for a question that fills a row.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no end-of-text token, which is needed after documents")

    def rows(batch: dict[str, list[str]], numbers: list[int]) -> dict[str, list]:
        made: dict[str, list] = {"input_ids": [], "labels": [], "attention_mask": [], "cut": []}
        for number, text, question in zip(numbers, batch["text"], batch["question"], strict=True):
            ids = tokenizer(text, verbose=False).input_ids
            asked = len(tokenizer(question, verbose=False).input_ids) if question else 0
            if asked >= row_length:
                raise InputError(
                    f"data row {number + 1}: its question has {asked} tokens, and a row {row_length}; raise row_length"
                    " or leave the row out"
                )
            if text.strip() and ids:
                kept, labels = cut_ids(ids, asked, row_length, tokenizer.eos_token_id)
                made["input_ids"].append(kept)
                made["labels"].append(labels)
                made["attention_mask"].append([1] * len(kept))
                made["cut"].append(max(0, len(ids) - row_length))
        return made

    return data.map(
        rows,
        with_indices=True,
        batched=True,
        batch_size=MAP_BATCH,
        remove_columns=data.column_names,
        num_proc=processes if processes > 1 else None,
        desc="tokenizing",
    )


def cut_ids(ids: Sequence[int], asked: int, row_length: int, end: int) -> tuple[list[int], list[int]]:
    """Token ids and labels of a row: the first `row_length` tokens, then the end-of-text token if there is room for it.

    The first `asked` tokens, those of the question with its line break, have no label; the end-of-text token has one.
    """
    kept = list(ids[:row_length])
    if len(kept) < row_length and kept[-1] != end:
        kept.append(end)
    return kept, [NO_LABEL] * asked + kept[asked:]


def pad(rows: Sequence[dict[str, list[int]]], padding: int) -> dict[str, torch.Tensor]:
    """A batch, [rows, longest row], filled up on the right: with `padding`, without label and unattended."""
    filling = {"input_ids": padding, "labels": NO_LABEL, "attention_mask": 0, "position_ids": 0}
    return {
        name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=filling[name])
        for name in rows[0]
    }
