"""How a script starts and ends: bad input is one sentence and exit code 2, other failures keep their traceback."""

import sys
from collections.abc import Callable
from pathlib import Path


class InputError(Exception):
    """The user's input is wrong: the message is one sentence naming file, row or key and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`; an InputError is printed as one sentence and exits with code 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def hide_siblings(script: str) -> None:
    """Take a script's folder out of the import path, once it has imported the files beside it.

    PyTorch imports the package `tabulate` when it ends; a tabulate.py beside the script must not stand in for it.
    """
    folder = Path(script).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != folder]
