"""CLiKA's four tasks (arXiv 2404.04659): the layout of their files, and their prompt to the character.

x_geo, x_name    DIR/x_geo/de/de_geo_data.jsonl         facts of ten and nine countries, four options
x_csqa           DIR/x_csqa/DE_trans/validation.jsonl   common sense, five options
x_copa           DIR/x_copa/DE/test.jsonl               a premise and its cause or effect, two options
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sources import Splits, check_unless_dropped

from common.cli import InputError
from common.languages import LANGUAGES
from common.parallel_data import Row, Tables, json_lines, take, text_of
from common.prompts import question_text
from common.questions import LETTERS, Question, monolingual
from common.settings import Setting

FILES = {
    "x_geo": "{}_geo_data.jsonl", "x_name": "{}_name_data_generate.jsonl",
    "x_csqa": "validation.jsonl", "x_copa": "test.jsonl",
}  # fmt: skip
ASKED = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}  # English in every language

CHOOSE = (
    "The following are multiple choice questions. Please choose the most reasonable one from the following options.\n"
)
SUM = ("1", "2", "3", "5", "6")  # options of the solved example, as many as the question has
PREMISE = (
    "Answer the following multiple choice questions by selecting the correct option according to the Premise."
    "Please choose the correct one from the two options A and B.\n"
    "Premise:The sky turns dark.\nQuestion:What was the cause of this?\nA. It's night.\nB. It's noon.\n"
    "Answer:A. It's night.\n\n"
)


def read_clika(data: str, task: str, languages: Sequence[str], on_mismatch: str) -> Splits:
    """A task from <data>/<task>/<language>/, the language in small or capital letters, `_trans` after it or not.

    The subject of a fact is the language of its country, that of other questions the task. With `on_mismatch` "drop" an
    option may be empty, for `common.parallel_data.align` to leave the question out.
    """
    read = {"x_csqa": _common_sense, "x_copa": _premise}.get(task, _fact)
    tables = {}
    for code in languages:
        folders = [path for path in sorted(Path(data, task).glob("*")) if path.name.lower() in (code, f"{code}_trans")]
        path = Path(*folders[:1] or (data, task, code), FILES[task].format(code))
        if not path.is_file():
            raise InputError(f"{path}: no such file; add the questions in {LANGUAGES[code].name} or leave {code} out")
        rows: dict[str, list[Row]] = {}
        for number, record in enumerate(json_lines(path), 1):
            where = f"{path}, row {number}"
            item = read(record, where, code)
            check_unless_dropped(item, where, on_mismatch)
            rows.setdefault(item.subject, []).append(Row(where, item))
        tables[code] = Tables(str(path), rows)
    return {"test": tables}


def _fact(record: Mapping[str, Any], where: str, language: str) -> Question:
    keys = ("id", "original_lang", "questions", "answers", "label", "sent_lang")
    id, country, question, options, label, written = take(record, keys, where)
    if written != language:
        raise InputError(f"{where}: sent_lang is {written!r} in the folder of {language}; put each language in its own")
    country, question = (text_of(cell, where) for cell in (country, question))
    return monolingual(str(id), country, "", question, _texts(options, where), _letter(label), language)


def _common_sense(record: Mapping[str, Any], where: str, language: str) -> Question:
    id, asked, answer = take(record, ("id", "question", "answerKey"), where)
    stem, choices = take(asked, ("stem", "choices"), where)
    labels, options = take(choices, ("label", "text"), where)
    options = _texts(options, where)
    if labels != list(LETTERS[: len(options)]):
        raise InputError(f"{where}: the labels of the options are {labels!r}; they must be A, B, C, ...")
    return monolingual(str(id), "x_csqa", "", text_of(stem, where), options, str(answer), language)


def _premise(record: Mapping[str, Any], where: str, language: str) -> Question:
    """The premise is the question's passage; the recorded language of its question is English."""
    keys = ("id", "premise", "question", "choice1", "choice2", "label")
    id, premise, relation, *options, label = take(record, keys, where)
    if not text_of(premise, where).strip():
        raise InputError(f"{where}: the premise is empty; fill it in or leave the question out in every language")
    if str(relation) not in ASKED:
        raise InputError(f"{where}: the question is {relation!r}; it must be cause or effect")
    question, options = ASKED[relation], _texts(options, where)
    item = monolingual(str(id), "x_copa", premise, question, options, _letter(label), language)
    return replace(item, question_language="en")


def _texts(options: Any, where: str) -> list[str]:
    if not isinstance(options, list):
        raise InputError(f"{where}: {options!r} is no list of options")
    return [text_of(option, where) for option in options]


def _letter(label: Any) -> str:
    """The letter of an option counted from 0; what is no such number stays as it is, to be refused."""
    return {str(place): letter for place, letter in enumerate(LETTERS)}.get(str(label), str(label))


def clika_prompt(item: Question, _: Setting) -> str:
    """CLiKA's prompt with its solved example; the answer follows "Answer:" without a blank.

    The words are those of the released predictions of Llama 2, BLOOMZ and Qwen (`input` in
    *_add_simple_example.jsonl). InputError for numbers of options that no task has.
    """
    count = len(item.options)
    text = f"Question:{question_text(replace(item, context=''))}"
    if item.context and count == 2:
        return f"{PREMISE}Premise:{item.context}\n{text}"
    if item.context or count not in (4, 5):
        raise InputError(
            f"question {item.id} has {count} options{' and a passage' if item.context else ''}; --prompt clika takes"
            " four or five, or two with a passage"
        )
    example = replace(item, question="2+3=?", options=SUM[:count])
    return f"{CHOOSE}Question:{question_text(example)}D. 5\n{text}"
