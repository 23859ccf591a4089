"""The pictures of the READMEs: each README opens with one, and assets/figures.py draws it from kept tables."""

import re

import pytest

from common.reporting.plots import PAGE
from tests.scripts import load_script

figures = load_script("assets/figures.py")
TASKS = ("CLiKA", "FT", "HP", "MMLU", "Recall", "TOFU", "Translation", "world")
READMES = ("README.md", *(f"{task}/README.md" for task in TASKS))


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_opens_with_a_picture_of_ours(root, readme):
    text = (root / readme).read_text(encoding="utf-8")
    picture = re.search(r"!\[[^\]]+\]\(([^)]+)\)", text.split("\n## ")[0])[1]
    path = ((root / readme).parent / picture).resolve()
    assert path.parent == root / "assets" and path.stem in figures.PICTURES
    assert path.stat().st_size < 200_000
    assert "assets/figures.py" in text


def test_the_root_readme_is_short(root):
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("name", figures.PICTURES)
def test_a_picture_is_drawn_from_kept_tables_at_the_width_of_a_page(name):
    figure = figures.PICTURES[name]()
    assert figure.get_figwidth() == PAGE and figure.axes
    assert all(axis.lines or axis.collections or axis.containers for axis in figure.axes)
