"""The prompt is the paper's, character by character; these texts must never change unnoticed."""

from common.prompts import LETTERS, mmlu_prompt
from common.questions import monolingual

ROOTS = monolingual("a", "abstract_algebra", "", "How many roots has x^2?", ("0", "1", "2", "None"), "B", "en")
GROUP = monolingual("b", "abstract_algebra", "", "Is Z a group?", ("Yes", "No", "Both", "Neither"), "A", "en")
PASSAGE = monolingual("c", "belebele", "Cats sleep.", "Wer schläft?", ("Katzen", "Hunde", "Kühe", "Niemand"), "A", "de")


def test_zero_shot():
    assert mmlu_prompt(ROOTS) == (
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        "How many roots has x^2?\nA. 0\nB. 1\nC. 2\nD. None\nAnswer:"
    )


def test_demonstrations_come_solved_between_instruction_and_question():
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


def test_letters():
    assert LETTERS == ("A", "B", "C", "D")
