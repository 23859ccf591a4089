"""Translate with any program that reads one sentence a line and writes one a line, such as apertium."""

import os
import re
import shlex
from collections.abc import Sequence
from shutil import which
from subprocess import PIPE, Popen, TimeoutExpired

from common.cli import InputError
from common.languages import LANGUAGES
from common.translation.sentences import sentence_spans

PATIENCE = 600.0  # seconds that a call may take
MARK = re.compile(r"(?<![^\W\d_])([*#@])(?=[^\W_])")  # apertium: a word unknown, not inflected, without translation


class CommandTranslator:
    """A program; {source}, {target} in its command stand for ISO 639-1 codes, {source3}, {target3} for ISO 639-3.

    Without {target} the command's first language code must be the source, the last the target. Marks before words are
    taken off, but for signs that stand so in the sentence itself.
    """

    def __init__(self, command: str):
        self.command, self.identity = command, f"command {command}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        three = {code: one.nllb[:3] for code, one in LANGUAGES.items()}
        named = [code for word in re.findall("[a-z]+", self.command) for code in three if word in (code, three[code])]
        if "{target" not in self.command and named[:1] + named[-1:] != [source, target]:
            raise InputError(f"{self.command!r} does not say that it is for {source}-{target}; write {{target}} in it")
        codes = {"source": source, "target": target, "source3": three[source], "target3": three[target]}
        words = [re.sub("{((source|target)3?)}", lambda it: codes[it[1]], one) for one in shlex.split(self.command)]
        pieces = [[text[start:end] for start, end in sentence_spans(text, source)] for text in texts]
        asked = [(row, one.strip()) for row, own in enumerate(pieces) for one in own if one.strip()]
        said = iter(ask(words, asked) if asked else [])
        return ["".join(it.replace(it.strip(), next(said), 1) if it.strip() else it for it in own) for own in pieces]


def ask(words: Sequence[str], asked: Sequence[tuple[int, str]]) -> list[str]:
    """Translations of (row, sentence) pairs; InputError naming a row at fault, which is found by asking for halves."""
    if which(words[0]) is None:
        raise InputError(f"{words[0]}: no such program; install it, or name its path in the translator command")
    with Popen(words, stdin=PIPE, stdout=PIPE, start_new_session=True) as program:
        try:  # apertium reads across the end of a line but not across an empty one, and so no line can shift
            out, _ = program.communicate("".join(f"{one}\n\n" for _, one in asked).encode(), timeout=PATIENCE)
        except TimeoutExpired:
            out = f"nothing in {PATIENCE:.0f} seconds".encode()
            os.killpg(program.pid, 9)  # with all that it has started
    lines = [line.strip() for line in out.decode(errors="replace").rstrip().split("\n")]
    if not program.returncode and len(lines[::2]) == len(asked) and not any(lines[1::2]) and all(lines[::2]):
        pairs = [(set(MARK.findall(one)), line) for (_, one), line in zip(asked, lines[::2], strict=True)]
        return [MARK.sub(lambda it, own=own: it[1] * (it[1] in own), line) for own, line in pairs]
    if len(asked) == 1:
        said = "|".join(lines)[:60]
        raise InputError(f"row {asked[0][0]}: {words[0]} ended with {program.returncode} and {said!r} for one line")
    return ask(words, asked[: len(asked) // 2]) + ask(words, asked[len(asked) // 2 :])
