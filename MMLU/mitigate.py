"""Ask MMLU with a fix that needs no training (paper, section 4.1, and later work), one YAML a method.

    python MMLU/mitigate.py --config MMLU/configs/mitigation/xlt.yaml --model MODEL --data DIR --out DIR

Labels, hints and demonstrations are keys of MMLU/evaluate.py; here the model may also write before it answers, or read
a translation into English. The records are those of evaluate.py; where the model writes, they have no log-probabilities
but what it said, and an answer that names no option has an empty prediction. tabulate_mitigation.py sets the methods
beside the plain prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from evaluate import Evaluate

from common.choices import MIXED, Item, read_items
from common.config import config_hash, parse
from common.endpoint import split_server
from common.errors import InputError, hide_siblings, run
from common.evaluation import evaluate
from common.group_endpoint import GroupEndpoint
from common.group_scorer import GroupScorer, Setting
from common.group_writer import BLANK_LINE, GroupWriter, LocalAuthor, ServerAuthor
from common.languages import LANGUAGES
from common.prompts import XLT_OPENING, translate_then_answer, xlt_prompt
from common.provenance import file_digest
from common.translation import Translator, make_translator


@dataclass(kw_only=True)
class Mitigate(Evaluate):
    """Evaluate a causal LM on multiple-choice questions with a fix that needs no training.

    Attributes:
        write: what the model writes before it answers: `nothing`, its `translation` into English, as the demonstrations
            show it, or the steps of cross-lingual-thought prompting (`xlt`).
        max_new_tokens: most tokens that it writes.
        translator: translates question and options into English before they are asked, a translator of
            FT/mix.py; null for none.
        dictionary: folder of en-de.tsv and so on, for the translator `dictionary`.
        cache: SQLite file in which models and services keep their translations; beside `out` unless given.
    """

    write: Literal["nothing", "translation", "xlt"] = "nothing"
    max_new_tokens: int = 256
    translator: str | None = None
    dictionary: str | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.write != "nothing" and self.score != "letter":
            raise InputError(f"write {self.write} goes with --score letter, not {self.score}")
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")

    def load_settings(self, names: Sequence[str]) -> dict[str, Setting]:
        settings = super().load_settings(names)
        if self.translator is None:
            return settings
        cache = self.cache or str(Path(self.out).with_name("translations.sqlite"))
        device = "auto" if self.device == "map" else self.device  # a translator is not spread over several
        translator = make_translator(self.translator, dictionary=self.dictionary, cache_file=cache, device=device)
        with self.processes().main_process_first():  # the others find what it translated
            return {name: in_english(setting, translator) for name, setting in settings.items()}

    def depends(self) -> dict[str, Any]:
        values = super().depends() | {"write": self.write, "translator": self.translator}
        if self.write != "nothing":
            values["max_new_tokens"] = self.max_new_tokens
        if self.write == "translation" and self.shots:
            values["english"] = file_digest(self.english_file)
        return values

    def make_scorer(self) -> GroupScorer | GroupEndpoint | GroupWriter:
        if self.write == "nothing":
            return super().make_scorer()
        if server := split_server(self.model):
            author, chat = ServerAuthor(self.endpoint()), server[1]
        else:
            author, chat = LocalAuthor(*self.load_model(), self.chat, self.token_budget), self.chat
        # A translation ends as the demonstrations do; steps of thought, and a chat's turn, have blank lines in them.
        stop = BLANK_LINE if self.write == "translation" and not chat else None
        again = XLT_OPENING if self.write == "xlt" else None
        return GroupWriter(author, self.prompt, self.max_new_tokens, stop, again)

    def prompts(self, setting: Setting, items: Sequence[Item]) -> list[str]:
        return super().prompts(setting, items) if self.write == "nothing" else [self.prompt(i, setting) for i in items]

    def prompt(self, item: Item, setting: Setting) -> str:
        """What the model goes on from."""
        if self.write == "xlt":
            language = LANGUAGES["en" if item.question_language == MIXED else item.question_language].name
            return xlt_prompt(item, language, setting.style.labels)
        demonstrations = setting.demonstrations.get(item.subject, ())
        english = [self.english_demonstrations[shot.id] for shot in demonstrations]
        return translate_then_answer(item, list(zip(demonstrations, english, strict=True)), setting.style)

    @cached_property
    def english_demonstrations(self) -> dict[str, Item]:
        """Every demonstration in English, by id."""
        return {item.id: item for item in read_items(self.english_file)}

    @property
    def english_file(self) -> Path:
        return Path(self.data) / "dev" / "en.csv"


def in_english(setting: Setting, translator: Translator) -> Setting:
    """The setting with every question and option that is not English translated; languages are still the original's."""
    parts: dict[str, list[str]] = {}
    for item in setting.items:
        for language, text in texts_of(item):
            parts.setdefault(language, []).append(text)
    english: dict[tuple[str, str], str] = {}
    for language, texts in parts.items():
        try:
            done = translator.translate(texts, language, "en")
        except InputError as error:
            raise InputError(f"setting {setting.name}, {language} into en: {error}") from error
        english |= {(language, text): translated for text, translated in zip(texts, done, strict=True)}
    items = [translated(item, english) for item in setting.items]
    return replace(setting, items=items, digest=config_hash({"was": setting.digest, "by": translator.identity}))


def texts_of(item: Item) -> list[tuple[str, str]]:
    """Language and text of question, options and passage, where they are not English."""
    written = [(item.question_language, item.question), *zip(item.option_languages, item.options, strict=True)]
    if item.context:
        written.append((item.context_language, item.context))
    if any(language == MIXED for language, _ in written):
        raise InputError(f"question {item.id}: its languages are not recorded, so it cannot be translated")
    return [(language, text) for language, text in written if language != "en"]


def translated(item: Item, english: dict[tuple[str, str], str]) -> Item:
    """The question with its texts in English."""
    options = zip(item.option_languages, item.options, strict=True)
    return replace(
        item,
        question=english.get((item.question_language, item.question), item.question),
        options=tuple(english.get(option, option[1]) for option in options),
        context=english.get((item.context_language, item.context), item.context),
    )


def main() -> None:
    hide_siblings(__file__)
    evaluate(parse(Mitigate))


if __name__ == "__main__":
    run(main)
