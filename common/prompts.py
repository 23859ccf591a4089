"""Prompts, to the character: the paper's for a multiple-choice question, and that of a translation."""

from collections.abc import Sequence

from common.choices import LETTERS, Item
from common.languages import LANGUAGES

TRANSLATION = "{source}: {text}\n{target}:"


def mmlu_prompt(item: Item, demonstrations: Sequence[Item] = ()) -> str:
    """The text that ends in "Answer:", with solved `demonstrations` before the question (paper, section 4).

    Instruction, labels and letters are English in every setting. A question with a passage gets the labels
    "Passage:" and "Question:" in front; without one the text is that of the original MMLU evaluation.
    """
    subject = item.subject.replace("_", " ")
    # Two spaces before the subject: the original code prefixes every word of it with a space. The paper's figures
    # were made with this text, so it is kept.
    header = f"The following are multiple choice questions (with answers) about  {subject}.\n\n"
    shots = "".join(f"{question_text(shot)} {shot.answer}\n\n" for shot in demonstrations)
    return header + shots + question_text(item)


def question_text(item: Item) -> str:
    """Passage (if any), question, lettered options and "Answer:", one a line."""
    first = f"Passage: {item.context}\nQuestion: {item.question}" if item.context else item.question
    options = "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=True))
    return f"{first}{options}\nAnswer:"


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
