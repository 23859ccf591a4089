"""Tables in Markdown: a heading row, and what stands where two names cross."""

from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def crossed(corner: str, cells: Mapping[tuple[str, str], str]) -> list[str]:
    """The lines of a table from {(row, column): text}, both in order of appearance; what is missing stays empty."""
    down, across = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    return table([corner, *across], [[name, *(cells.get((name, column), "") for column in across)] for name in down])
