"""Translate with web services through deep-translator."""

import os
from collections.abc import Sequence
from functools import partial

from common.cli import InputError
from common.translation.base import respace
from common.translation.sentences import sentence_spans

SERVICES = ("google", "deepl", "libre")
TRIES = 5  # attempts per request
LONGEST_PAUSE = 60.0  # seconds between two attempts
LIMIT = 4500  # characters per request


class WebServiceTranslator:
    """Google, DeepL or LibreTranslate; keys come from the environment (DEEPL_API_KEY; LIBRE_URL and LIBRE_API_KEY).

    A request is attempted five times, with growing pauses; texts beyond a service's limit are sent sentence by
    sentence.
    """

    def __init__(self, service: str):
        try:
            import deep_translator
            import tenacity
        except ImportError as error:
            raise InputError(f"translator {service!r} needs two more packages: bash install.sh --online") from error
        self.identity = f"service {service}"
        client, variables = {
            "google": (deep_translator.GoogleTranslator, {}),
            "deepl": (deep_translator.DeeplTranslator, {"api_key": "DEEPL_API_KEY"}),
            "libre": (deep_translator.LibreTranslator, {"custom_url": "LIBRE_URL", "api_key": "LIBRE_API_KEY"}),
        }[service]
        missing = [variable for variable in variables.values() if not os.environ.get(variable)]
        if missing:
            raise InputError(f"translator {service!r}: set {' and '.join(missing)} in the environment")
        self._client = partial(client, **{key: os.environ[variable] for key, variable in variables.items()})
        self._retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES), wait=tenacity.wait_exponential(max=LONGEST_PAUSE), reraise=True
        )

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator."""
        client = self._client(source=self._code(source), target=self._code(target))
        return [self._one(client, text, row, source) for row, text in enumerate(texts)]

    def _code(self, language: str) -> str:
        return "zh-CN" if language == "zh" and "google" in self.identity else language

    def _one(self, client, text: str, row: int, source: str) -> str:
        spans = [(0, len(text))] if len(text) <= LIMIT else sentence_spans(text, source)
        done = []
        for start, end in spans:
            piece = text[start:end]
            if not piece.strip():
                done.append(piece)
                continue
            try:
                translated = self._retry(client.translate, piece.strip())
            except Exception as error:  # deep-translator passes on the errors of its services and of requests
                reason = str(error).split("\n")[0]
                raise InputError(f"row {row}: {self.identity} failed {TRIES} times: {reason}") from error
            if not (translated or "").strip():
                raise InputError(f"row {row}: {self.identity} gave no translation of {piece[:60]!r}")
            done.append(respace(piece, translated.strip()))
        return "".join(done)
