"""Ask MMLU with an inference-time mitigation (paper, section 4.1, and later work), one YAML per method.

    python MMLU/mitigate.py --config MMLU/configs/mitigation.yaml --config MMLU/configs/mitigation/xlt.yaml \
        --model MODEL --data DIR --out DIR

Labels, hints and few-shot examples are keys of MMLU/evaluate_mmlu.py. Here the model may also write before it answers,
or read a translation into English. Records are as in evaluate_mmlu.py; where the model writes, they hold its answer
instead of log-probabilities, and the prediction is empty if the answer names no option. MMLU/tabulate_mitigation.py
compares the methods with the plain prompt.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from answer_scorer import BLANK_LINE, AnswerScorer, LocalAuthor, ServerAuthor
from by_line import ask
from evaluate_mmlu import MmluConfig
from mitigation_prompts import XLT_OPENING, translate_then_answer, xlt_prompt
from mmlu_protocol import BLANK, SamplingAuthor
from overlong import evaluate_fitting

from common.cli import InputError, config_hash, parse, require_positive, run
from common.evaluation.evaluate import EvaluationConfig, Task, make_scorer
from common.languages import LANGUAGES
from common.lm.loading import ModelConfig
from common.lm.server import split_server
from common.plan import planning
from common.questions import MIXED, Question, read_questions
from common.reporting.provenance import file_digest
from common.settings import Setting
from common.translation.base import Translator
from common.translation.cache import CachedTranslator
from common.translation.factory import make_translator
from common.translation.web_service import SERVICES


@dataclass(kw_only=True)
class MitigationConfig:
    """Evaluate a causal LM on multiple-choice questions with an inference-time mitigation.

    Attributes:
        write: what the model writes before it answers: `nothing`, a `translation` into English, as the few-shot
            examples show it, or the steps of cross-lingual-thought prompting (`xlt`); or the `answer` itself after the
            plain prompt, which counts if it begins with a label, as in CLiKA.
        max_new_tokens: maximum number of tokens that the model writes.
        seed: of what it writes under protocol paper, which samples.
        translator: translates question and options into English before they are asked, see --translator of
            FT/mix.py; null is none.
        dictionary: folder of en-de.tsv and so on, for the translator `dictionary`.
        cache: SQLite file with the translations of models and services; null is translations.sqlite beside `out`.
    """

    write: Literal["nothing", "translation", "xlt", "answer"] = "nothing"
    max_new_tokens: int = 256
    seed: int = 42
    translator: str | None = None
    dictionary: str | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        require_positive(self, "max_new_tokens")

    def make_scorer(self, config: EvaluationConfig, model: ModelConfig):
        """The scorer: as in MMLU/evaluate_mmlu.py unless the model writes before it answers."""
        if self.write == "nothing":
            return make_scorer(config, model)
        if config.protocol == "paper":
            author, first = SamplingAuthor(*model.load(), seed=self.seed), self.write == "answer"
            return AnswerScorer(author, self.max_new_tokens, whole=not first, first=first)
        if server := split_server(model.model):
            author, chat = ServerAuthor(config.server(model.model)), server[1]
        else:
            author, chat = LocalAuthor(*model.load(), config.chat, model.token_budget), config.chat
        # A translation ends as the examples do; chat turns and steps of thought may contain blank lines.
        stop = BLANK_LINE if self.write == "translation" and not chat else None
        again = XLT_OPENING if self.write == "xlt" else None
        return AnswerScorer(author, self.max_new_tokens, stop, again, first=self.write == "answer")


def mitigated(mmlu: MmluConfig, fix: MitigationConfig, config: EvaluationConfig, model: ModelConfig) -> Task:
    """The task of MMLU/evaluate_mmlu.py with the mitigation applied to its settings."""
    if mmlu.prompt != "paper" and fix.write in ("translation", "xlt"):
        raise InputError(f"write {fix.write} has a prompt of its own, leave out prompt {mmlu.prompt}")
    task = mmlu.task(config.limit)
    depends: dict[str, Any] = {"write": fix.write, "translator": fix.translator}
    english = Path(mmlu.data) / "dev" / "en.csv"
    if fix.write != "nothing":
        depends["max_new_tokens"] = fix.max_new_tokens
        if config.protocol == "paper":
            depends["seed"] = fix.seed
    examples: dict[str, Question] = {}
    if fix.write == "translation" and mmlu.num_fewshot:
        depends["english"] = file_digest(english)
        examples = {question.id: question for question in read_questions(english)}
    write = {"xlt": xlt, "translation": partial(translate_first, examples)}.get(fix.write)
    translator = None
    if fix.translator is not None:
        cache = fix.cache or str(Path(config.out).with_name("translations.sqlite"))
        device = "auto" if model.device == "map" else model.device  # a translator is not spread over several
        whole = fix.translator in SERVICES
        translator = make_translator(fix.translator, dictionary=fix.dictionary, cache_file=cache, device=device)

    def read(name: str) -> Setting:
        setting = task.read(name)
        if write:
            setting = replace(setting, write_prompt=write)
        if fix.write == "translation" and config.protocol == "paper":
            setting = replace(setting, prompt_format=replace(setting.prompt_format, blank=BLANK))
        if translator and planning():
            with suppress(NotTranslated):  # is left to do
                setting = in_english(setting, known(translator), whole)
        elif translator:
            with model.processes().main_process_first():  # the others read its translations from the cache
                setting = in_english(setting, translator, whole)
        return setting

    writes = fix.write != "nothing" or fix.translator not in (None, "dictionary")
    written = fix.max_new_tokens // 2 if writes else 0
    keys = {"config": {**task.config, **asdict(fix)}, "depends": {**task.depends, **depends}, "written": written}
    return replace(task, read=read, **keys)


def xlt(question: Question, setting: Setting) -> str:
    """The cross-lingual-thought prompt of a question."""
    language = LANGUAGES["en" if question.question_language == MIXED else question.question_language].name
    return xlt_prompt(question, language, setting.prompt_format)


def translate_first(english: Mapping[str, Question], question: Question, setting: Setting) -> str:
    """The prompt that has the model translate before it answers; `english` has the few-shot examples by id."""
    shown = [(example, english[example.id]) for example in setting.shown(question)]
    return translate_then_answer(question, shown, setting.prompt_format)


def in_english(setting: Setting, translator: Translator, whole: bool) -> Setting:
    """The setting with all text translated into English; the recorded languages stay those of the original."""
    parts: dict[str, list[str]] = {}
    for item in setting.questions:
        for language, text in texts_of(item):
            parts.setdefault(language, []).append(text)
    english: dict[tuple[str, str], str] = {}
    for language, texts in parts.items():
        done, reasons = ask(translator, texts, "en", whole, language)
        for row, reason in reasons.items():
            raise InputError(f"setting {setting.name}, {language} into en: {texts[row]!r:.60}: {reason}")
        english |= {(language, text): translated for text, translated in zip(texts, done, strict=True)}
    questions = [translated(item, english) for item in setting.questions]
    content = config_hash({"was": setting.content_hash, "by": translator.identity})
    return replace(setting, questions=questions, content_hash=content)


class NotTranslated(Exception):
    """A text has no translation yet."""


@dataclass(frozen=True)
class Nobody:
    """A translator that a plan has in the place of one that takes time."""

    identity: str

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        raise NotTranslated


def known(translator: Translator) -> Translator:
    """The translator where it is a dictionary, else one that has what was translated before, and nothing else."""
    if not isinstance(translator, CachedTranslator):
        return translator
    nobody = Nobody(translator.identity)
    return CachedTranslator(nobody, translator.path) if translator.path.exists() else nobody


def texts_of(item: Question) -> list[tuple[str, str]]:
    """(language, text) of question, options and passage, where they are not English."""
    written = [(item.question_language, item.question), *zip(item.option_languages, item.options, strict=True)]
    if item.context:
        written.append((item.context_language, item.context))
    if any(language == MIXED for language, _ in written):
        raise InputError(f"question {item.id}: its languages are not recorded, so it cannot be translated")
    return [(language, text) for language, text in written if language != "en"]


def translated(item: Question, english: dict[tuple[str, str], str]) -> Question:
    """The question with its texts in English."""
    options = zip(item.option_languages, item.options, strict=True)
    return replace(
        item,
        question=english.get((item.question_language, item.question), item.question),
        options=tuple(english.get(option, option[1]) for option in options),
        context=english.get((item.context_language, item.context), item.context),
    )


def main() -> None:
    mmlu, fix, config, model = parse(MmluConfig, MitigationConfig, EvaluationConfig, ModelConfig)
    if fix.write != "nothing" and config.answer_format != "letter":
        raise InputError(f"write {fix.write} needs --answer_format letter, not {config.answer_format}")
    if fix.write == "xlt" and config.protocol == "paper":
        raise InputError("protocol paper: the paper's code has no write xlt; use protocol ours for it")
    task = mitigated(mmlu, fix, config, model)
    written = 0 if fix.write == "nothing" else fix.max_new_tokens
    config = mmlu.with_examples(task.names, config, model)
    evaluate_fitting(task, mmlu.overlong, config, model, fix.make_scorer, written)


if __name__ == "__main__":
    run(main)
