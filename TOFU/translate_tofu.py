"""Translate TOFU's questions, answers, paraphrases and perturbations with any translator of the repository.

    python TOFU/translate_tofu.py --data FILE.json --languages de,fr --translator dictionary --dictionary DIR --out DIR

Writes <out>/<language>/<name>.json. Translations of models and services are cached in <out>/translations.sqlite:
interrupted runs resume when rerun, and no text is translated twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tofu import TEXTS, AuthorQuestion, file_name, read_tofu, write_tofu
from tqdm import tqdm

from common.cli import InputError, comma_list, parse, require_positive, run
from common.languages import get
from common.plan import Work, planning, say_plan
from common.progress import Progress
from common.translation.base import Translator
from common.translation.factory import make_translator


@dataclass
class Translate:
    """Translate TOFU from English.

    Attributes:
        data: JSON file in TOFU's fields, or a data set's name (locuslab/TOFU).
        out: folder to write to.
        languages: ISO codes, a list or separated by commas; English is left out.
        translator: dictionary, google, deepl, libre; a model, encoder-decoder or causal; or endpoint:MODEL, chat:MODEL.
        subset: of the data set, such as forget10_perturbed.
        dictionary: folder of en-de.tsv and so on.
        device: of a model: auto, cpu, cuda, cuda:N.
        limit: only so many first questions; null is all.
    """

    data: str
    out: str
    languages: str | list[str]
    translator: str
    subset: str | None = None
    dictionary: str | None = None
    device: str = "auto"
    limit: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "limit")


def translate(rows: Sequence[AuthorQuestion], translator: Translator, language: str, name: str) -> list[AuthorQuestion]:
    """The rows in another language; InputError naming row and field of a text that cannot be translated."""
    done = list(rows)
    for field in TEXTS:
        places = [place for place, row in enumerate(rows) if getattr(row, field)]
        texts = ask(translator, [getattr(rows[place], field) for place in places], language, name, field, places)
        for place, text in zip(places, texts, strict=True):
            done[place] = replace(done[place], **{field: text})
    places = [place for place, row in enumerate(rows) for _ in row.perturbed_answer]
    wrong = [text for row in rows for text in row.perturbed_answer]
    texts = iter(ask(translator, wrong, language, name, "perturbed_answer", places))
    return [replace(row, perturbed_answer=tuple(next(texts) for _ in row.perturbed_answer)) for row in done]


def ask(
    translator: Translator, texts: Sequence[str], language: str, name: str, field: str, places: Sequence[int]
) -> list[str]:
    """The translations of one field's texts, which are from the rows `places`; InputError for an empty one."""
    try:
        translated = translator.translate(texts, "en", language)
    except InputError as error:
        raise InputError(f"{name}, {field}s into {language}: {error}") from error
    for place, text in zip(places, translated, strict=True):
        if not text.strip():
            raise InputError(f"{name}, row {place + 1}: {field} is empty in {language}; use another translator")
    return translated


def main() -> None:
    config = parse(Translate)
    rows = read_tofu(config.data, config.subset)[: config.limit]
    languages = [code for code in comma_list(config.languages) if get(code).code != "en"]
    if not languages:
        raise InputError("languages names none but English; name those to translate into, as de,fr")
    name = file_name(config.data, config.subset)
    if planning():
        left = sum(not Path(config.out, code, name).exists() for code in languages)
        texts = [t for row in rows for t in (*(getattr(row, f) for f in TEXTS), *row.perturbed_answer) if t] * left
        say_plan(Work.of(texts, translated=True))
    translator = make_translator(
        config.translator,
        dictionary=config.dictionary,
        cache_file=str(Path(config.out, "translations.sqlite")),
        device=config.device,
    )
    with Progress(len(languages), "languages") as progress:
        for code in languages:
            path = Path(config.out, code, name)
            write_tofu(path, translate(rows, translator, code, config.data))
            tqdm.write(f"{path}: {len(rows)} rows")
            progress.update()


if __name__ == "__main__":
    run(main)
