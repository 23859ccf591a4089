"""Translate texts of several lines, and say which of them failed instead of ending.

done, reasons = ask(translator, ["One line.\\nAnother."], "de", whole=False)
"""

import re
from collections.abc import Sequence

from common.cli import InputError
from common.translation.base import Translator, Untranslated, respace

Done = tuple[list[str | None], dict[int, str]]  # translations, None for those that failed, and the reasons by place


def ask(translator: Translator, texts: Sequence[str], target: str, whole: bool, source: str = "en") -> Done:
    """Translations and the reasons of those that failed; InputError for what concerns no single text.

    `whole`: texts as they are; otherwise line by line, since a causal LM translates one line at a time.
    """
    pieces = [[text] if whole else text.split("\n") for text in texts]
    said, failed = each(translator, [piece for own in pieces for piece in own if piece.strip()], source, target)
    done: list[str | None] = []
    reasons: dict[int, str] = {}
    answers = iter(enumerate(said))
    for place, own in enumerate(pieces):
        lines = []
        for piece in own:
            number, answer = next(answers) if piece.strip() else (-1, piece)
            if answer is None or (piece.strip() and not answer.strip()):
                reasons.setdefault(place, failed.get(number, "the translation is empty"))
            else:
                lines.append(respace(piece, answer.strip()) if piece.strip() else piece)
        done.append(None if place in reasons else "\n".join(lines))
    return done, reasons


def each(translator: Translator, lines: Sequence[str], source: str, target: str) -> Done:
    """The translations of lines; one that ends all of them, such as one that is too long, is left out."""
    left, failed = list(range(len(lines))), {}
    while True:
        try:
            said: Sequence[str | None] = translator.translate([lines[row] for row in left], source, target)
        except Untranslated as error:
            said, failed = error.done, failed | {left[row]: reason for row, reason in error.reasons.items()}
        except InputError as error:
            found = re.match(r"row (\d+): (.*)", str(error), re.DOTALL)
            # A program has been asked for halves already, and may fail with every line.
            if not found or translator.identity.startswith("command "):
                raise
            failed[left.pop(int(found[1]))] = found[2]
            continue
        known = dict(zip(left, said, strict=True))
        return [known.get(row) for row in range(len(lines))], failed
