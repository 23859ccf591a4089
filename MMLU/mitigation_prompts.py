"""Prompts after which the model writes before it answers; the other fixes change the plain prompt."""

from collections.abc import Sequence

from common.prompts import PAPER_FORMAT, PromptFormat, hinted_header, question_text
from common.questions import Question

TRANSLATE_HINT = (
    "Remember that the question and options can be in different languages. First translate them all to English. Then"
    " output the answer."
)


def translate_then_answer(
    item: Question, fewshot_examples: Sequence[tuple[Question, Question]], prompt_format: PromptFormat = PAPER_FORMAT
) -> str:
    """The paper's prompt that asks the model to translate the question itself, then to answer (section 4.1).

    A few-shot example is a pair: the question as asked, and in English. The text ends in "Question:" and the format's
    blank, which only the paper's code has, since tokenizers attach a blank to the word that follows it.
    """
    shots = []
    for shot, english in fewshot_examples:
        answer = prompt_format.label_of_answer(shot)
        shots.append(f"{_to_translate(shot, prompt_format)} {question_text(english, prompt_format)} {answer}\n\n")
    return (
        hinted_header(TRANSLATE_HINT)(item) + "".join(shots) + _to_translate(item, prompt_format) + prompt_format.blank
    )


def _to_translate(item: Question, prompt_format: PromptFormat) -> str:
    label = "" if item.context else "Question: "
    task = "Translate the question and options into English, and then answer."
    return f"{label}{question_text(item, prompt_format)}{prompt_format.blank}\n{task}\nQuestion:"


XLT_OPENING = "I want you to act as"


def xlt_prompt(item: Question, language: str, prompt_format: PromptFormat = PAPER_FORMAT) -> str:
    """Cross-lingual-thought prompting for a multiple-choice question: the template's six parts (arXiv 2305.07004).

    `language` is the English name of the question's language.
    """
    request, labels = question_text(item, prompt_format).removesuffix("\nAnswer:"), prompt_format.labels_of(item)
    return (
        f"{XLT_OPENING} a multiple choice expert for {language}.\n"
        f"{request}\n"
        "You should retell the question and the options in English.\n"
        "You should choose the correct option.\n"
        "You should step-by-step answer the request.\n"
        f"You should tell me the correct option ({', '.join(labels)}) in this format 'Answer: {labels[0]}'.\n"
    )
