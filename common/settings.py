"""The language settings of a multiple-choice question: which part of it is in which language.

L is a language other than English:

    en                 everything in English
    full_L             everything in L, the passage too
    question_L         the question in L, the rest in English; likewise
    options_L          all options
    gt_L               the correct option
    gt_question_L      the correct option and the question
    onewrong_L         one wrong option, drawn from (seed, id), the same for every L
    threewrong_L       all wrong options (three of four)
    context_L          the passage alone, for questions with a passage
    mixup              question and options in different languages, permuted by (seed, id)
    rev_question_L ... rev_threewrong_L     the named part in English, the rest of question and options in L

The passage is English in every setting but full_L and context_L. Four reversed settings equal forward ones:
rev_question = options, rev_options = question, rev_gt_question = threewrong, rev_threewrong = gt_question.
`mixup_paper` is the mixup that the paper's authors released; its languages are not recorded and are given as "mixed".

To add a setting of one language, add its name to `_PARTS`, words to `_WORDS` and its fields to `_fields`.
"""

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from common.cli import InputError, config_hash
from common.languages import LANGUAGES
from common.prompts import PAPER_FORMAT, PromptFormat, mmlu_prompt, text_prompt
from common.questions import Question, by_subject

UNFINISHED = "unfinished"  # name of a file that marks a folder of settings as not yet complete
MIXUP_LANGUAGES = 5  # of the paper's mixup

_PARTS = ("question", "options", "gt", "gt_question", "onewrong", "threewrong")
_WORDS = {"full": "everything", "question": "the question", "options": "all options", "gt": "the correct option"}
_WORDS |= {"gt_question": "question and correct option", "onewrong": "one wrong option"}
_WORDS |= {"threewrong": "all wrong options", "context": "the passage"}
_WHOLE = {"mixup": "mixed languages", "mixup_paper": "mixed languages, as released"}
_SINGLE = ("en", "mixup", "mixup_paper")
_FAMILIES = ("en", "full", *_PARTS, "context", "mixup", "mixup_paper", *(f"rev_{part}" for part in _PARTS))


def family(setting: str) -> tuple[str, str | None]:
    """The family and language of a setting: "rev_gt_de" -> ("rev_gt", "de"), "mixup" -> ("mixup", None)."""
    if setting in _SINGLE:
        return setting, None
    name, _, code = setting.rpartition("_")
    if name in _FAMILIES and name not in _SINGLE and code in LANGUAGES and code != "en":
        return name, code
    raise InputError(f"unknown setting {setting!r}: use {', '.join(_SINGLE)} or FAMILY_LANGUAGE such as gt_question_de")


def label(name: str) -> str:
    """A setting, a family or a language in words: "gt_de" -> "the correct option in German"; "a_b" -> "a b"."""
    if name in LANGUAGES or name in _WHOLE:
        return LANGUAGES[name].name if name in LANGUAGES else _WHOLE[name]
    base, _, code = name.removeprefix("rev_").rpartition("_")
    if base not in _WORDS or code not in LANGUAGES:
        base, code = name.removeprefix("rev_"), ""
    if base not in _WORDS:
        return name.replace("_", " ")
    where = f"in {LANGUAGES[code].name}" if code else "translated"
    return f"all {where} but for {_WORDS[base]}" if name.startswith("rev_") else f"{_WORDS[base]} {where}"


def sort_settings(settings: Iterable[str]) -> list[str]:
    """Settings in the order of every table: by family as in the docstring above, then by language as in LANGUAGES."""
    codes = list(LANGUAGES)

    def key(setting: str) -> tuple[int, int]:
        name, code = family(setting)
        return _FAMILIES.index(name), codes.index(code) if code else -1

    return sorted(settings, key=key)


def settings_in(folder: str | os.PathLike) -> list[str]:
    """The settings with a `<setting>.csv` in `folder`, in table order; files with other names are ignored."""
    names = []
    for path in Path(folder).glob("*.csv"):
        with suppress(InputError):
            family(path.stem)
            names.append(path.stem)
    return sort_settings(names)


def expand_settings(names: Sequence[str], available: Sequence[str]) -> list[str]:
    """Turn "all", families ("full") and settings ("full_de") into the settings meant, each once, in table order.

    Raises InputError for a name that is neither, or that matches nothing available.
    """
    chosen = set()
    for name in names:
        found = [setting for setting in available if name in ("all", setting, family(setting)[0])]
        if not found:
            raise InputError(f"setting {name!r} is not there: use all, a family or one of {', '.join(available)}")
        chosen.update(found)
    return sort_settings(chosen)


def build_settings(
    parallel: Mapping[str, Sequence[Question]], languages: Sequence[str], seed: int
) -> dict[str, list[Question]]:
    """Every setting of row-parallel monolingual questions, in table order; each has the rows of `parallel["en"]`.

    `parallel[code]` are the questions in one language, row for row the same ids, subjects, answers and numbers of
    options (a ValueError otherwise). Random draws depend only on the seed and the question's id, so a subset of the
    questions or settings gets the same draws. `mixup` needs five languages, or as many as the largest question has
    fields (question and options).
    """
    rows = []
    for row in zip(*(parallel[code] for code in languages), strict=True):
        if len({(item.id, item.subject, item.answer, len(item.options), bool(item.context)) for item in row}) > 1:
            raise ValueError(f"question {row[0].id!r} differs in id, subject, answer, options or passage by language")
        rows.append(dict(zip(languages, row, strict=True)))
    settings = {"en": [row["en"] for row in rows]}
    for code in languages:
        if code != "en":
            settings |= _settings_of(code, rows, seed)
    if len(languages) >= min(MIXUP_LANGUAGES, 1 + max(len(row["en"].options) for row in rows)):
        settings["mixup"] = [_assemble(row, mixup_languages(row["en"], languages, seed)) for row in rows]
    return {name: settings[name] for name in sort_settings(settings)}


def _settings_of(code: str, rows: Sequence[Mapping[str, Question]], seed: int) -> dict[str, list[Question]]:
    """Every setting of one language besides English; `rows` are the questions, each in all languages."""
    settings = {f"full_{code}": [row[code] for row in rows]}
    for part in _PARTS:
        fields = [_fields(part, row["en"], seed) for row in rows]
        for name, base, other in ((part, "en", code), (f"rev_{part}", code, "en")):
            settings[f"{name}_{code}"] = [
                _assemble(row, [other if field in chosen else base for field in range(1 + len(row["en"].options))])
                for row, chosen in zip(rows, fields, strict=True)
            ]
    if any(row["en"].context for row in rows):
        settings[f"context_{code}"] = [
            replace(row["en"], context=row[code].context, context_language=row[code].context_language) for row in rows
        ]
    return settings


def mixup_languages(item: Question, languages: Sequence[str], seed: int) -> list[str]:
    """The languages of question, A, B, ... in `mixup`, drawn from (seed, id).

    All differ where there are enough languages, with or without English; otherwise their counts differ by at most one.
    """
    rng, fields = random.Random(f"{seed}:{item.id}:mixup"), 1 + len(item.options)
    # Sorted: the order in which the languages are named must not change the draw.
    ordered, drawn = sorted(languages), []
    while len(drawn) < fields:
        drawn += rng.sample(ordered, min(fields - len(drawn), len(ordered)))
    return drawn


def _fields(part: str, item: Question, seed: int) -> set[int]:
    """The named part of a question as field numbers: 0 is the question, 1 and up are the options."""
    options = set(range(1, 1 + len(item.options)))
    correct = 1 + item.letters.index(item.answer)
    wrong = options - {correct}
    if part == "onewrong":
        return {random.Random(f"{seed}:{item.id}:onewrong").choice(sorted(wrong))}
    named = {
        "question": {0}, "options": options, "gt": {correct}, "gt_question": {0, correct}, "threewrong": wrong
    }  # fmt: skip
    return named[part]


def _assemble(row: Mapping[str, Question], codes: Sequence[str]) -> Question:
    """The question whose question and options come from the languages `codes`; the passage stays English."""
    question, *options = codes
    return replace(
        row["en"],
        question=row[question].question,
        question_language=row[question].question_language,
        options=tuple(row[code].options[index] for index, code in enumerate(options)),
        option_languages=tuple(row[code].option_languages[index] for index, code in enumerate(options)),
    )


@dataclass(frozen=True)
class Setting:
    """One setting, ready to be asked.

    Attributes:
        content_hash: of what the questions and examples were read from.
        fewshot_examples: solved questions shown before each question, by subject.
        write_prompt: makes the whole prompt where it is not that of the prompt format.
        before_answer: what stands between the prompt and the answer.
        shots: how many few-shot examples a question has, by its id, where it has not all.
    """

    name: str
    questions: list[Question]
    content_hash: str
    fewshot_examples: Mapping[str, list[Question]] = field(default_factory=dict)
    prompt_format: PromptFormat = PAPER_FORMAT
    write_prompt: Callable[[Question, "Setting"], str] | None = None
    before_answer: str = " "
    shots: Mapping[str, int] = field(default_factory=dict)

    def prompts(self, questions: Sequence[Question], answer_format: str) -> list[str]:
        """The text up to "Answer:" of some of the questions; `answer_format` is `letter` or `text`.

        InputError for `text` where `write_prompt` shows the options.
        """
        if self.write_prompt and answer_format != "letter":
            raise InputError(f"this prompt shows the options and needs --answer_format letter, not {answer_format}")
        if self.write_prompt:
            return [self.write_prompt(question, self) for question in questions]
        make = mmlu_prompt if answer_format == "letter" else text_prompt
        return [make(question, self.shown(question), self.prompt_format) for question in questions]

    def shown(self, question: Question) -> list[Question]:
        """The few-shot examples before a question."""
        return self.fewshot_examples.get(question.subject, [])[: self.shots.get(question.id)]

    def continuations(self, question: Question, answer_format: str) -> list[str]:
        """What may follow the prompt, A first: the labels, or the texts of the options."""
        texts = self.prompt_format.labels_of(question) if answer_format == "letter" else question.options
        return [f"{self.before_answer}{text}" for text in texts]


def make_settings(
    parallel: Mapping[str, Sequence[Question]], seed: int, prompt_format: PromptFormat, limit: int | None = None
) -> dict[str, Setting]:
    """Every setting of the first `limit` parallel questions of each subject; `limit` does not change the draws."""
    settings = {}
    for name, questions in build_settings(parallel, list(parallel), seed).items():
        kept = first_of_subjects(questions, limit)
        content = config_hash({"items": [astuple(question) for question in kept]})
        settings[name] = Setting(name, kept, content, prompt_format=prompt_format)
    return settings


def first_of_subjects(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """The first `limit` questions of each subject, subject by subject; all, in their order, for None."""
    if limit is None:
        return list(questions)
    return [question for own in by_subject(questions).values() for question in own[:limit]]
