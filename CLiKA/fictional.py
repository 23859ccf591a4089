"""CLiKA's fictional knowledge: places on invented continents, taught in English and half of them in a language L.

    python CLiKA/fictional.py --data DIR --language de --out FILE.jsonl [--template alpaca]

Writes the training text for FT/train.py with protocol `paper`, which masks the questions. CLiKA/scripts/fictional.sh
then trains, asks (ask_fictional.py) and tabulates (tabulate_fictional.py).

DIR is laid out as CLiKA's repository (RiverGao/CLiKA, commit 51059fe). In its folder fictional/, one JSON object
{"prompt", "input", "answer"} a line:

    train/L.json                     facts in English (200 of type 0, 200 of type 1) and in L (type 0 alone), and names
                                     to translate from L into English (`input`), each in ten wordings
    test/target/testEN.jsonl, testL  facts, row for row the same; answers end in [[continent:Mythosia]][[city:...]]
                                     [[type:0]]; type 1 is never taught in L
    test/Translate/translateL.jsonl  names to translate from English into L, which is not the direction taught

Sources there: fictional/README.md (the continent decides what is right; training is complete where translation, both
types in English and type 0 in L are above 90%; type 1 in L is the test) and fictional/trainFull.sh (LLaMA-Factory's
supervised stage, which trains the answers alone, with its template `alpaca` for base models). No code there asks or
scores, so greedy decoding and the number of tokens are ours.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rows import json_rows

from common.cli import InputError, parse, run
from common.languages import get
from common.reporting.files import write_text_atomic

KEYS = ("prompt", "input", "answer")
TAGS = re.compile(r"\[\[continent:(.+?)\]\]\[\[city:(.+?)\]\]\[\[type:([01])\]\]$")
ENGLISH = "en"
Template = Literal["alpaca", "plain"]
# What stands around a prompt, and between it and its answer: LLaMA-Factory's (commit 018dadb, template.py in
# src/llmtuner/extras), and ours, short for small models and as in the other tasks.
TEMPLATES = {
    "alpaca": (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\n{}\n\n### Response:\n",
        "",
    ),
    "plain": ("{}\nAnswer:", " "),
}


@dataclass
class Teaching:
    """Write CLiKA's fictional facts and names as a training text.

    Attributes:
        data: folder in the layout of CLiKA's repository.
        out: the training text, .jsonl.
        language: ISO code of the language L.
        template: what stands around a prompt, alpaca or plain.
    """

    data: str
    out: str
    language: str = "de"
    template: Template = "alpaca"


@dataclass(frozen=True)
class Asked:
    """A question of the test.

    Attributes:
        id: `part` and number of the row; a fact has the same number in both languages.
        part: translation; english_0, english_1, target_0 or target_1: a fact by language (L is the target) and type.
        fact: number of the row.
        continent: that of the fact or of the name, in English.
        prompt: what the model reads.
        expected: what its answer must contain.
    """

    id: str
    part: str
    fact: str
    continent: str
    prompt: str
    expected: str


def read_lines(path: Path) -> list[tuple[str, dict[str, str]]]:
    """("<path>, row 3", row) of a file; InputError naming file and row for what is missing or no text."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; data must be a folder in the layout of CLiKA's repository")
    rows = list(json_rows(path, KEYS))
    for where, row in rows:
        if wrong := [key for key in KEYS if not isinstance(row[key], str) or not (row[key].strip() or key == "input")]:
            raise InputError(f"{where}: {wrong[0]} is {row[wrong[0]]!r}; it must be a text")
    return rows


def prompt_of(row: dict[str, str], template: str) -> str:
    """What the model reads; the answer follows. An input stands below its prompt, as LLaMA-Factory joins them."""
    asked = [row["prompt"].strip(), row["input"].strip()]
    return TEMPLATES[template][0].format("\n".join(part for part in asked if part))


def read_training(data: str, language: str, template: str) -> list[dict[str, str]]:
    """Rows for FT/train.py: `text`, prompt and answer, and `question`, the prompt, which is masked."""
    get(language)
    rows = [row for _, row in read_lines(Path(data, "fictional", "train", f"{language.upper()}.json"))]
    taught = []
    for row in rows:
        question = prompt_of(row, template)
        taught.append({"text": question + TEMPLATES[template][1] + row["answer"].strip(), "question": question})
    return taught


def read_test(data: str, language: str, template: str, limit: int | None = None) -> list[Asked]:
    """The names, then the facts in English, then those in L; `limit` keeps the first of each part and continent.

    Raises InputError where the two languages are not row for row the same facts.
    """
    get(language)
    if language == ENGLISH:
        raise InputError("language en: everything is taught in English; name another language")
    folder = Path(data, "fictional", "test")
    names = read_lines(folder / "Translate" / f"translate{language.upper()}.jsonl")
    english, target = (_facts(folder / "target" / f"test{code.upper()}.jsonl") for code in (ENGLISH, language))
    path = folder / "target" / f"test{language.upper()}.jsonl"
    if len(english) != len(target):
        raise InputError(f"{path}: {len(target)} facts where English has {len(english)}; get the files again")
    within: dict[str, str] = {}  # name of a place or a continent: its continent
    for _, (continent, city, _) in english:
        within |= {continent: continent, city: continent}
    asked = []
    for number, (_, row) in enumerate(names, 1):
        continent = within.get(row["input"].strip(), row["input"].strip())
        prompt = prompt_of(row, template)
        asked.append(Asked(f"translation_{number:04d}", "translation", "", continent, prompt, row["answer"].strip()))
    for own, name in ((english, "english"), (target, "target")):
        for number, ((row, (continent, _, kind)), (_, (first, _, same))) in enumerate(
            zip(own, english, strict=True), 1
        ):
            if kind != same:
                raise InputError(f"{path}, row {number}: type {kind}, and in English {same}; get the files again")
            part, fact = f"{name}_{kind}", f"{number:04d}"
            asked.append(Asked(f"{part}_{fact}", part, fact, first, prompt_of(row, template), continent))
    return _first(asked, limit) if limit else asked


def _facts(path: Path) -> list[tuple[dict[str, str], tuple[str, str, str]]]:
    """Rows and their tags: continent, place, type."""
    facts = []
    for where, row in read_lines(path):
        if not (tags := TAGS.search(row["answer"].strip())):
            raise InputError(f"{where}: the answer must end in [[continent:...]][[city:...]][[type:0]] or [[type:1]]")
        facts.append((row, tags.groups()))
    return facts


def _first(asked: list[Asked], limit: int) -> list[Asked]:
    """The first questions of each part and continent."""
    kept, counts = [], dict[tuple[str, str], int]()
    for one in asked:
        key = one.part, one.continent
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= limit:
            kept.append(one)
    return kept


def main() -> None:
    config = parse(Teaching)
    if not config.out.endswith(".jsonl"):
        raise InputError(f"out {config.out!r}: the name must end in .jsonl, which FT/train.py reads")
    rows = read_training(config.data, config.language, config.template)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = Path(config.out)
    if out.exists() and out.read_text(encoding="utf-8") != text:
        raise InputError(f"{out}: is there with another text; move it, or name another --out")
    write_text_atomic(out, text)
    print(f"{out}: {len(rows):,} questions with their answers, in English and {get(config.language).name}")


if __name__ == "__main__":
    run(main)
