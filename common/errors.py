"""Bad input ends in one sentence and exit code 2; every other failure keeps its traceback."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """The user's input is wrong: the message is one sentence naming file, row or key and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`; an InputError is printed as one sentence and exits with code 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
