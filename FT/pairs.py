"""Pairs of texts that mean the same, from parallel files, dictionaries or a corpus of FT/mix.py."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from common.cli import InputError, comma_list, config_hash
from common.corpus import read_rows
from common.languages import LANGUAGES
from common.reporting.provenance import file_digest
from common.translation.dictionary import read_lines, word_pairs

SIDES = ("source", "target")


class Pair(NamedTuple):
    """A text and its translation: token ids, which of them are the text's own, and a number for each different text."""

    ids: tuple[list[int], list[int]]
    own: tuple[list[bool], list[bool]]
    texts: tuple[int, int]


def read_pairs(source: str, languages: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Texts and their translations, from one of four sources; of a folder only files of `languages`, if there are any.

    A folder with a file of sentences a language (`en.devtest`, `de.devtest`, row for row parallel; English, or the
    first language, with each of the others); a folder of dictionaries (`en-de.tsv`); a .tsv file of two columns; a
    corpus of FT/mix.py with `layout: parallel`. Raises InputError for anything else, naming file and row.
    """
    path = Path(source)
    if path.is_dir():
        files = [file for file in sorted(path.glob("*-*.tsv")) if covers(languages, *file.stem.split("-"))]
        pairs = [tuple(cells) for file in files for cells in word_pairs(file)] or parallel_lines(path, languages)
    elif path.suffix == ".tsv":
        pairs = [tuple(cells) for cells in word_pairs(path)]
    elif path.suffix in (".jsonl", ".parquet"):
        made = Path(f"{source}.run.json")
        if made.exists() and '"layout": "replace"' in made.read_text(encoding="utf-8", errors="replace"):
            raise InputError(f"align_data {source!r}: made with layout replace, not parallel; see FT/mix.py")
        pairs = list(parallel_spans(source))
    else:
        raise InputError(
            f"align_data {source!r}: give a folder of parallel files (en.devtest, de.devtest) or of dictionaries"
            " (en-de.tsv), a .tsv file, or a corpus of FT/mix.py with layout parallel"
        )
    if len(pairs) < 2:
        raise InputError(f"align_data {source!r}: {len(pairs)} pairs in it; two or more are needed")
    return pairs


def pairs_digest(source: str) -> str:
    """What identifies the pairs: the digest of a file, or of all files of a folder."""
    path = Path(source)
    if not path.is_dir():
        return file_digest(path)
    return config_hash({file.name: file_digest(file) for file in sorted(path.iterdir()) if file.is_file()})


def covers(languages: Sequence[str], *codes: str) -> bool:
    """Whether all codes are among `languages`, of which none means all."""
    return not languages or set(codes) <= set(languages)


def parallel_lines(folder: Path, languages: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Pairs of the first language with each other one; InputError for rows that are missing or blank."""
    files = {path.name.split(".")[0]: path for path in sorted(folder.iterdir()) if path.is_file()}
    files = {code: path for code, path in files.items() if code in LANGUAGES and covers(languages, code)}
    if len(files) < 2:
        asked = f" in {', '.join(languages)}" if languages else ""
        raise InputError(
            f"align_data '{folder}': no en-de.tsv, and not two files such as en.devtest and de.devtest{asked}"
        )
    first = "en" if "en" in files else next(iter(files))
    lines = {code: read_lines(path) for code, path in files.items()}
    for code, path in files.items():
        if len(lines[code]) != len(lines[first]):
            raise InputError(f"{path}: {len(lines[code])} lines where {files[first]} has {len(lines[first])}")
        for number, line in enumerate(lines[code], 1):
            if not line.strip():
                raise InputError(f"{path} row {number}: blank; write the sentence, or leave the row out everywhere")
    return [pair for code in files if code != first for pair in zip(lines[first], lines[code], strict=True)]


def parallel_spans(corpus: str) -> Iterator[tuple[str, str]]:
    """Each unit of a corpus with the translation that follows it; InputError for a translation that follows none."""
    own = ""
    for number, row in enumerate(read_rows(corpus), 1):
        try:
            spans = [(span["language"], row["text"][span["start"] : span["end"]].strip()) for span in row["languages"]]
        except (KeyError, TypeError) as error:
            raise InputError(f"{corpus} row {number}: no column languages as FT/mix.py writes it") from error
        own = own or (spans[0][0] if spans else "")
        for (before, text), (after, translation) in zip([("", ""), *spans], spans, strict=False):
            if after != own != before:
                raise InputError(
                    f"{corpus} row {number}: {translation!r:.60} follows no text in {own}; use layout parallel"
                )
            if after != own and text and translation:
                yield text, translation


def tokenized(pairs: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, most: int) -> list[Pair]:
    """The pairs as the model reads them, cut at `most` tokens; those without a token of their own are left out."""
    numbers: dict[str, int] = {}
    sides = []
    for texts in zip(*pairs, strict=True):
        made = tokenizer(list(texts), truncation=True, max_length=most, return_special_tokens_mask=True, verbose=False)
        own = [[not special for special in row] for row in made["special_tokens_mask"]]
        named = [numbers.setdefault(text, len(numbers)) for text in texts]
        sides.append(zip(made["input_ids"], own, named, strict=True))
    rows = (Pair(*zip(source, target, strict=True)) for source, target in zip(*sides, strict=True))
    return [row for row in rows if all(map(any, row.own))]


def padded(pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
    """A batch of all sources and then all targets: `input_ids`, `attention_mask`, `own` [2n, longest], `texts` [2n]."""

    def joined(rows: Iterable[list], filling: int) -> torch.Tensor:
        return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=filling)

    rows = [(pair.ids[side], pair.own[side], pair.texts[side]) for side in range(len(SIDES)) for pair in pairs]
    ids, own, texts = zip(*rows, strict=True)
    attended = joined(([1] * len(row) for row in ids), 0)
    return {
        "input_ids": joined(ids, 0),
        "attention_mask": attended,
        "own": joined(own, False),
        "texts": torch.tensor(texts),
    }


def load_pairs(config: Any, tokenizer: PreTrainedTokenizerBase, processes: int) -> list[Pair]:
    """The pairs that the keys name; InputError where they cannot be used, and for several processes."""
    if processes > 1:
        raise InputError(
            f"align {config.align}: it trains in one process, not {processes}; start it without a launcher"
        )
    languages = comma_list(config.align_languages or "")
    pairs = tokenized(read_pairs(config.align_data, languages), tokenizer, config.row_length)
    if len(pairs) < 2:
        raise InputError(f"align_data {config.align_data!r}: fewer than two pairs have tokens")
    return pairs
