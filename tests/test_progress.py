"""The progress line: work within work counts as a part of it, and one line is shown."""

import pytest

from common import progress
from common.progress import Progress


@pytest.fixture(autouse=True)
def shown_at_once(monkeypatch):
    monkeypatch.setattr(progress, "SOON", 1e-9)


def test_nested_work_is_a_part_of_the_next_unit(capsys):
    with Progress(4, "shards") as outer:
        assert outer.line.n == 0
        with Progress(10, "prompts") as inner:
            inner.update(5)
            assert outer.line.n == pytest.approx(0.5 / 4)
            with Progress(2, "tokens") as innermost:
                innermost.update()
                assert outer.line.n == pytest.approx((5 + 0.5) / 10 / 4)
            inner.update(5)
        assert outer.line.n == pytest.approx(1 / 4)
        outer.update()
        assert outer.line.n == pytest.approx(1 / 4)  # the unit that the inner work was
        outer.update(3)
        assert outer.line.n == pytest.approx(1)
    said = capsys.readouterr().err
    assert "4 of 4 shards" in said and "left" in said and "prompts" not in said and "tokens" not in said


def test_the_line_never_goes_back(capsys):
    with Progress(2, "steps") as outer:
        for _ in range(2):  # two times work within one unit
            with Progress(1, "texts") as inner:
                inner.update()
                assert outer.line.n == pytest.approx(1 / 2)


def test_work_that_fails_leaves_no_line_open(capsys):
    with pytest.raises(ZeroDivisionError), Progress(2, "shards"), Progress(2, "prompts"):
        raise ZeroDivisionError
    with Progress(1, "texts") as later:
        later.update()
    assert "1 of 1 texts" in capsys.readouterr().err


def test_short_work_shows_no_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SOON", 60)
    with Progress(1, "texts") as short:
        short.update()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [0, 3])
def test_hidden_work_and_no_work_write_nothing_wrong(capsys, total):
    with Progress(total, "shards", show=False) as outer, Progress(0, "prompts") as inner:
        inner.update(0)
        outer.update(total)
    assert capsys.readouterr().err == ""
