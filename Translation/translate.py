"""Translate parallel sentences in many directions, with any translator; one file a direction, as the paper released.

    python Translation/translate.py --translator assets/world --sentences DIR --out DIR

DIR of sentences holds <code>.devtest, a sentence a line. Writes test-<src>-<tgt>, records-<src>-<tgt>.csv and run.json.
What is translated is kept in translations.sqlite, so that a killed run goes on and no sentence is translated twice. A
sentence that a server fails to translate is in the records with the reason, the direction has no test- file yet, and
the same command asks again.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from systems import FILE_NAME, read_lines

from common.cli import InputError, comma_list, config_hash, parse, require_given, run
from common.languages import get
from common.reporting.files import write_csv_atomic, write_json_atomic, write_text_atomic
from common.reporting.provenance import file_digest, git_commit, now, package_versions, peak_memory, read_run
from common.translation.base import Translator, Untranslated
from common.translation.factory import make_translator


@dataclass
class Translate:
    """Translate parallel sentences.

    Attributes:
        translator: dictionary, google, deepl, libre; a model, encoder-decoder or causal; or endpoint:MODEL, chat:MODEL.
        sentences: folder with <code>.devtest, one sentence a line, parallel.
        out: folder to write to; its name is the system's in score.py.
        directions: such as en-de, a list or separated by commas; null is from and into English for every file.
        shots: solved examples in a causal LM's prompt.
        examples: folder with <code>.dev, from whose beginning the examples are; needed with shots.
        dictionary: folder of en-de.tsv and so on.
        device: of a model: auto, cpu, cuda, cuda:N.
        limit: only so many first sentences; null is all.
    """

    translator: str
    out: str
    sentences: str | None = None
    languages: str | list[str] | None = None
    directions: str | list[str] | None = None
    shots: int = 0
    examples: str | None = None
    dictionary: str | None = None
    device: str = "auto"
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "sentences")
        if self.shots and not self.examples:
            raise InputError(f"shots is {self.shots}, but no folder with examples is named: add --examples DIR")
        if self.shots < 0 or (self.limit is not None and self.limit < 1):
            raise InputError("shots must be 0 or more, limit 1 or more, or null")


def directions_of(config: Translate) -> list[tuple[str, str]]:
    """(source, target) of every direction; InputError for one that is no direction or has no file."""
    folder = Path(config.sentences)
    if config.directions is None:
        codes = sorted(path.stem for path in folder.glob("*.devtest") if path.stem != "en")
        pairs = [("en", code) for code in codes] + [(code, "en") for code in codes]
    else:
        names = [(name, FILE_NAME.fullmatch(f"test-{name}")) for name in comma_list(config.directions)]
        wrong = next((name for name, match in names if match is None), None)
        if wrong:
            raise InputError(f"directions {wrong!r}: write source and target as en-de")
        pairs = [match.groups() for _, match in names]
    for code in {code for pair in pairs for code in pair}:
        get(code)
        if not (folder / f"{code}.devtest").exists():
            raise InputError(f"{folder}/{code}.devtest: no such file")
    if not pairs:
        raise InputError(f"{folder}: no <code>.devtest besides English")
    return pairs


def read_examples(config: Translate, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The first `shots` sentence pairs of each direction."""
    if not config.shots:
        return {}
    lines = {code: read_lines(Path(config.examples) / f"{code}.dev") for pair in pairs for code in pair}
    short = next((code for code, found in lines.items() if len(found) < config.shots), None)
    if short:
        raise InputError(f"{config.examples}/{short}.dev: fewer than {config.shots} lines")
    return {(a, b): list(zip(lines[a], lines[b], strict=False))[: config.shots] for a, b in pairs}


def write_direction(config: Translate, translator: Translator, source: str, target: str) -> dict[int, str]:
    """Translate one direction and write its two files; returns why rows failed, and writes the records alone if any."""
    path, out = Path(config.sentences) / f"{source}.devtest", Path(config.out)
    sentences = read_lines(path)[: config.limit]
    reasons: dict[int, str] = {}
    try:
        hypotheses = translator.translate(sentences, source, target)
    except Untranslated as error:
        hypotheses, reasons = error.done, error.reasons
    except InputError as error:
        raise InputError(f"{path}, {source}-{target}: {error}") from error
    lines = [" ".join((hypothesis or "").split()) for hypothesis in hypotheses]  # one line each, whatever came back
    rows = range(len(lines))
    table = pd.DataFrame({"id": rows, "source": sentences, "hypothesis": lines, "error": map(reasons.get, rows)})
    write_csv_atomic(out / f"records-{source}-{target}.csv", table)
    if not reasons:
        write_text_atomic(out / f"test-{source}-{target}", "".join(line + "\n" for line in lines))
    print(f"{out}, {source}-{target}: {len(lines) - len(reasons)} of {len(lines)} sentences")
    return reasons


def main() -> None:
    config = parse(Translate)
    pairs = directions_of(config)
    out = Path(config.out)
    translator = make_translator(
        config.translator,
        dictionary=config.dictionary,
        cache_file=str(out / "translations.sqlite"),
        device=config.device,
        examples=read_examples(config, pairs),
    )
    data = {code: file_digest(Path(config.sentences) / f"{code}.devtest") for pair in pairs for code in pair}
    digest = config_hash({"translator": translator.identity, "limit": config.limit})
    if (out / "run.json").exists():
        old = read_run(out)
        if old["hash"] != digest:
            was = f"{old['translator']} and limit {old['config']['limit']}"
            raise InputError(f"{out}: made by another translator or limit, {was}; use another --out or delete it")
        changed = [f"{code}.devtest" for code in data if old["data"].get(code, data[code]) != data[code]]
        if changed:
            raise InputError(f"{out}: made from another {' and '.join(changed)}; use another --out or delete it")
        data = old["data"] | data
    info = {"config": asdict(config), "hash": digest, "translator": translator.identity, "data": data, "start": now()}
    info |= {"git_commit": git_commit(), "packages": package_versions()}
    write_json_atomic(out / "run.json", info)
    failed = {f"{a}-{b}": reasons for a, b in pairs if (reasons := write_direction(config, translator, a, b))}
    if failed:
        name, reasons = next(iter(failed.items()))
        raise InputError(
            f"{sum(map(len, failed.values()))} sentences of {', '.join(failed)} have no translation yet: {name} row"
            f" {min(reasons)}: {reasons[min(reasons)]}; the same command asks for them again"
        )
    write_json_atomic(out / "run.json", info | {"end": now(), **peak_memory()})


if __name__ == "__main__":
    run(main)
