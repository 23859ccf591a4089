"""Translate word by word from tab-separated dictionaries."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from common.cli import InputError
from common.reporting.provenance import file_digest

WORD = re.compile(r"\w+(?:[-'’]\w+)*")


class DictionaryTranslator:
    """Word by word from tab-separated files `<source>-<target>.tsv` in a folder, or from the file of the reverse pair.

    The longest matching entry is used (entries may have several words), and of several translations the first.
    Punctuation, spacing and case are kept: `Dog` gives `Chien`, `DOG` gives `CHIEN`. Words without an entry are left
    as they are.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not (files := sorted(self.folder.glob("*-*.tsv"))):
            raise InputError(f"{self.folder}: no dictionaries such as en-de.tsv in this folder")
        self.identity = "dictionary " + " ".join(f"{path.stem} {file_digest(path)[:12]}" for path in files)
        self._entries = cache(self._read)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        return [self._replace(text, *self._entries(source, target)) for text in texts]

    def _read(self, source: str, target: str) -> tuple[dict[str, str], int]:
        """Entries of one direction, and the number of words in the longest entry."""
        straight, reverse = self.folder / f"{source}-{target}.tsv", self.folder / f"{target}-{source}.tsv"
        path = straight if straight.exists() else reverse
        if not path.exists():
            raise InputError(f"{self.folder}: neither {straight.name} nor {reverse.name}; add one of them")
        entries: dict[str, str] = {}
        for cells in word_pairs(path):
            word, translation = cells if path == straight else reversed(cells)
            entries.setdefault(word, translation)
        for word, translation in list(entries.items()):
            entries.setdefault(word.lower(), translation)
        return entries, max((len(WORD.findall(word)) for word in entries), default=1)

    @staticmethod
    def _replace(text: str, entries: dict[str, str], longest: int) -> str:
        words = list(WORD.finditer(text))
        pieces, place, i = [], 0, 0
        while i < len(words):
            for count in range(min(longest, len(words) - i), 0, -1):
                start, end = words[i].start(), words[i + count - 1].end()
                written = text[start:end]
                key = " ".join(written.split())
                # An entry in this very case keeps the case of its translation: German nouns are capitalised.
                translation = entries.get(key) or _like(written, entries.get(key.lower()))
                if translation:
                    break
            pieces += [text[place:start], translation or written]
            place, i = end, i + count
        return "".join([*pieces, text[place:]])


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file; only \\n and \\r\\n end one. InputError naming the line that is not UTF-8."""
    content = path.read_bytes()
    try:
        lines = [line.removesuffix("\r") for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} row {row}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    return lines[:-1] if lines[-1] == "" else lines


def word_pairs(path: Path) -> Iterator[list[str]]:
    """The entries of a dictionary file, each a word and its translation; InputError naming the row that is none."""
    for number, line in enumerate(read_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            raise InputError(f"{path} row {number}: two words with a tab between are needed, not {line[:80]!r}")
        yield cells


def _like(model: str, word: str | None) -> str | None:
    """The word in the case of `model`; a capital letter of its own is kept."""
    if word and len(model) > 1 and model.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if word and model[0].isupper() else word
