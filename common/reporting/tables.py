"""Tables in Markdown: a heading row, what stands where two names cross, and numbers with their intervals."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# What Markdown reads as its own: cells, code, emphasis, HTML, pictures, links, entities; not the _ in full_de.
_MARKDOWN = re.compile(r"[\\|`*~]|<(?=[a-zA-Z/!?])|!(?=\[)|\](?=[(\[])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def escaped(text: str) -> str:
    """Markdown that shows a text, such as a name that a user gave, as it is and on one line."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table of texts, which are no Markdown."""
    header, *rows = ([escaped(cell) for cell in cells] for cells in (header, *rows))
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def crossed(corner: str, cells: Mapping[tuple[str, str], str]) -> list[str]:
    """The lines of a table from {(row, column): text}, both in order of appearance; missing cells stay empty."""
    down, across = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    return table([corner, *across], [[name, *(cells.get((name, column), "") for column in across)] for name in down])


def interval(row: Any, name: str = "accuracy", form: str = ".1f", unit: str = "", scale: float = 100) -> str:
    """ "47.8 [43.1, 52.5]": an attribute of `row` and its interval, times `scale`; "" where it is missing or NaN.

    The interval is <name>_low and <name>_high, or ci_low and ci_high where the row has no such attributes. `unit`
    follows the first number.
    """
    prefix = name if hasattr(row, f"{name}_low") else "ci"
    value, low, high = (getattr(row, key, float("nan")) for key in (name, f"{prefix}_low", f"{prefix}_high"))
    return "" if pd.isna(value) else f"{scale * value:{form}}{unit} [{scale * low:{form}}, {scale * high:{form}}]"


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
