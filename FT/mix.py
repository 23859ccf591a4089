"""Make a mixed-language corpus from a monolingual one.

    python FT/mix.py --input FILE --unit words --unit_size 8 --languages en,de,fr,es,it --translator dictionary \
        --dictionary DIR --seed 42 --out FILE.jsonl

Beside `out`: `.summary.csv` (text and switches by language), `.sample.txt` (a sample to read) and `.run.json`.
Interrupted runs resume when rerun. The output depends on the seed, not on the number of processes.
"""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from segments import Layout, Scheme, Span, Unit, draw_languages, mix, unit_spans

from common.cli import InputError, comma_list, config_hash, parse, require_given, require_positive, run
from common.corpus import Document, corpus_digest, read_documents
from common.languages import PAPER, get
from common.progress import Progress
from common.reporting.files import (
    atomic_file,
    claim,
    temporary_file,
    write_csv_atomic,
    write_json_atomic,
    write_text_atomic,
)
from common.reporting.provenance import now, session
from common.translation.base import Translator
from common.translation.factory import make_translator

SHARD_CHARACTERS = 250_000  # text of a shard, the unit of work and of resuming
SAMPLE_DOCUMENTS = 3
SAMPLE_UNITS = 40


@dataclass
class Mix:
    """Make a mixed-language corpus.

    Attributes:
        input: text file, .jsonl or .parquet with a column `text`, or a data set's hub name or folder.
        out: file to write, .jsonl or .parquet.
        languages: ISO codes, a list or separated by commas; the first is the input's.
        unit: unit of one language: document (what that is, `documents` says: a whole WikiText article, or a line or
            row), paragraph, sentence, `words` (unit_size of them) or word.
        unit_size: words in a unit of `words`.
        layout: `replace` puts the translation in place of the unit, `parallel` after it, `interleaved` after it with
            one language per document.
        probability: share of the units that are translated; null is an equal share for every language.
        translator: dictionary (null too), google, deepl, libre, a model, or command:PROGRAM.
        dictionary: folder of en-de.tsv and so on.
        cache: SQLite file for translations of models and services; null is `translations.sqlite` beside `out`.
        subset: configuration of the data set, such as wikitext-103-raw-v1.
        split: split of the data set.
        documents: `headings` starts a document at each WikiText title, so that it is an article, and at each row of
            several lines; `rows` at each line or row that is not blank, as in the paper's code; null is headings.
        detokenize: undo WikiText's tokenization; null is false.
        limit: number of documents, from the first; null is all.
        processes: number of parallel processes.
        device: device of a model: auto, cpu, cuda, cuda:N.
        seed: seed of the language of every unit.
    """

    out: str
    input: str | None = None
    languages: str | list[str] = ",".join(PAPER)
    unit: Unit = "words"
    unit_size: int = 8
    layout: Layout = "replace"
    probability: float | None = None
    translator: str | None = None
    dictionary: str | None = None
    cache: str | None = None
    subset: str | None = None
    split: str = "train"
    documents: Literal["headings", "rows"] | None = None
    detokenize: bool | None = None
    limit: int | None = None
    processes: int = 1
    device: str = "auto"
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "input")
        self.translator = self.translator or "dictionary"
        self.documents = self.documents or "headings"
        languages = comma_list(self.languages)
        if len(languages) < 2 or len(set(languages)) < len(languages):
            raise InputError(f"languages {','.join(languages)}: give two or more, each once, the input's first")
        for language in languages:
            get(language)
        if Path(self.out).suffix not in (".jsonl", ".parquet"):
            raise InputError(f"out {self.out!r}: the name must end in .jsonl or .parquet")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise InputError(f"probability is {self.probability}; it must be a share between 0 and 1")
        require_positive(self, "unit_size", "processes", "limit")

    @property
    def scheme(self) -> Scheme:
        languages = tuple(comma_list(self.languages))
        probability = 1 - 1 / len(languages) if self.probability is None else self.probability
        return Scheme(languages, self.unit, self.unit_size, self.layout, probability, self.seed)

    def make_translator(self) -> Translator:
        cache = self.cache or str(Path(self.out).with_name("translations.sqlite"))
        return make_translator(self.translator, dictionary=self.dictionary, cache_file=cache, device=self.device)

    def read(self, *, as_it_is: bool = False) -> Iterator[Document]:
        """The documents; `as_it_is`: with their tokenization, of which undoing takes the longest."""
        detokenize = bool(self.detokenize) and not as_it_is
        documents = read_documents(self.input, self.subset, self.split, self.documents, detokenize)
        return islice(documents, self.limit)


_translator: Translator | None = None  # of a worker process


def start_worker(config: Mix) -> None:
    """Make the translator, once per process; a worker ends with its parent, however that ends."""
    global _translator
    if parent := multiprocessing.parent_process():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends the others
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _translator = config.make_translator()


def write_shard(documents: Sequence[Document], scheme: Scheme, path: Path, progress: Progress | None = None) -> int:
    """Mix documents and write them as JSON lines, each with its counts for the summary; returns how many they are."""
    rows = []
    for document in documents:
        source = scheme.languages[0]
        spans = unit_spans(document.text, scheme.unit, scheme.unit_size, source)
        units = [document.text[start:end] for start, end in spans]
        drawn = draw_languages(scheme, document.doc_id, len(units))
        try:
            text, languages = mix(units, drawn, scheme, _translator)
        except InputError as error:
            said = str(error)
            place = f", unit {said.removeprefix('row ')}" if said.startswith("row ") else f": {said}"
            raise InputError(f"document {document.doc_id}{place}") from error
        record = {"text": text, "doc_id": document.doc_id, "unit": scheme.unit}
        record["languages"] = [asdict(span) for span in languages]
        rows.append(json.dumps({"record": record, "counts": count(text, languages, units, drawn, scheme)}))
        if progress:
            progress.update()
    write_text_atomic(path, "".join(row + "\n" for row in rows))
    return len(rows)


def count(text: str, spans: Sequence[Span], units: Sequence[str], drawn: Sequence[str], scheme: Scheme) -> dict:
    """Counts of one document for the summary: by language, and of boundaries and switches."""
    counts = {kind: Counter() for kind in ("units", "words", "source_words", "untranslated")}
    for span in spans:
        counts["units"][span.language] += 1
        counts["words"][span.language] += len(text[span.start : span.end].split())
    written = iter(spans)
    for unit, language in zip(units, drawn, strict=True):
        span = next(written)
        if language != scheme.languages[0]:
            span = next(written) if scheme.layout != "replace" else span
            words = Counter(word for word in unit.split() if any(map(str.isalpha, word)))
            counts["source_words"][language] += words.total()
            counts["untranslated"][language] += (words & Counter(text[span.start : span.end].split())).total()
    languages = [span.language for span in spans]
    switches = sum(a != b for a, b in zip(languages, languages[1:], strict=False))
    return {"by_language": counts, "boundaries": len(spans) - 1, "switches": switches}


def shards(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in groups of about SHARD_CHARACTERS."""
    shard, size = [], 0
    for document in documents:
        shard.append(document)
        size += len(document.text)
        if size >= SHARD_CHARACTERS:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def write_shards(config: Mix, folder: Path) -> list[Path]:
    """Write the missing shards, `processes` at a time; returns all of them in order."""
    paths: list[Path] = []
    with Progress(sum(1 for _ in config.read(as_it_is=True)), "documents") as progress:

        def missing() -> Iterator[tuple[list[Document], Scheme, Path]]:
            for number, shard in enumerate(shards(config.read())):
                paths.append(folder / f"{number:06d}.jsonl")
                if paths[-1].exists():
                    progress.update(len(shard))
                else:
                    yield shard, config.scheme, paths[-1]

        if config.processes == 1:
            start_worker(config)
            for shard in missing():
                write_shard(*shard, progress)
        else:
            in_processes(config, missing(), progress)
    return paths


def in_processes(config: Mix, missing: Iterable[tuple[list[Document], Scheme, Path]], progress: Progress) -> None:
    """Write shards in parallel; only a few are read ahead, so that a large corpus does not fill memory."""
    running: deque[Future] = deque()
    # Spawned, not forked: a translator may hold threads or a GPU.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(config.processes, context, start_worker, (config,))
    try:
        for shard in missing:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # in the workers too: Ctrl-C is for the parent
            running.append(pool.submit(write_shard, *shard))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            if len(running) > 2 * config.processes:
                progress.update(running.popleft().result())
        while running:
            progress.update(running.popleft().result())
    except BaseException as error:
        for worker in multiprocessing.active_children():  # a shard is written whole or not at all
            worker.kill()
        if isinstance(error, BrokenProcessPool):
            raise InputError(
                "a worker process was ended, probably for want of memory; run the same command with fewer --processes"
            ) from error
        raise
    finally:
        pool.shutdown()


def read_shards(paths: Iterable[Path]) -> Iterator[tuple[dict, dict]]:
    """Record and counts of each document."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    yield row["record"], row["counts"]
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}: cut short or changed; delete it and run the same command") from error


def write_corpus(paths: Sequence[Path], out: Path) -> None:
    """Join the shards."""
    if out.suffix == ".jsonl":
        with atomic_file(out) as file:
            for record, _ in read_shards(paths):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        span = pa.struct([("language", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
        schema = pa.schema(
            [("text", pa.string()), ("doc_id", pa.int64()), ("unit", pa.string()), ("languages", pa.list_(span))]
        )
        with temporary_file(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for path in paths:
                records = [record for record, _ in read_shards([path])]
                writer.write_table(pa.Table.from_pylist(records, schema))


def summarize(paths: Sequence[Path], scheme: Scheme) -> pd.DataFrame:
    """One row per language, and one (`all`) with the switches; shares of text are shares of the written words."""
    totals: dict[str, Counter] = {}
    boundaries = switches = 0
    for _, counts in read_shards(paths):
        for kind, values in counts["by_language"].items():
            totals.setdefault(kind, Counter()).update(values)
        boundaries, switches = boundaries + counts["boundaries"], switches + counts["switches"]
    units, words = sum(totals["units"].values()), sum(totals["words"].values())
    rows: list[dict[str, Any]] = []
    for language in scheme.languages:
        source_words = totals["source_words"][language]
        rows.append(
            {
                "language": language,
                "share_asked": float(scheme.shares[language]) if scheme.layout == "replace" else None,
                "units": totals["units"][language],
                "unit_share": totals["units"][language] / units,
                "words": totals["words"][language],
                "word_share": totals["words"][language] / words,
                "untranslated_share": totals["untranslated"][language] / source_words if source_words else None,
            }
        )
    total: dict[str, Any] = {"language": "all", "units": units, "unit_share": 1.0, "words": words, "word_share": 1.0}
    source_words = sum(totals["source_words"].values())
    total["untranslated_share"] = sum(totals["untranslated"].values()) / source_words if source_words else None
    one_language = scheme.unit == "document"
    if scheme.layout == "replace":
        total["switch_share_asked"] = 0.0 if one_language else scheme.switch_share
    total["switch_share"] = switches / boundaries if boundaries else 0.0
    total["switches_per_100_words"] = 100 * switches / words
    return pd.DataFrame([*rows, total])


def sample(paths: Sequence[Path]) -> str:
    """The beginnings of the first documents, each span preceded by its language."""
    texts = []
    for record, _ in islice(read_shards(paths), SAMPLE_DOCUMENTS):
        spans = record["languages"][:SAMPLE_UNITS]
        stretches = [f"[{span['language']}] {record['text'][span['start'] : span['end']][:2000]}" for span in spans]
        texts.append(f"=== document {record['doc_id']} ===\n{''.join(stretches).rstrip()}\n")
    return "\n".join(texts)


def provenance_of(out: Path) -> Path:
    """The JSON file beside a corpus."""
    return out.with_name(f"{out.name}.run.json")


def made(out: Path, digest: str) -> bool:
    """Whether the corpus is there; InputError where another file is in its place."""
    if not out.exists():
        return False
    provenance = provenance_of(out)
    if not provenance.exists() or digest not in provenance.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"{out}: from another configuration or input; use another --out or delete it")
    print(f"{out}: up to date")
    return True


def main() -> None:
    config = parse(Mix)
    out = Path(config.out)
    keys = {key: value for key, value in asdict(config).items() if key not in ("out", "cache", "processes", "device")}
    keys["dictionary"] = config.dictionary if config.translator == "dictionary" else None
    identity = {"corpus": corpus_digest(config.input, config.subset, config.split)}
    identity["translator"] = config.make_translator().identity
    digest = config_hash(keys | identity)
    if made(out, digest):
        return
    folder = out.with_name(f"{out.name}.shards") / digest
    claim(folder.parent)
    if made(out, digest):  # by another process meanwhile
        shutil.rmtree(folder.parent)
        return
    started = now()
    paths = write_shards(config, folder)
    summary = summarize(paths, config.scheme)
    write_csv_atomic(out.with_name(f"{out.name}.summary.csv"), summary, float_format="%.6f")
    write_text_atomic(out.with_name(f"{out.name}.sample.txt"), sample(paths))
    write_json_atomic(provenance_of(out), {"config": asdict(config), "hash": digest, **identity, **session(started)})
    write_corpus(paths, out)  # last: the corpus is there when all of it is
    shutil.rmtree(folder.parent)
    print(summary.to_string(index=False, float_format="{:.4f}".format, na_rep=""), f"\n{out}")


if __name__ == "__main__":
    run(main)
