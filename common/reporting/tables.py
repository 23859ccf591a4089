"""Tables in Markdown: a heading row, and what stands where two names cross."""

from collections.abc import Mapping, Sequence

import pandas as pd


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def crossed(corner: str, cells: Mapping[tuple[str, str], str]) -> list[str]:
    """The lines of a table from {(row, column): text}, both in order of appearance; what is missing stays empty."""
    down, across = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    return table([corner, *across], [[name, *(cells.get((name, column), "") for column in across)] for name in down])


def sizes(part: pd.DataFrame) -> str:
    """ "n = 72", or where arms have other numbers of questions "n = 72 (before), 64 (after)"; columns arm and n."""
    by_arm = part.groupby("arm", sort=False)["n"].max()
    if by_arm.nunique() == 1:
        return f"n = {by_arm.iloc[0]:,}"
    return "n = " + ", ".join(f"{n:,} ({arm})" for arm, n in by_arm.items())


def from_frame(frame: pd.DataFrame, float_format: str = "{:.2f}") -> list[str]:
    """The lines of a table from all columns of a data frame; missing values stay empty."""
    rows = [
        ["" if pd.isna(cell) else float_format.format(cell) if isinstance(cell, float) else str(cell) for cell in row]
        for row in frame.itertuples(index=False)
    ]
    return table([str(name) for name in frame.columns], rows)
