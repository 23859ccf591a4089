"""Direct preference optimization (Rafailov et al., arXiv 2305.18290) through TRL's DPOTrainer, of an adapter.

The pairs of FT/consistency_pairs.py prefer the answer that most languages give (CALM, arXiv 2501.18457). The reference
is the model without its adapter.
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from datasets import Dataset
from lora import adapter_config
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from common.cli import InputError
from common.parallel_data import json_lines, take

COLUMNS = ("prompt", "chosen", "rejected")


def preferences(data: str) -> Iterator[dict[str, str]]:
    """The rows of a .jsonl file; InputError naming one that lacks a text, or whose two answers are the same."""
    for number, record in enumerate(json_lines(Path(data)), 1):
        where = f"{data} row {number}"
        row = dict(zip(COLUMNS, take(record, COLUMNS, where), strict=True))
        for name, text in row.items():
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{where}: {name} is {text!r:.60}; write text")
        if row["chosen"] == row["rejected"]:
            raise InputError(f"{where}: chosen and rejected are the same, {row['chosen']!r:.60}")
        yield row


def preference_rows(data: str, tokenizer: PreTrainedTokenizerBase, row_length: int) -> Dataset:
    """The rows `prompt`, `chosen`, `rejected`; InputError for an empty file and one that is longer than a row."""
    rows = Dataset.from_list(list(preferences(data)))
    if not len(rows):
        raise InputError(f"{data}: no pairs in this file")
    for number, row in enumerate(rows, 1):
        texts = [f"{row['prompt']}{row[answer]}{tokenizer.eos_token}" for answer in ("chosen", "rejected")]
        longest = max(len(ids) for ids in tokenizer(texts, verbose=False).input_ids)
        if longest > row_length:
            raise InputError(
                f"{data} row {number}: {longest} tokens, and a row has {row_length}; raise row_length or leave it out"
            )
    return rows


def on_one_device(args: TrainingArguments) -> TrainingArguments:
    """The arguments of a process that trains on one device: Trainer would spread it over every GPU that it sees."""
    if args.device.type == "cuda":
        args._n_gpu = 1
    return args


def make_trainer(
    config: Any, tokenizer: PreTrainedTokenizerBase, args: TrainingArguments, train_dataset: Dataset, **keys: Any
) -> Trainer:
    """TRL's trainer of the adapter; `keys` are those of transformers' Trainer. InputError where TRL is missing."""
    try:
        from trl import DPOConfig, DPOTrainer
    except ImportError as error:
        raise InputError(f"objective dpo needs TRL ({error}); install it with `bash install.sh --dpo`") from error
    if not args.bf16:
        head = keys["model"].get_output_embeddings()
        head.weight.data = head.weight.data.float()  # which TRL multiplies with by itself
    given = {field.name: getattr(args, field.name) for field in fields(TrainingArguments) if field.init}
    own = {"beta": config.dpo_beta, "max_length": None, "disable_dropout": False}
    return DPOTrainer(
        args=on_one_device(DPOConfig(**given | own)),
        train_dataset=train_dataset,
        processing_class=tokenizer,
        peft_config=adapter_config(config),
        **keys,
    )
