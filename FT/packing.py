"""Pack tokenized documents into rows without padding; documents of a row do not attend to each other.

Positions restart at every document; from them transformers derives a block-diagonal causal mask, or the arguments of
FlashAttention's variable-length kernels. The first token of a document has no label, since nothing precedes it.
"""

from itertools import chain

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from common.cli import InputError

NO_LABEL = -100
MAP_BATCH = 1000  # documents that are packed together


def pack(
    data: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    row_length: int,
    processes: int = 1,
    together: int = MAP_BATCH,
) -> Dataset:
    """Rows `input_ids`, `labels`, `position_ids` of exactly `row_length` tokens, from a column `text`.

    Every document ends with the tokenizer's end-of-text token. A document that does not fit into the rest of a row
    continues in the next one, as a document of its own. Only the last row of `together` documents may be padded. Raises
    InputError where the tokenizer has no end-of-text token.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no end-of-text token, which is needed between documents")

    def rows(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        (texts,) = batch["text"]
        return pack_ids(_tokenized(tokenizer, texts), row_length, tokenizer.eos_token_id)

    # In batches before it is shared out among processes, so that rows do not depend on their number.
    data = data.batch(together)
    workers = min(processes, len(data)) if processes > 1 else None
    return data.map(
        rows, batched=True, batch_size=1, remove_columns=data.column_names, num_proc=workers, desc="packing"
    )


def even_length(texts: list[str], tokenizer: PreTrainedTokenizerBase, row_length: int) -> int:
    """The longest row up to `row_length` at which the rows of `pack` are equally full: a mean over them is one over
    tokens."""
    tokens = sum(map(len, _tokenized(tokenizer, texts)))
    return -(-tokens // -(-tokens // row_length))


def _tokenized(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    end = tokenizer.eos_token_id
    return [ids if ids and ids[-1] == end else [*ids, end] for ids in tokenizer(texts, verbose=False).input_ids]


def pack_ids(documents: list[list[int]], row_length: int, padding: int) -> dict[str, list[list[int]]]:
    """Rows of `row_length` tokens from documents of token ids; the last row is filled with `padding`, unlabelled."""
    ids = list(chain.from_iterable(documents))
    # Where a document begins, or continues in a new row; the padding of the last row counts as a document.
    starts = {0, *range(0, len(ids), row_length)}
    place = 0
    for document in documents:
        starts.add(place)
        place += len(document)
    missing = -len(ids) % row_length
    if missing:
        starts.add(len(ids))
    labels = ids + [NO_LABEL] * missing
    ids = ids + [padding] * missing
    positions = []
    begin = 0
    for place in range(len(ids)):
        if place in starts:
            begin, labels[place] = place, NO_LABEL
        positions.append(place - begin)
    cuts = range(0, len(ids), row_length)
    columns = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return {name: [values[cut : cut + row_length] for cut in cuts] for name, values in columns.items()}
