"""The CSV of a setting keeps every character; whatever is wrong in it is refused by file and row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import InputError
from common.questions import LETTERS, header_of, monolingual, read_questions, write_questions

HEADER = header_of(4)


def questions(*counts):
    """One question for each number of options; each field says which one it is."""
    return [
        monolingual(f"x-{n}", "anatomy", f"passage {n} en", f"question {n} en",
                    [f"{letter} {n} en" for letter in LETTERS[:count]], LETTERS[n % count], "en")
        for n, count in enumerate(counts)
    ]  # fmt: skip


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(st.sampled_from(["", 'a passage, "quoted"\r\nin lines']), text, text, text, text, text)))
def test_csv_keeps_every_character(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("items") / "en.csv"
    items = [
        monolingual(f"id-{n}", "anatomy", context, question, options, "C", "en")
        for n, (context, question, *options) in enumerate(rows)
    ]
    items.append(monolingual("last", "anatomy", "", "None", (" NA ", "nan", '"', "a\rb"), "D", "en"))
    write_questions(path, items)
    assert read_questions(path) == items


def test_header_and_line_ends(tmp_path):
    write_questions(tmp_path / "en.csv", questions(4))
    assert (tmp_path / "en.csv").read_bytes() == (
        b"id,subject,context,question,A,B,C,D,answer,"
        b"context_language,question_language,A_language,B_language,C_language,D_language\n"
        b"x-0,anatomy,passage 0 en,question 0 en,A 0 en,B 0 en,C 0 en,D 0 en,A,en,en,en,en,en,en\n"
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "", r"row 2: the id is empty"),
        ("id", "x-0", r"row 2: id 'x-0' is given twice"),
        ("question", "  ", r"row 2: the question is empty"),
        ("C", "", r"row 2: option C is empty"),
        ("answer", "E", r"row 2: the answer is 'E'"),
        ("answer", "AB", r"row 2: the answer is 'AB'"),
        ("D_language", "xx", r"row 2: unknown language 'xx'"),
    ],
)
def test_read_questions_refuses_with_file_and_row(tmp_path, column, value, message):
    path = tmp_path / "en.csv"
    write_questions(path, questions(4, 4, 4))
    lines = path.read_text().splitlines()
    cells = lines[2].split(",")
    cells[HEADER.index(column)] = value
    path.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]))
    with pytest.raises(InputError, match=rf"{path}, {message}"):
        read_questions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the first line must be id,subject"),
        ("id,question\nx,y\n", "the first line must be id,subject"),
        (",".join(HEADER) + "\n", "no questions"),
        (",".join(HEADER) + "\nx,y\n", "row 1: 2 cells"),
        (",".join(HEADER) + '\n"x"y,z\n', "cannot be read"),
    ],
)
def test_read_questions_refuses_malformed_files(tmp_path, content, message):
    path = tmp_path / "en.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=f"{path}.*{message}"):
        read_questions(path)
    with pytest.raises(InputError, match="no such file"):
        read_questions(tmp_path / "absent.csv")


def test_questions_of_two_to_26_options_in_one_file(tmp_path):
    asked = questions(2, 26, 5, 4)
    write_questions(tmp_path / "en.csv", asked)
    assert read_questions(tmp_path / "en.csv") == asked
    header, first, *_ = (tmp_path / "en.csv").read_text().splitlines()
    assert header == ",".join(header_of(26)) and header.endswith("Y_language,Z_language")
    assert first == f"x-0,anatomy,passage 0 en,question 0 en,A 0 en,B 0 en{24 * ','},A,en,en,en,en{24 * ','}"
    assert asked[1].letters == LETTERS


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("B", "", r"row 1: option B is empty"),
        ("D", "more", r"row 1: .*option C is empty"),
        ("C_language", "en", r"row 1: option C is empty \(language en\)"),
        ("answer", "C", r"row 1: the answer is 'C'; it must be A or B"),
    ],
)
def test_an_option_needs_text_and_language(tmp_path, column, value, message):
    write_questions(tmp_path / "en.csv", questions(2, 5))
    lines = (tmp_path / "en.csv").read_text().splitlines()
    cells = lines[1].split(",")
    cells[header_of(5).index(column)] = value
    (tmp_path / "en.csv").write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    with pytest.raises(InputError, match=message):
        read_questions(tmp_path / "en.csv")


@pytest.mark.parametrize("count", [1, 27])
def test_one_and_27_options_are_refused(tmp_path, count):
    path = tmp_path / "en.csv"
    letters = [chr(65 + n) for n in range(count)]
    languages = [f"{letter}_language" for letter in letters]
    path.write_text(",".join(["id", "subject", "context", "question", *letters, *HEADER[8:11], *languages]) + "\n")
    with pytest.raises(InputError, match="the first line must be"):
        read_questions(path)
