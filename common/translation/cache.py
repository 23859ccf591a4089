"""Keep the translations of slow translators in a SQLite file."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from common.cli import InputError
from common.database import database
from common.translation.base import Translator, Untranslated

CACHE_BATCH = 512  # texts between two writes to the cache
TABLE = (
    "translations (translator TEXT, source TEXT, target TEXT, text TEXT, translation TEXT NOT NULL,"
    " PRIMARY KEY (translator, source, target, text)) WITHOUT ROWID"
)


class CachedTranslator:
    """Another translator whose translations are kept in a SQLite file, which the first translation makes.

    Several processes may share the file; a killed process loses at most its current batch.
    """

    def __init__(self, translator: Translator, path: str | os.PathLike):
        self.translator, self.path = translator, Path(path)
        self.identity = translator.identity

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Each distinct text is translated once; finished batches are kept.

        Raises Untranslated, after the last batch, where some texts could not be translated.
        """
        key = (self.identity, source, target)
        wanted = list(dict.fromkeys(texts))
        found: dict[str, str | None] = {}
        failed: dict[str, str] = {}
        with database(self.path, TABLE) as kept:
            for text in wanted:
                row = kept.execute(
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
                except InputError as error:  # which has the row in the batch
                    row = re.match(r"row (\d+)(.*)", str(error), re.DOTALL)
                    said = f"row {texts.index(batch[int(row[1])])}{row[2]}" if row else str(error)
                    raise InputError(said) from error
                with kept:
                    rows = [(*key, text, said) for text, said in zip(batch, done, strict=True) if said is not None]
                    kept.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)", rows)
                found.update(zip(batch, done, strict=True))
        translations = [found[text] for text in texts]
        if failed:
            raise Untranslated(translations, {row: failed[text] for row, text in enumerate(texts) if text in failed})
        return translations
