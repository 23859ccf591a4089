"""Translate parallel sentences in many directions with any translator; one file per direction, as the paper released.

    python Translation/translate.py --translator assets/world --sentences DIR --out DIR

Writes test-<src>-<tgt>, records-<src>-<tgt>.csv and run.json. Translations are kept in translations.sqlite: interrupted
runs resume when rerun, and no sentence is translated twice. A sentence that a server failed to translate is in the
records with the reason; its direction has no test- file until a rerun of the same command succeeds.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from systems import FILE_NAME, languages_of, read_sentences
from tqdm import tqdm
from translation_protocol import paper_translator

from common.cli import InputError, comma_list, config_hash, parse, require_given, run
from common.languages import PAPER
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.reporting.files import claim, write_csv_atomic, write_text_atomic
from common.reporting.provenance import now, read_run, session, write_run
from common.translation.base import Translator, Untranslated
from common.translation.cache import CachedTranslator
from common.translation.causal_lm import Examples
from common.translation.factory import make_translator


@dataclass
class Translate:
    """Translate parallel sentences.

    Attributes:
        translator: dictionary, google, deepl, libre; a model, encoder-decoder or causal; endpoint:MODEL, chat:MODEL; or
            command:PROGRAM.
        out: folder to write to; its name is the system's in score.py.
        protocol: ours is our prompt and greedy decoding; paper is the paper's prompt and decoding, of a causal LM or
            chat:MODEL.
        sentences: folder with <code>.devtest, one sentence per line, or a data set (openlanguagedata/flores_plus).
        languages: ISO codes, a list or separated by commas, translated from and into English; null is every file of a
            folder, or the paper's languages of a data set.
        directions: instead of languages, such as en-de, a list or separated by commas.
        num_fewshot: solved examples in a causal LM's prompt.
        examples: folder with <code>.dev, or a data set: its first sentences; needed with num_fewshot.
        dictionary: folder of en-de.tsv and so on, for the translator dictionary.
        dtype: precision of a model: auto (as its configuration says; of an encoder-decoder bfloat16 on a GPU, float32
            elsewhere), float32, bfloat16 or float16.
        device: device of a model: auto, cpu, cuda, cuda:N.
        limit: number of sentences, from the first; null is all.
    """

    translator: str
    out: str
    protocol: Literal["ours", "paper"] = "ours"
    sentences: str | None = None
    languages: str | list[str] | None = None
    directions: str | list[str] | None = None
    num_fewshot: int = 0
    examples: str | None = None
    dictionary: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    limit: int | None = None

    def __post_init__(self) -> None:
        require_given(self, "sentences")
        if self.num_fewshot < 0 or (self.limit is not None and self.limit < 1):
            raise InputError("num_fewshot must be 0 or more, limit 1 or more, or null")
        if self.num_fewshot and not self.examples:
            raise InputError(f"num_fewshot is {self.num_fewshot}, but there are no examples: add --examples DIR")
        if self.num_fewshot and self.protocol == "paper":
            raise InputError("protocol paper shows no examples; leave num_fewshot out")


def directions_of(config: Translate) -> list[tuple[str, str]]:
    """(source, target) of every direction; InputError for a malformed one, and where there is none."""
    if config.directions is None:
        codes = comma_list(config.languages or languages_of(config.sentences, PAPER))
        codes = [code for code in codes if code != "en"]
        pairs = [("en", code) for code in codes] + [(code, "en") for code in codes]
    else:
        names = [(name, FILE_NAME.fullmatch(f"test-{name}")) for name in comma_list(config.directions)]
        wrong = next((name for name, match in names if match is None), None)
        if wrong:
            raise InputError(f"directions {wrong!r}: write source and target as en-de")
        pairs = [match.groups() for _, match in names]
        if same := next((f"{a}-{b}" for a, b in pairs if a == b), None):
            raise InputError(f"directions {same!r}: name two languages")
    if not pairs:
        raise InputError(f"{config.sentences}: no language besides English")
    return list(dict.fromkeys(pairs))


def read_examples(config: Translate, pairs: list[tuple[str, str]]) -> Examples:
    """The first `num_fewshot` sentence pairs of each direction."""
    if not config.num_fewshot:
        return {}
    lines = {code: read_sentences(config.examples, code, "dev") for pair in pairs for code in pair}
    short = next((code for code, found in lines.items() if len(found) < config.num_fewshot), None)
    if short:
        raise InputError(f"{config.examples}, {short}: fewer than {config.num_fewshot} sentences in the split dev")
    return {(a, b): list(zip(lines[a], lines[b], strict=False))[: config.num_fewshot] for a, b in pairs}


def translator_of(config: Translate, pairs: list[tuple[str, str]]) -> Translator:
    """The translator, whose translations are kept in the folder `out`."""
    cache = str(Path(config.out) / "translations.sqlite")
    if config.protocol == "paper":
        return CachedTranslator(paper_translator(config.translator, config.device, config.dtype), cache)
    return make_translator(
        config.translator,
        dictionary=config.dictionary,
        cache_file=cache,
        device=config.device,
        dtype=config.dtype,
        examples=read_examples(config, pairs),
    )


def write_direction(
    config: Translate, translator: Translator, source: str, target: str, sentences: list[str]
) -> dict[int, str]:
    """Translate one direction and write its records, and its test- file unless rows failed; returns why they did."""
    out = Path(config.out)
    reasons: dict[int, str] = {}
    try:
        hypotheses = translator.translate(sentences, source, target)
    except Untranslated as error:
        hypotheses, reasons = error.done, error.reasons
    except InputError as error:
        raise InputError(f"{config.sentences}, {source}-{target}: {error}") from error
    lines = [" ".join((hypothesis or "").split()) for hypothesis in hypotheses]  # one line each
    rows = range(len(lines))
    table = pd.DataFrame({"id": rows, "source": sentences, "hypothesis": lines, "error": map(reasons.get, rows)})
    write_csv_atomic(out / f"records-{source}-{target}.csv", table)
    if not reasons:
        write_text_atomic(out / f"test-{source}-{target}", "".join(line + "\n" for line in lines))
    tqdm.write(f"{out}, {source}-{target}: {len(lines) - len(reasons)} of {len(lines)} sentences")
    return reasons


def main() -> None:
    config, start = parse(Translate), now()
    pairs = directions_of(config)
    out = Path(config.out)
    codes = sorted({code for pair in pairs for code in pair})
    sentences = {code: read_sentences(config.sentences, code) for code in codes}
    data = {code: config_hash({"sentences": lines}) for code, lines in sentences.items()}
    translator = translator_of(config, pairs)
    digest = config_hash({"translator": translator.identity, "limit": config.limit})
    if not planning():
        claim(out)
    if (out / "run.json").exists():
        old = read_run(out)
        if old.get("hash") != digest:
            was = f"{old.get('translator', 'another script')} and limit {old['config'].get('limit')}"
            raise InputError(
                f"{out}: made by another translator, protocol or limit, {was}; use another --out or delete it"
            )
        changed = [code for code in data if old["data"].get(code, data[code]) != data[code]]
        if changed:
            raise InputError(
                f"{out}: made from other sentences in {', '.join(changed)}; use another --out or delete it"
            )
        data = old["data"] | data
    if planning():
        left = [pair for pair in pairs if not (out / "test-{}-{}".format(*pair)).exists()]
        texts = [text for source, _ in left for text in sentences[source][: config.limit]]
        say_plan(Work.of(texts, translated=True))
    for source, target in pairs:
        translator.translate([""], source, target)  # what is wrong with a dictionary, model or device shows at once
    info = {"config": asdict(config), "hash": digest, "translator": translator.identity, "data": data}
    write_run(out, info | session(start) | {"end": None})
    failed = {}
    with Progress(len(pairs), "directions") as progress:
        for source, target in pairs:
            reasons = write_direction(config, translator, source, target, sentences[source][: config.limit])
            if reasons:
                failed[f"{source}-{target}"] = reasons
            progress.update()
    if failed:
        name, reasons = next(iter(failed.items()))
        raise InputError(
            f"{sum(map(len, failed.values()))} sentences of {', '.join(failed)} have no translation yet: {name} row"
            f" {min(reasons)}: {reasons[min(reasons)]}; rerun the same command to try them again"
        )
    write_run(out, info | session(start))


if __name__ == "__main__":
    run(main)
