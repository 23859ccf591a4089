"""One progress line for a whole script: work within work counts as a part of it."""

import sys
from typing import ClassVar, Self

from tqdm import tqdm

FORM = "{percentage:3.0f}%|{bar:24}| {elapsed} passed, {remaining} left{postfix}"
LOGGED = 30.0  # seconds between two lines where they are kept in a file
SOON = 1.0  # seconds of work that shows no line


class Progress:
    """`with Progress(total, unit) as progress`: work of `total` units, of which `update` has done some more.

    Inside another one, all the work is the next unit of that one, whose line alone is shown on standard error. `show`
    is false in all processes but the main one.
    """

    _open: ClassVar[list[Self]] = []

    def __init__(self, total: float, unit: str, *, show: bool = True):
        self.total, self.unit, self.show, self.done = total, unit, show, 0.0

    def __enter__(self) -> Self:
        if not self._open:
            keys = {"mininterval": 0.1 if sys.stderr.isatty() else LOGGED, "disable": not (self.show and self.total)}
            self.line = tqdm(total=1.0, bar_format=FORM, delay=SOON, **keys)
        self._open.append(self)
        self.update(0)
        return self

    def update(self, units: float = 1) -> None:
        """So many units more are done."""
        self.done += units
        first, share = self._open[0], 0.0
        for one in reversed(self._open):
            share = min(1.0, (one.done + share) / max(one.total, 1e-9))
        first.line.set_postfix_str(f"{first.done:.0f} of {first.total:.0f} {first.unit}", refresh=False)
        first.line.update(max(0.0, share - first.line.n))

    def __exit__(self, *_: object) -> None:
        self._open.pop()
        if not self._open:
            if self.line.format_dict["elapsed"] > SOON:
                self.line.delay = 0  # so that it is left as it is at the end
            self.line.close()
