"""Prompts, to the character: the paper's for a multiple-choice question, and that of a translation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.choices import LETTERS, Item
from common.errors import InputError
from common.languages import LANGUAGES

if TYPE_CHECKING:  # takes seconds to import
    from transformers import PreTrainedTokenizerBase

TRANSLATION = "{source}: {text}\n{target}:"


def mmlu_header(item: Item) -> str:
    """The instruction of the original MMLU evaluation, in English in every setting (paper, section 4).

    Questions with a passage are said to be about it, as Belebele has no subjects.
    """
    if item.context:
        return "The following are multiple choice questions (with answers), each about a passage.\n\n"
    # Two spaces before the subject: the original code prefixes every word of it with a space. The paper's figures
    # were made with this text, so it is kept.
    subject = item.subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about  {subject}.\n\n"


def hinted_header(hint: str) -> Callable[[Item], str]:
    """The paper's instruction with a sentence after it (paper, section 4.1)."""
    return lambda item: f"{mmlu_header(item).rstrip()} {hint}\n\n"


@dataclass(frozen=True)
class Style:
    """How a question is put: `header` makes the instruction before it, `labels` stand before the options."""

    header: Callable[[Item], str] = mmlu_header
    labels: tuple[str, ...] = LETTERS


PAPER_STYLE = Style()


def mmlu_prompt(item: Item, demonstrations: Sequence[Item] = (), style: Style = PAPER_STYLE) -> str:
    """The text that ends in "Answer:", with solved `demonstrations` between the header and the question.

    The words around question and options are English in every setting. A question with a passage gets the labels
    "Passage:" and "Question:" in front; without one the text is that of the original MMLU evaluation.
    """
    solved = [(question_text(shot, style.labels), style.labels[LETTERS.index(shot.answer)]) for shot in demonstrations]
    shots = "".join(f"{asked} {answer}\n\n" for asked, answer in solved)
    return style.header(item) + shots + question_text(item, style.labels)


def cloze_prompt(item: Item, demonstrations: Sequence[Item] = (), style: Style = PAPER_STYLE) -> str:
    """The same without the options; a demonstration ends in the text of its correct option."""
    solved = [(_asked(shot), shot.options[LETTERS.index(shot.answer)]) for shot in demonstrations]
    shots = "".join(f"{asked}\nAnswer: {answer}\n\n" for asked, answer in solved)
    return f"{style.header(item)}{shots}{_asked(item)}\nAnswer:"


TRANSLATE_HINT = (
    "Remember that the question and options can be in different languages. First translate them all to English. Then"
    " output the answer."
)


def translate_then_answer(item: Item, demonstrations: Sequence[tuple[Item, Item]], style: Style = PAPER_STYLE) -> str:
    """The paper's prompt for a translation by the model itself, after which its answer follows (section 4.1).

    A demonstration is a question as it is asked, and in English. The text ends in "Question:"; the original code has a
    blank behind it, which no tokenizer would put before a word.
    """
    shots = []
    for shot, english in demonstrations:
        answer = style.labels[LETTERS.index(shot.answer)]
        shots.append(f"{_to_translate(shot, style)} {question_text(english, style.labels)} {answer}\n\n")
    return hinted_header(TRANSLATE_HINT)(item) + "".join(shots) + _to_translate(item, style)


def _to_translate(item: Item, style: Style) -> str:
    label = "" if item.context else "Question: "
    task = "Translate the question and options into English, and then answer."
    return f"{label}{question_text(item, style.labels)}\n{task}\nQuestion:"


XLT_OPENING = "I want you to act as"


def xlt_prompt(item: Item, language: str, labels: Sequence[str] = LETTERS) -> str:
    """Cross-lingual-thought prompting: the six parts of its template for a multiple-choice question (arXiv 2305.07004).

    `language` is the English name of the question's language.
    """
    request = question_text(item, labels).removesuffix("\nAnswer:")
    return (
        f"{XLT_OPENING} a multiple choice expert for {language}.\n"
        f"{request}\n"
        "You should retell the question and the options in English.\n"
        "You should choose the correct option.\n"
        "You should step-by-step answer the request.\n"
        f"You should tell me the correct option ({', '.join(labels)}) in this format 'Answer: {labels[0]}'.\n"
    )


def native_header(topic: str) -> Callable[[Item], str]:
    """The instruction in the question's language, on one topic: that of the domain quiz."""

    def header(item: Item) -> str:
        return LANGUAGES[item.question_language].mc_instruction.format(subject=topic) + "\n\n"

    return header


def chat_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The prompt as a user's turn, up to where the assistant's answer begins; special tokens stand in the text."""
    if tokenizer.chat_template is None:
        raise InputError(f"the tokenizer of {tokenizer.name_or_path} has no chat template; leave --chat out")
    turn = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)


def chat_answer_start(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the template writes between `chat_prompt` and an answer: a blank in Llama 2's, in most nothing."""
    asked = chat_prompt(tokenizer, "Q")
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "ANSWER"}]
    answered = tokenizer.apply_chat_template(turns, tokenize=False)
    return answered[len(asked) :].partition("ANSWER")[0] if answered.startswith(asked) else ""


def question_text(item: Item, labels: Sequence[str] = LETTERS) -> str:
    """Passage (if any), question, labelled options and "Answer:", one a line."""
    options = "".join(f"\n{label}. {option}" for label, option in zip(labels, item.options, strict=True))
    return f"{_asked(item)}{options}\nAnswer:"


def _asked(item: Item) -> str:
    return f"Passage: {item.context}\nQuestion: {item.question}" if item.context else item.question


def translation_prompt(text: str, source: str, target: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """The prompt after which a translation follows, solved examples before it; `source`, `target` are ISO codes.

    The world's training text asks for translations in the same words.
    """
    names = {"source": LANGUAGES[source].name, "target": LANGUAGES[target].name}
    shots = [f"{TRANSLATION.format(text=a, **names)} {b}\n\n" for a, b in examples]
    return "".join(shots) + TRANSLATION.format(text=text, **names)


def translation_instruction(source: str, target: str) -> str:
    """What an instruction-tuned model is told before a translation prompt."""
    return (
        f"Translate from {LANGUAGES[source].name} to {LANGUAGES[target].name}."
        " Answer with the translation alone, on one line."
    )
