"""The figures in the READMEs are those of the kept CSV files, <task>/expected/*.csv; each of these has its provenance.

A table, or a paragraph with decimal fractions, has a comment above it that names the files, from the README's folder:

    <!-- expected: expected/seeds.csv, ../report/paper_figures.csv; rows: arm; columns: in English, mixed up -->

`rows`: the first cells of a row are the values of these columns in the CSV, and the other numbers stand in those rows.
`columns`: headings of the columns that are checked; all others but the keys, where it is left out. A number is found
if a value, or 100 times a value, rounds to it. Code and links are not read.
"""

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READMES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*README.md"],
    cwd=ROOT, capture_output=True, text=True, check=True,
).stdout.splitlines()  # fmt: skip
KEPT = sorted([*ROOT.glob("*/expected/*.csv"), *ROOT.glob("tests/bench/results/*.csv")])
MARK = re.compile(r"<!-- expected: (.*?) -->\n")
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)")


def plain(text: str) -> str:
    """Text without code, links and comments."""
    return re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)|https?://\S+|<!--.*?-->", " ", text, flags=re.S)


def blocks(text: str) -> list[tuple[str | None, str]]:
    """(what the comment above says, or None; the text) of every table, list and paragraph."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    found = []
    for block in re.split(r"\n\s*\n", text):
        mark = MARK.match(block.lstrip() + "\n")
        found.append((mark[1] if mark else None, MARK.sub("", block.lstrip() + "\n")))
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def values(rows: list[dict]) -> list[float]:
    """Every number in the cells of CSV rows, those in a text among them."""
    text = " ".join(f"{cell}" for row in rows for cell in row.values())
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]


def is_found(number: str, among: list[float]) -> bool:
    """Whether a value or 100 times a value rounds to the number; without a sign, its amount."""
    bare = number.replace(",", "").lstrip("+")
    margin = 0.5 * 10.0 ** -len(bare.partition(".")[2]) + 1e-9
    signed = number[0] in "+-"
    return any(
        abs((value if signed else abs(value)) - float(bare)) <= margin for one in among for value in (one, 100 * one)
    )


def check_block(folder: Path, mark: str, text: str) -> list[str]:
    """The numbers of a table or paragraph that do not stand in its files."""
    assert text.strip(), f"{mark}: no blank line may follow it"
    files, *options = (part.strip() for part in mark.split(";"))
    options = dict(option.split(": ", 1) for option in options)
    assert set(options) <= {"rows", "columns"}, mark
    rows = []
    for file in files.split(", "):
        with open(folder / file, encoding="utf-8", newline="") as stream:
            rows += list(csv.DictReader(stream))
    if not text.startswith("|"):
        assert not options, f"{mark}: rows and columns are of tables"
        return [
            number for number in NUMBER.findall(plain(text)) if "." in number and not is_found(number, values(rows))
        ]
    head, _, *body = (cells(line) for line in text.splitlines() if line.startswith("|"))
    keys = options["rows"].split(", ") if "rows" in options else []
    checked = options["columns"].split(", ") if "columns" in options else head[max(1, len(keys)) :]
    assert set(checked) <= set(head), f"{mark}: {head}"
    missing = []
    for line in body:
        key = [cell.strip("`") for cell in line[: len(keys)]]
        chosen = [row for row in rows if [row.get(name) for name in keys] == key]
        assert chosen, f"{mark}: no row {key}"
        for name in checked:
            numbers = NUMBER.findall(plain(line[head.index(name)]))
            missing += [f"{line[0]}: {number}" for number in numbers if not is_found(number, values(chosen))]
    return missing


@pytest.mark.parametrize("readme", READMES)
def test_figures_stand_in_the_kept_files(readme):
    for mark, text in blocks((ROOT / readme).read_text(encoding="utf-8")):
        if mark:
            assert check_block((ROOT / readme).parent, mark, text) == [], mark


@pytest.mark.parametrize("readme", READMES)
def test_no_figure_without_a_kept_file(readme):
    for mark, text in blocks((ROOT / readme).read_text(encoding="utf-8")):
        assert mark or not re.search(r"\d\.\d", plain(text)), (
            f"{readme}: a figure without `<!-- expected: ... -->`: {text}"
        )


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_kept_files_have_provenance(path):
    provenance = json.loads(path.with_name(f"{path.stem}.provenance.json").read_text(encoding="utf-8"))
    assert list(provenance)[:5] == ["command", "commit", "model", "machine", "date"]
    assert re.fullmatch(r"[0-9a-f]{40}", provenance["commit"]) and re.fullmatch(r"20\d\d-\d\d-\d\d", provenance["date"])


def test_kept_files_are_named_in_a_readme():
    named = set()
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        paths = [file for mark in MARK.findall(text) for file in mark.split(";")[0].split(", ")]
        paths += re.findall(r"\]\(([^)#:\s]+)\)", text)
        named |= {((ROOT / readme).parent / path).resolve() for path in paths}
    assert [path.relative_to(ROOT).as_posix() for path in KEPT if path not in named] == []


@pytest.mark.parametrize(("number", "among", "found"), [
    ("43.0", [0.43], True), ("43.1", [0.43], False), ("-4.8", [-0.0475], True), ("+4.8", [-0.0475], False),
    ("3.5", [-0.035], True), ("1,600", [1600.0], True), ("0.998", [0.998124], True), ("0.997", [0.998124], False),
])  # fmt: skip
def test_a_number_is_found_if_a_value_rounds_to_it(number, among, found):
    assert is_found(number, among) is found


def test_a_wrong_number_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("arm,n,accuracy\nen,400,0.43\nword,400,0.5\n")
    table = "| arm | right | n |\n|---|---|---|\n| `en` | 43.0 | 400 |\n| `word` | 43.0 | 401 |\n"
    assert check_block(tmp_path, "a.csv", table) == ["`word`: 401"]
    assert check_block(tmp_path, "a.csv; rows: arm; columns: right", table) == ["`word`: 43.0"]
    assert check_block(tmp_path, "a.csv", "Mixed text has 50.0, English 44.0 and not `7.5`.\n") == ["44.0"]
