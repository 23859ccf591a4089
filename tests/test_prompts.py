"""The prompt is the paper's, character by character; these texts must never change unnoticed."""

import pytest

from common.cli import InputError
from common.prompts import PromptFormat, mmlu_prompt, text_prompt
from common.questions import LETTERS, monolingual

ROOTS = monolingual("a", "abstract_algebra", "", "How many roots has x^2?", ("0", "1", "2", "None"), "B", "en")
GROUP = monolingual("b", "abstract_algebra", "", "Is Z a group?", ("Yes", "No", "Both", "Neither"), "A", "en")
PASSAGE = monolingual("c", "belebele", "Cats sleep.", "Wer schläft?", ("Katzen", "Hunde", "Kühe", "Niemand"), "A", "de")


def test_zero_shot():
    assert mmlu_prompt(ROOTS) == (
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        "How many roots has x^2?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer:"
    )


def test_few_shot_examples_come_solved_between_instruction_and_question():
    assert mmlu_prompt(ROOTS, [GROUP, ROOTS]) == (
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        "Is Z a group?\nA. Yes\nB. No\nC. Both\nD. Neither\nAnswer: A\n\n"
        "How many roots has x^2?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer: B\n\n"
        "How many roots has x^2?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer:"
    )


def test_a_passage_is_labelled_and_so_is_the_question_after_it():
    assert mmlu_prompt(PASSAGE) == (
        "The following are multiple choice questions (with answers), each about a passage.\n\n"
        "Passage: Cats sleep.\nQuestion: Wer schläft?\nA. Katzen\nB. Hunde\nC. Kühe\nD. Niemand\nAnswer:"
    )


def test_subject_of_three_words():
    item = monolingual("d", "high_school_us_history", "", "When?", ("1", "2", "3", "4"), "D", "en")
    assert mmlu_prompt(item).startswith(
        "The following are multiple choice questions (with answers) about  high school us history.\n\nWhen?\nA. 1\n"
    )


def test_the_text_of_the_options_is_scored_without_showing_them():
    assert text_prompt(ROOTS, [GROUP]) == (
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        "Is Z a group?\nAnswer: Yes\n\nHow many roots has x^2?\nAnswer:"
    )


def test_two_and_26_options():
    two = monolingual("e", "logic", "", "True?", ("Yes", "No"), "B", "en")
    many = monolingual("f", "logic", "", "Which?", [f"o{n}" for n in range(26)], "Z", "en")
    header = "The following are multiple choice questions (with answers) about  logic.\n\n"
    options = "".join(f"{letter}. o{n}\n" for n, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    assert mmlu_prompt(two, [many]) == (f"{header}Which?\n{options}Answer: Z\n\nTrue?\nA. Yes\nB. No\nAnswer:")
    assert mmlu_prompt(many, [two]) == f"{header}True?\nA. Yes\nB. No\nAnswer: B\n\nWhich?\n{options}Answer:"


def test_more_options_than_labels_are_refused():
    with pytest.raises(InputError, match="question a has 4 options, but the labels are 1, 2, 3"):
        mmlu_prompt(ROOTS, (), PromptFormat(labels=("1", "2", "3")))


def test_letters():
    assert LETTERS[:4] == ("A", "B", "C", "D") and "".join(LETTERS) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
