"""Translate with web services through deep-translator."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, partialmethod

from common.cli import InputError, without_secrets
from common.lm.server import LONG
from common.translation.base import Untranslated, respace
from common.translation.sentences import sentence_spans

SERVICES = ("google", "deepl", "libre")
TRIES = 5  # attempts per request
LONGEST_PAUSE = 60.0  # seconds between two attempts
LIMIT = 4500  # characters per request
TIMEOUT = 60.0  # seconds without a sign of life
GIVE_UP = 3  # requests in succession that fail before no more are sent


class WebServiceTranslator:
    """Google, DeepL or LibreTranslate; keys come from the environment (DEEPL_API_KEY; LIBRE_URL and LIBRE_API_KEY).

    A request is attempted five times, with growing pauses; texts beyond a service's limit are sent sentence by
    sentence. No message and no translation has a key in it.
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
        if missing := [variable for variable in variables.values() if not os.environ.get(variable)]:
            raise InputError(f"translator {service!r}: set {' and '.join(missing)} in the environment")
        self._client = partial(client, **{key: os.environ[variable] for key, variable in variables.items()})
        self._key = os.environ.get(variables.get("api_key", ""), "")
        self._lost: list[str] = []  # why the latest requests have failed, since one that has not
        self._retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES), wait=tenacity.wait_exponential(max=LONGEST_PAUSE), reraise=True
        )

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See Translator. Raises Untranslated, with all other translations, where texts failed."""
        own = {"zh": "zh-CN", "he": "iw"} if "google" in self.identity else {}
        codes = [own.get(code, code) for code in (source, target)]
        try:
            client = self._client(source=codes[0], target=codes[1])
        except Exception as error:  # the service has no such language
            raise InputError(f"{self.identity}, {source}-{target}: {self._sentence(error)}") from None
        done: list[str | None] = [None] * len(texts)
        reasons = {}
        for row, text in enumerate(texts):
            try:
                done[row] = self._one(client, text, source)
            except InputError as error:
                reasons[row] = str(error)
        if reasons:
            raise Untranslated(done, reasons)
        return done

    @staticmethod
    def _sentence(error: Exception) -> str:
        return without_secrets(" ".join((str(error) or type(error).__name__).split()))

    def _one(self, client, text: str, source: str) -> str:
        spans = [(0, len(text))] if len(text) <= LIMIT else sentence_spans(text, source)
        done = []
        for start, end in spans:
            piece = text[start:end]
            if not piece.strip():
                done.append(piece)
                continue
            if len(self._lost) >= GIVE_UP:
                raise InputError(self._lost[-1])
            try:
                with _timeout():
                    translated = self._retry(client.translate, piece.strip())
                self._lost.clear()
            except Exception as error:  # deep-translator passes on the errors of its services and of requests
                self._lost.append(f"{self.identity} failed {TRIES} times: {self._sentence(error)}")
                raise InputError(self._lost[-1]) from None
            if not isinstance(translated, str) or not translated.strip():
                raise InputError(f"{self.identity} gave no translation of {piece[:60]!r}")
            if len(self._key) >= LONG and self._key in translated:
                raise InputError(f"{self.identity} gave its key for a translation of {piece[:60]!r}")
            done.append(respace(piece, translated.strip()))
        return "".join(done)


@contextmanager
def _timeout() -> Iterator[None]:
    """Inside the block `requests` waits TIMEOUT at most; deep-translator leaves it to wait for ever."""
    import requests

    request = requests.Session.request
    requests.Session.request = partialmethod(request, timeout=TIMEOUT)
    try:
        yield
    finally:
        requests.Session.request = request
