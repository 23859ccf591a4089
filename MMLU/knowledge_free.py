"""Questions with the facts that they need: the layout of Knowledge-Free Reasoning (Hu et al., arXiv 2406.16655).

    DIR/<task>/{no_fact,one_fact,two_fact}/<anything>_<language>.json    a list of {"input", "output"}, rows parallel

`input` of questions with options (QASC): lines of facts, the question, a blank line, "A. ...", "B. ...", a line each;
of questions without (StrategyQA): "Facts: ..." on a line of its own, where there are facts, then "Question: ...", to be
answered Yes or No. The repository is NJUNLP/Knowledge-Free-Reasoning; its own instructions are not used.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sources import Splits

from common.cli import InputError
from common.parallel_data import Row, Tables, take, text_of
from common.questions import LETTERS, Question, check_question, monolingual

NUMBERS = ("no", "one", "two")  # of facts, as folders are named
YES_NO = ("Yes", "No")  # English in every language


def read_knowledge_free(data: str, facts: int, crossed: str | None, languages: Sequence[str]) -> Splits:
    """Every task of a folder with `facts` facts before each question; the facts are its passage, a fact a line.

    `crossed`: what is in the other language while the rest is English, "facts" or "question" (with its options); None
    is both. The subject is the task. InputError naming file and row for what is missing or malformed.
    """
    folder = f"{NUMBERS[facts]}_fact"
    tasks = [path.parent.name for path in sorted(Path(data).glob(f"*/{folder}"))]
    if not tasks:
        raise InputError(f"{data}: no folder <task>/{folder} in it")
    read = {code: {task: _rows(Path(data, task, folder), task, facts, code) for task in tasks} for code in languages}
    english = read["en"]
    for code in languages[1:] if crossed else ():
        for task, rows in read[code].items():
            if len(rows) != len(english[task]):
                raise InputError(f"{rows[0].where}: {len(rows)} rows where English has {len(english[task])}")
            pairs = zip(rows, english[task], strict=True)
            read[code][task] = [Row(own.where, _crossed(own.item, other.item, crossed)) for own, other in pairs]
    return {"test": {code: Tables(f"{data} ({folder}, {code})", tables) for code, tables in read.items()}}


def _crossed(own: Question, english: Question, part: str) -> Question:
    """The question with only this part of it in its own language."""
    facts, asked = (own, english) if part == "facts" else (english, own)
    return replace(asked, context=facts.context, context_language=facts.context_language)


def _rows(folder: Path, task: str, facts: int, language: str) -> list[Row]:
    found = sorted(folder.glob(f"*_{language}.json"))
    if len(found) != 1:
        raise InputError(f"{folder}: {len(found)} files *_{language}.json where one is needed; leave {language} out")
    try:
        records = json.loads(found[0].read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{found[0]}: not JSON in UTF-8: {error}") from error
    if not isinstance(records, list) or not records:
        raise InputError(f"{found[0]}: not a list of questions")
    return [
        _row(record, f"{task}-{number:04d}", task, facts, f"{found[0]}, row {number}", language)
        for number, record in enumerate(records, 1)
    ]


def _row(record: Mapping[str, Any], id: str, task: str, facts: int, where: str, language: str) -> Row:
    said, answer = (text_of(cell, where) for cell in take(record, ("input", "output"), where))
    before, blank, after = said.partition("\n\n")
    if blank:
        *given, question = before.split("\n")
        options = after.split("\n")
        if any(not text.startswith(f"{letter}. ") for letter, text in zip(LETTERS, options, strict=False)):
            raise InputError(f"{where}: the options must be lines that begin with `A. `, `B. ` and so on")
        item = monolingual(id, task, "\n".join(given), question, [text[3:] for text in options], answer, language)
    else:
        found = re.fullmatch(r"(?:Facts: (.*)\n)?Question: (.*)", said)
        if not found or answer not in YES_NO:
            raise InputError(
                f"{where}: `Question: ...`, after `Facts: ...` or alone, with the answer Yes or No is needed"
            )
        given = [found[1]] if found[1] else []
        letter = LETTERS[YES_NO.index(answer)]
        item = monolingual(id, task, "\n".join(given), found[2], YES_NO, letter, language)
        item = replace(item, option_languages=("en", "en"))
    if len(given) != (min(facts, 1) if not blank else facts):
        raise InputError(f"{where}: {len(given)} lines of facts where {facts} facts are needed")
    check_question(item, where)
    return Row(where, item)


def facts_first(item: Question) -> Question:
    """The question with its passage as lines before it, so that prompts differ in the facts alone."""
    return replace(item, context="", question=f"{item.context}\n{item.question}") if item.context else item
