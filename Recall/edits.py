"""Facts and their changes in the layout of BMIKE-53 (arXiv 2406.17764), and how they are stated and asked.

DIR holds one <name>_test_<language>.json a language: a list of {"en": {...}, "<language>": {...}}, each with case_id,
subject, src (question), rephrase, old, alt (answer before and after the change), loc, loc_ans (another question, which
the change leaves alone), port, port_ans (a question that follows from the new answer; null in all of them or none).
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from common.cli import InputError, comma_list
from common.languages import LANGUAGES, get

# What is asked, what is right once the change is stated, and what that is ranked against. In CounterFact, as in the
# paper, loc_ans is `old` for another subject, so that the change would show as `alt`.
KINDS = {
    "reliability": ("src", "alt", "old"),
    "generality": ("rephrase", "alt", "old"),
    "locality": ("loc", "loc_ans", "alt"),
    "portability": ("port", "port_ans", "old"),
}


@dataclass(frozen=True)
class Edit:
    """One change in one language; port and port_ans are empty where the data have none."""

    case_id: str
    src: str
    rephrase: str
    old: str
    alt: str
    loc: str
    loc_ans: str
    port: str
    port_ans: str


@dataclass(frozen=True)
class Wording:
    """How a change is stated and a question asked; an answer stands between `blank` and `end`."""

    fact: str
    question: str
    blank: str
    end: str


WORDINGS = {
    # The paper's, to the character (ercong21/MultiKnow, icl.py).
    "bmike": Wording('New Fact: "{question} {answer}"\n', 'Question: "{question}" Answer: "', "", '"'),
    # As the model of the synthetic world has read questions that are answered in words.
    "plain": Wording("{question}\nAnswer: {answer}\n\n", "{question}\nAnswer:", " ", ""),
}


@dataclass(frozen=True)
class Asked:
    """One prompt: a kind of question on one change, stated before it (`edited` 1) or not (0)."""

    id: str
    edit: str
    kind: str
    demonstrations: int
    edited: int
    prompt: str
    right: str
    other: str


def read_edits(folder: str, languages: str | Sequence[str] | None) -> dict[str, list[Edit]]:
    """The changes by language, English first, in parallel rows; `languages` None is every file.

    A change is left out where the two answers to a question are the same in some language. InputError naming file and
    row for what is missing, empty, of other rows than elsewhere, given twice, or without `port` where others have it.
    """
    named = [get(code).code for code in comma_list(languages)] if languages else list(LANGUAGES)
    files = {code: file for code in named if code != "en" and (file := file_of(Path(folder), code))}
    if lacking := [code for code in named if code not in ("en", *files)] if languages else []:
        raise InputError(f"{folder}: no file such as counterfact_test_{lacking[0]}.json")
    if not files:
        raise InputError(f"{folder}: no file such as counterfact_test_de.json; name a language besides English")
    found: dict[str, list[Edit]] = {}
    for code, path in files.items():
        rows = read_rows(path)
        for language in ("en", code):
            edits = [edit_of(row, language, f"{path}, row {number}") for number, row in enumerate(rows, 1)]
            first = found.setdefault(language, edits)
            differing = (
                edits != first if language == "en" else [e.case_id for e in edits] != [e.case_id for e in found["en"]]
            )
            if differing:
                raise InputError(f"{path}: other changes or another order than in {next(iter(files.values()))}")
            ported = [bool(edit.port) for edit in found["en"][:1] + edits]
            if odd := [row for row, own in enumerate(ported) if own != ported[0]][:1]:
                raise InputError(
                    f"{path}, row {odd[0]}: port is {'null' if ported[0] else 'filled in'} in {language}, unlike in"
                    " row 1 of en; it must be null in all rows or in none"
                )
    if len({edit.case_id for edit in found["en"]}) < len(found["en"]):
        raise InputError(f"{next(iter(files.values()))}: a case_id is given twice; ids must be unique")
    kept = [row for row in range(len(found["en"])) if all(told_apart(own[row]) for own in found.values())]
    if left := len(found["en"]) - len(kept):
        print(f"note: {left} changes are left out: the two answers to a question are the same in some language")
    return {code: [own[row] for row in kept] for code, own in found.items()}


def file_of(folder: Path, code: str) -> Path | None:
    """The file of a language; InputError where there are several."""
    paths = sorted(folder.glob(f"*_test_{code}.json"))
    if len(paths) > 1:
        raise InputError(f"{folder}: {paths[0].name} and {paths[1].name}; leave the files of one data set in it")
    return paths[0] if paths else None


def read_rows(path: Path) -> list[dict]:
    """The list in a JSON file."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON in UTF-8: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f'{path}: not a list of changes such as {{"en": {{...}}, "de": {{...}}}}')
    return rows


def edit_of(row: Mapping, language: str, where: str) -> Edit:
    """One language of a row."""
    entry = row.get(language)
    if not isinstance(entry, dict):
        raise InputError(f"{where}: has no {language}")
    texts = {}
    for name in (field.name for field in fields(Edit)):
        value, optional = entry.get(name), name.startswith("port")
        texts[name] = "" if value is None else str(value).strip()
        if not texts[name] and not (optional and entry.get("port") is None):
            raise InputError(f"{where}: {name} is empty in {language}; fill it in or leave the row out everywhere")
    return Edit(**texts)


def split(count: int, shown: int, limit: int | None, seed: int) -> tuple[list[int], list[int]]:
    """Rows of the demonstrations, drawn from all `count` changes, and of the first `limit` others, which are tested.

    InputError where none is left to test.
    """
    if shown >= count:
        raise InputError(f"{count} changes and {shown} demonstrations leave none to test; show fewer")
    drawn = random.Random(f"edits {seed}").sample(range(count), shown)
    return drawn, [row for row in range(count) if row not in set(drawn)][:limit]


def told_apart(edit: Edit) -> bool:
    """Whether the two answers to each question differ."""
    pairs = [(getattr(edit, right), getattr(edit, other)) for _, right, other in KINDS.values()]
    return all(right.casefold() != other.casefold() for right, other in pairs if right)


def questions(
    edits: Mapping[str, Sequence[Edit]],
    language: str,
    rows: tuple[Sequence[int], Sequence[int]],
    counts: Sequence[int],
    wording: Wording,
) -> Iterator[Asked]:
    """Every question in one language, in an order in which neighbours begin alike; `rows` are those of `split`."""
    shown, tested = rows
    kinds = [kind for kind, (asked, *_) in KINDS.items() if getattr(edits["en"][0], asked)]
    for count in counts:
        for edited in (1, 0):
            examples = "".join(
                demonstration(edits["en"][row], edits[language][row], kinds[place % len(kinds)], edited, wording)
                for place, row in enumerate(shown[:count])
            )
            for row in tested:
                english, own = edits["en"][row], edits[language][row]
                for kind in kinds:
                    asked, right, other = (getattr(own, name) for name in KINDS[kind])
                    prompt = examples + stated(english, edited, wording) + wording.question.format(question=asked)
                    name = f"{own.case_id}-{kind}-{count}-{edited}"
                    yield Asked(name, own.case_id, kind, count, edited, prompt, right, other)


def stated(english: Edit, edited: int, wording: Wording) -> str:
    """The change in English; nothing where it is not stated."""
    return wording.fact.format(question=english.src, answer=english.alt) if edited else ""


def demonstration(english: Edit, own: Edit, kind: str, edited: int, wording: Wording) -> str:
    """A solved question; without the change its answer is the old one, for portability that to the question itself.

    The data do not say what the answer to `port` was before the change.
    """
    asked, right, other = KINDS["reliability" if kind == "portability" and not edited else kind]
    answer = getattr(own, right if edited or kind == "locality" else other)
    text = wording.question.format(question=getattr(own, asked))
    return f"{stated(english, edited, wording)}{text}{wording.blank}{answer}{wording.end}\n\n"
