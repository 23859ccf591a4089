"""Translate texts of several lines, and say which of them failed instead of ending.

done, reasons = ask(translator, ["One line.\\nAnother."], "de", whole=False)
"""

from collections.abc import Sequence

from common.cli import InputError
from common.translation.base import Translator, Untranslated, respace

Done = tuple[list[str | None], dict[int, str]]  # translations, None for those that failed, and the reasons by place


def ask(translator: Translator, texts: Sequence[str], target: str, whole: bool, source: str = "en") -> Done:
    """Translations and the reasons of those that failed; InputError for what concerns no single text.

    `whole`: texts as they are; otherwise line by line, since a causal LM translates one line at a time.
    """
    pieces = [[text] if whole else text.split("\n") for text in texts]
    said, failed = each(translator, [piece for own in pieces for piece in own], source, target)
    done: list[str | None] = []
    reasons: dict[int, str] = {}
    answers = iter(enumerate(said))
    for place, own in enumerate(pieces):
        lines = []
        for piece, (number, answer) in zip(own, answers, strict=False):
            if answer is None or (piece.strip() and not answer.strip()):
                reasons.setdefault(place, failed.get(number, "the translation is empty"))
            else:
                lines.append(respace(piece, answer.strip()) if piece.strip() else piece)
        done.append(None if place in reasons else "\n".join(lines))
    return done, reasons


def each(translator: Translator, texts: Sequence[str], source: str, target: str) -> Done:
    """The translations of lines; where one ends its batch, as one that is too long does, halves of it are tried."""
    try:
        return translator.translate(texts, source, target), {}
    except Untranslated as error:
        return error.done, error.reasons
    except InputError as error:
        if not str(error).startswith("row "):
            raise
        if len(texts) == 1:
            return [None], {0: str(error).partition(": ")[2]}
        half = len(texts) // 2
        first, lost = each(translator, texts[:half], source, target)
        second, more = each(translator, texts[half:], source, target)
        return first + second, lost | {half + row: reason for row, reason in more.items()}
