"""Translate texts: the one seam through which every task asks for a translation.

    translator = make_translator("dictionary", dictionary="DIR")
    translator.translate(["The dog sleeps."], "en", "de")

Translators: a word dictionary, encoder-decoder and causal models of transformers, models behind a server, and web
services. The slow ones keep what they translated in a SQLite file. A translation that fails is an InputError that names
the text's row; the source text is never handed back in its place.
"""

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Protocol

from common.endpoint import split_server
from common.errors import InputError
from common.provenance import file_digest

SERVICES = ("google", "deepl", "libre")
WORD = re.compile(r"\w+(?:[-'’]\w+)*")
CACHE_BATCH = 512  # texts between two writes to the cache
LOCK_SECONDS = 120.0  # wait for another process that writes to the cache


class Translator(Protocol):
    """Anything that translates. `identity` says all that decides a translation: the cache is keyed by it."""

    identity: str

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The translations of `texts`, in their order; `source` and `target` are ISO 639-1 codes.

        Raises InputError naming the row (from 0) of a text that cannot be translated.
        """
        ...


class Untranslated(InputError):
    """Some texts could not be translated: `done` has None in their places, `reasons` says why, by row."""

    def __init__(self, done: list[str | None], reasons: dict[int, str]):
        row, reason = next(iter(reasons.items()))
        super().__init__(f"row {row}: {reason} ({len(reasons)} of {len(done)} texts failed)")
        self.done, self.reasons = done, reasons


def respace(source: str, translated: str) -> str:
    """The translation with the white space that was around the source."""
    before, after = source[: len(source) - len(source.lstrip())], source[len(source.rstrip()) :]
    return f"{before}{translated}{after}"


class DictionaryTranslator:
    """Word by word from tab-separated files `<source>-<target>.tsv` in a folder; the reverse file serves too.

    The longest entry that matches is taken (entries may have several words), of several translations the first.
    Punctuation, spacing and case are kept: `Dog` gives `Chien`, `DOG` gives `CHIEN`. Words without an entry stay as
    they are; `unknown` counts them.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        files = sorted(self.folder.glob("*-*.tsv"))
        if not files:
            raise InputError(f"{self.folder}: no dictionaries such as en-de.tsv in this folder")
        self.identity = "dictionary " + " ".join(f"{path.stem} {file_digest(path)[:12]}" for path in files)
        self._entries = cache(self._read)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        return [self._replace(text, source, target)[0] for text in texts]

    def unknown(self, text: str, source: str, target: str) -> int:
        """How many words of the text have no entry; numbers count as known."""
        return self._replace(text, source, target)[1]

    def _read(self, source: str, target: str) -> tuple[dict[str, str], int]:
        """Entries of one direction, and the number of words of the longest."""
        straight, reverse = self.folder / f"{source}-{target}.tsv", self.folder / f"{target}-{source}.tsv"
        path = straight if straight.exists() else reverse
        if not path.exists():
            raise InputError(f"{self.folder}: neither {straight.name} nor {reverse.name}; add one of them")
        entries: dict[str, str] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            cells = [cell.strip() for cell in line.split("\t")]
            if len(cells) != 2 or not all(cells):
                raise InputError(f"{path} row {number}: two words with a tab between are needed, not {line!r}")
            word, translation = cells if path == straight else reversed(cells)
            entries.setdefault(word, translation)
        for word, translation in list(entries.items()):
            entries.setdefault(word.lower(), translation)
        return entries, max((len(WORD.findall(word)) for word in entries), default=1)

    def _replace(self, text: str, source: str, target: str) -> tuple[str, int]:
        """The text in the target language, and the number of words left as they were."""
        entries, longest = self._entries(source, target)
        words = list(WORD.finditer(text))
        pieces, unknown, place, i = [], 0, 0, 0
        while i < len(words):
            for count in range(min(longest, len(words) - i), 0, -1):
                start, end = words[i].start(), words[i + count - 1].end()
                written = text[start:end]
                key = " ".join(written.split())
                # An entry written just so keeps its own case: German nouns have a capital, their translations none.
                translation = entries.get(key) or _like(written, entries.get(key.lower()))
                if translation:
                    break
            pieces += [text[place:start], translation or written]
            unknown += not translation and any(c.isalpha() for c in written)
            place, i = end, i + count
        return "".join([*pieces, text[place:]]), unknown


def _like(model: str, word: str | None) -> str | None:
    """The word in the case of `model`; a capital of its own stays."""
    if word and len(model) > 1 and model.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if word and model[0].isupper() else word


class CachedTranslator:
    """Another translator with a memory in a SQLite file, which several processes may share and any may be killed."""

    def __init__(self, translator: Translator, path: str | os.PathLike):
        self.translator, self.path = translator, Path(path)
        self.identity = translator.identity
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS translations (translator TEXT, source TEXT, target TEXT, text TEXT,"
                " translation TEXT NOT NULL, PRIMARY KEY (translator, source, target, text)) WITHOUT ROWID"
            )

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self.path, timeout=LOCK_SECONDS)
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: cannot be opened as a cache of translations: {error}") from error

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Each text is translated once; what is done is kept batch by batch.

        Raises Untranslated after the last batch where the translator could not do some of the texts.
        """
        key = (self.identity, source, target)
        wanted = list(dict.fromkeys(texts))
        found: dict[str, str | None] = {}
        failed: dict[str, str] = {}
        with closing(self._connect()) as database:
            for text in wanted:
                row = database.execute(
                    "SELECT translation FROM translations WHERE translator=? AND source=? AND target=? AND text=?",
                    (*key, text),
                ).fetchone()
                if row:
                    found[text] = row[0]
            missing = [text for text in wanted if text not in found]
            for start in range(0, len(missing), CACHE_BATCH):
                batch = missing[start : start + CACHE_BATCH]
                try:
                    done = self.translator.translate(batch, source, target)
                except Untranslated as error:
                    done = error.done
                    failed |= {batch[row]: reason for row, reason in error.reasons.items()}
                except InputError as error:
                    raise InputError(self._with_row(str(error), batch, texts)) from error
                with database:
                    rows = [(*key, text, said) for text, said in zip(batch, done, strict=True) if said is not None]
                    database.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)", rows)
                found.update(zip(batch, done, strict=True))
        translations = [found[text] for text in texts]
        if failed:
            raise Untranslated(translations, {row: failed[text] for row, text in enumerate(texts) if text in failed})
        return translations

    @staticmethod
    def _with_row(message: str, batch: Sequence[str], texts: Sequence[str]) -> str:
        """The message with the row in `texts` for the row in the batch."""
        match = re.match(r"row (\d+)(.*)", message, re.DOTALL)
        return f"row {list(texts).index(batch[int(match[1])])}{match[2]}" if match else message


def make_translator(
    name: str,
    *,
    dictionary: str | None = None,
    cache_file: str | None = None,
    device: str = "auto",
    examples: Mapping[tuple[str, str], Sequence[tuple[str, str]]] | None = None,
) -> Translator:
    """The translator that a configuration names.

    Args:
        name: `dictionary`, `google`, `deepl`, `libre`; a model by hub name or folder, encoder-decoder or causal; or
            `endpoint:MODEL`, `chat:MODEL` for a causal model behind an OpenAI-compatible server.
        dictionary: folder of the dictionary's files.
        cache_file: SQLite file in which models and services keep their translations; None keeps none.
        device: of a model: auto, cpu, cuda, cuda:N.
        examples: {(source, target): sentences and their translations} that a causal LM is shown.
    """
    if name == "dictionary":
        if not dictionary:
            raise InputError("translator dictionary: say with --dictionary in which folder en-de.tsv and so on are")
        return DictionaryTranslator(dictionary)
    slow: Translator
    if server := split_server(name):
        from common.translation_endpoint import EndpointTranslator

        slow = EndpointTranslator(server[0], chat=server[1], examples=examples)
    elif name in SERVICES:
        from common.translation_service import ServiceTranslator

        slow = ServiceTranslator(name)
    elif is_encoder_decoder(name):
        from common.translation_model import ModelTranslator  # takes seconds to import

        slow = ModelTranslator(name, device=device)
    else:
        from common.translation_lm import CausalTranslator

        slow = CausalTranslator(name, device=device, examples=examples)
    return CachedTranslator(slow, cache_file) if cache_file else slow


def is_encoder_decoder(name: str) -> bool:
    """Whether a model's configuration says so; `{source}` in a name stands for models of one pair, as Marian's are."""
    from transformers import AutoConfig

    if "{" in name:
        return True
    try:
        return AutoConfig.from_pretrained(name).is_encoder_decoder
    except (OSError, ValueError) as error:
        raise InputError(f"translator {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
