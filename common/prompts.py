"""Prompts: the paper's for multiple-choice questions, character by character, and those of translations."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from common.cli import InputError
from common.languages import LANGUAGES
from common.questions import LETTERS, Question

if TYPE_CHECKING:  # takes seconds to import
    from transformers import PreTrainedTokenizerBase

TODAY, DAY = r"""strftime_now\(['"]([^'"]*)['"]\)""", date(2024, 7, 26)  # in chat templates: today, and Llama 3's day
TRANSLATION = "{source}: {text}\n{target}:"
INSTRUCTION = "Translate from {source} to {target}. Answer with the translation alone, on one line."  # in chats


def mmlu_header(item: Question) -> str:
    """The instruction of the original MMLU evaluation, in English in every setting (paper, section 4).

    For questions with a passage it names no subject, since Belebele has none.
    """
    if item.context:
        return "The following are multiple choice questions (with answers), each about a passage.\n\n"
    # Two spaces before the subject, as in the code that the paper's figures were made with.
    subject = item.subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about  {subject}.\n\n"


def hinted_header(hint: str) -> Callable[[Question], str]:
    """The paper's instruction with a sentence after it (paper, section 4.1)."""
    return lambda item: f"{mmlu_header(item).rstrip()} {hint}\n\n"


@dataclass(frozen=True)
class PromptFormat:
    """How a question is written: `header` makes the instruction above it, `labels` precede the options.

    `blank` follows a colon after which the model goes on.
    """

    header: Callable[[Question], str] = mmlu_header
    labels: tuple[str, ...] = LETTERS
    blank: str = ""

    def labels_of(self, item: Question) -> tuple[str, ...]:
        """The labels of a question's options; InputError where it has more options than there are labels."""
        if len(item.options) > len(self.labels):
            named = ", ".join(self.labels)
            raise InputError(f"question {item.id} has {len(item.options)} options, but the labels are {named}")
        return self.labels[: len(item.options)]

    def label_of_answer(self, item: Question) -> str:
        """The label of the correct option."""
        return self.labels[item.letters.index(item.answer)]


PAPER_FORMAT = PromptFormat()


def mmlu_prompt(
    item: Question, fewshot_examples: Sequence[Question] = (), prompt_format: PromptFormat = PAPER_FORMAT
) -> str:
    """The text that ends in "Answer:", with solved `fewshot_examples` between the header and the question.

    Its own words are English in every setting; without a passage the text is that of the original MMLU evaluation.
    """
    solved = [f"{question_text(s, prompt_format)} {prompt_format.label_of_answer(s)}\n\n" for s in fewshot_examples]
    return prompt_format.header(item) + "".join(solved) + question_text(item, prompt_format) + prompt_format.blank


def text_prompt(
    item: Question, fewshot_examples: Sequence[Question] = (), prompt_format: PromptFormat = PAPER_FORMAT
) -> str:
    """The same without the options (cloze formulation); an example ends in the text of its correct option."""
    solved = [(_asked(shot), shot.options[shot.letters.index(shot.answer)]) for shot in fewshot_examples]
    shots = "".join(f"{asked}\nAnswer: {answer}\n\n" for asked, answer in solved)
    return f"{prompt_format.header(item)}{shots}{_asked(item)}\nAnswer:"


def chat_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The prompt as a user's turn, up to the start of the assistant's answer; special tokens are part of the text."""
    if tokenizer.chat_template is None:
        raise InputError(f"the tokenizer of {tokenizer.name_or_path} has no chat template; leave --chat out")
    return _rendered(tokenizer, [{"role": "user", "content": prompt}], add_generation_prompt=True)


def _rendered(tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, str]], **keys: bool) -> str:
    """The turns in the tokenizer's chat template, which says `DAY` instead of today; no function is handed to it."""
    template = re.sub(TODAY, lambda form: repr(f"{DAY:{form[1]}}"), tokenizer.get_chat_template())
    return tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, **keys)


def chat_answer_start(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the template puts between `chat_prompt` and an answer: a blank in Llama 2's, nothing in most."""
    asked = chat_prompt(tokenizer, "Q")
    answered = _rendered(tokenizer, [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "ANSWER"}])
    return answered[len(asked) :].partition("ANSWER")[0] if answered.startswith(asked) else ""


def question_text(item: Question, prompt_format: PromptFormat = PAPER_FORMAT) -> str:
    """Passage (if any), question, labelled options and "Answer:", one per line."""
    labels = prompt_format.labels_of(item)
    options = "".join(f"\n{label}. {option}" for label, option in zip(labels, item.options, strict=True))
    return f"{_asked(item)}{options}\nAnswer:"


def _asked(item: Question) -> str:
    return f"Passage: {item.context}\nQuestion: {item.question}" if item.context else item.question


def translation_prompt(text: str, source: str, target: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """A translation prompt with solved examples in front; `source` and `target` are ISO codes.

    The training text of the synthetic world asks for translations in the same words.
    """
    names = {"source": LANGUAGES[source].name, "target": LANGUAGES[target].name}
    shots = [f"{TRANSLATION.format(text=a, **names)} {b}\n\n" for a, b in examples]
    return "".join(shots) + TRANSLATION.format(text=text, **names)
