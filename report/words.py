"""Texts of results as a reader wants them: settings, languages and arms in words, no absolute paths."""

import re
from collections.abc import Sequence
from pathlib import Path

from experiment import NAMES, named

from common.languages import LANGUAGES
from common.settings import label

ROOT = Path(__file__).resolve().parent.parent
PATH = re.compile(r"(?<![\w.:/~…-])/(?:[^\s/'\"`,:;|()\[\]]+/)+([^\s/'\"`,:;|()\[\]]*)")
HELD_OUT = "full_held_out"  # a column of FT/tabulate_arms.py
_PARTS = "full|question|options|gt_question|gt|onewrong|threewrong|context"
SETTING = re.compile(
    rf"(?<![\w/.-])(?:{HELD_OUT}|(?:rev_)?(?:{_PARTS})_(?:{'|'.join(LANGUAGES)})|rev_(?:{_PARTS})|mixup_paper|mixup|gt_question|gt"
    r"|onewrong|threewrong)(?![\w/-])"
)
DIRECTION = re.compile(rf"({'|'.join(LANGUAGES)})-({'|'.join(LANGUAGES)})")
CODE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")  # a name in a program
OF_LANGUAGES = ("language", "source", "target", "language a", "language b", "from", "into")
OF_ARMS = ("arm", "method", "run", "variant", "baseline")
HEADINGS = {
    "delta_vs_en": "difference from English", "ci_low": "95% from", "ci_high": "95% to", "p_mcnemar": "p (McNemar)",
    "p_holm": "p (Holm)", "delta_low": "difference, 95% from", "delta_high": "difference, 95% to",
}  # fmt: skip


def without_paths(text: str, folders: Sequence[Path] = ()) -> str:
    """The text with paths from the repository or a results folder on; of other absolute paths the last part."""
    for folder in folders:
        for known in (folder.resolve(), folder.absolute()):
            text = re.sub(rf"{re.escape(str(known))}(?=[/\s,:;'\"]|$)", folder.resolve().name, text)
    text = text.replace(f"{ROOT}/", "")
    return PATH.sub(r"…/\1", text)


def in_words(text: str) -> str:
    """The text with settings in words."""
    return SETTING.sub(lambda f: "everything in held-out languages" if f[0] == HELD_OUT else label(f[0]), text)


def heading(text: str) -> str:
    """A table's heading in words."""
    if text in HEADINGS:
        return HEADINGS[text]
    if (text in LANGUAGES and text != "id") or text == "full":
        return label(text)
    return in_words(text.replace("_", " ") if CODE.fullmatch(text) and not SETTING.fullmatch(text) else text)


def cell(text: str, column: str) -> str:
    """A table's cell in words, in a column with this heading."""
    if column in OF_ARMS and (text in NAMES or CODE.fullmatch(text)):
        return named(text)
    if column in OF_LANGUAGES and text in LANGUAGES:
        return label(text)
    if found := DIRECTION.fullmatch(text):
        return f"{label(found[1])} to {label(found[2])}"
    return label(text) if text in ("en", "full", "options", "context") else in_words(text)
