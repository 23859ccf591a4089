"""Requests to an OpenAI-compatible server (vLLM, SGLang, `transformers serve`, a vendor), concurrent and with retries.

    replies = Server("meta-llama/Meta-Llama-3-8B").ask(prompts, max_tokens=64)

OPENAI_BASE_URL and OPENAI_API_KEY in the environment name the server and the key.
"""

import asyncio
import json
import math
import os
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.cli import InputError, config_hash, without_secrets
from common.database import database
from common.progress import Progress

CONCURRENCY = 16  # concurrent requests
RETRIES = 6  # per request, on 408, 409, 429, 5xx and lost connections, after 0.5, 1, 2, 4, 8, 8 s or Retry-After
MORE_TRIES, PAUSE = 2, 1.0  # per request, after a reply that cannot be used; seconds between
TIMEOUT = 120.0  # seconds without a sign of life
FEW = 5  # log-probabilities to ask for where a server refuses more
TABLE = "replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
SMALL = 1e-3  # how far rounding may lift a log-probability above 0
LONG = 16  # characters of a key that cannot stand in an answer by chance, as "none" can


@dataclass(frozen=True)
class Reply:
    """A model's answer.

    Attributes:
        first: log-probabilities (nats) of the likeliest first tokens, if returned; of two written alike, the larger.
        prompt_tokens, tokens: of prompt and answer as the server counts them, 0 if it does not.

    Raises ValueError for values that are none of these, so that no such reply is used or kept.
    """

    text: str
    first: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ValueError("its text is no text; if the model thinks first, switch that off")
        for token, value in self.first.items():
            if not (isinstance(token, str) and isinstance(value, int | float) and -math.inf < value < SMALL):
                raise ValueError("a log-probability is no number up to 0")
        if not all(isinstance(count, int) and count >= 0 for count in (self.prompt_tokens, self.tokens)):
            raise ValueError("its tokens are not counted by whole numbers")


@dataclass(frozen=True)
class Failure:
    """In place of a reply: the reason why there is none."""

    reason: str


def split_server(name: str) -> tuple[str, bool] | None:
    """MODEL and whether the chat route is used, of `endpoint:MODEL` or `chat:MODEL`; None for any other name."""
    server, colon, model = name.partition(":")
    return (model, server == "chat") if colon and server in ("endpoint", "chat") else None


class Server:
    """A model behind an OpenAI-compatible server.

    Args:
        chat: send the prompt as a user's message (`/chat/completions`), for instruction-tuned models; else the model
            continues the prompt (`/completions`).
        replies: SQLite file that keeps every reply at once, so that no request is repeated; None for no file.
        limits: most `requests` and `tokens` of this process, None for no limit. Requests that have started when the
            tokens are used up are completed.
    """

    def __init__(self, model: str, *, chat: bool = False, replies: Path | None = None, limits: dict | None = None):
        try:
            import openai
        except ImportError as error:
            raise InputError(f"model {model!r} behind a server needs a package: bash install.sh --online") from error
        if not model:
            raise InputError("endpoint: and chat: need a model's name behind the colon")
        if missing := [name for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if not os.environ.get(name)]:
            raise InputError(f"model {model!r} behind a server: set {' and '.join(missing)} in the environment")
        if not _is_address(os.environ["OPENAI_BASE_URL"]):
            raise InputError("OPENAI_BASE_URL is no address such as http://HOST:8000/v1")
        self._key = os.environ["OPENAI_API_KEY"]
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError("OPENAI_API_KEY has a character that no key has, such as a line end")
        self.model, self.chat, self._openai = model, chat, openai
        self.replies, self._limits, self.used = replies, limits or {}, {"requests": 0, "tokens": 0}
        self._gone: str | None = None  # why the server is taken to be unreachable

    def ask(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        *,
        stop: str | None = None,
        logprobs: int | None = None,
        **more: Any,
    ) -> list[Reply | Failure]:
        """The answer to each prompt, in order, greedy; a Failure where all retries failed or the budget is spent.

        `logprobs` requests the log-probabilities of that many of the likeliest first tokens; `more` are further keys of
        the request, `messages` those before a chat's prompt. After a request without any connection no more are sent.
        Raises InputError where the server refuses the key or does not know the model.
        """
        keys = {"model": self.model, "max_tokens": max_tokens, "temperature": 0.0} | ({"stop": stop} if stop else {})
        keys |= more
        if logprobs:
            keys |= {"logprobs": True, "top_logprobs": logprobs} if self.chat else {"logprobs": logprobs}
        stop = signal.getsignal(signal.SIGTERM)
        try:
            return asyncio.run(self._ask_all(prompts, keys))
        except asyncio.CancelledError:
            raise KeyboardInterrupt(128 + signal.SIGTERM) from None
        finally:
            signal.signal(signal.SIGTERM, stop)

    async def _ask_all(self, prompts: Sequence[str], keys: dict[str, Any]) -> list[Reply | Failure]:
        # An exception of a signal in the middle of the client may become another; cancelled tasks end in order.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        slots = asyncio.Semaphore(CONCURRENCY)
        distinct = {prompt: config_hash({"chat": self.chat, "prompt": prompt, **keys}) for prompt in prompts}
        with database(self.replies or ":memory:", TABLE) as kept, Progress(len(distinct), "answers") as progress:
            async with self._openai.AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT) as client:

                async def one(prompt: str, key: str) -> Reply | Failure:
                    if (reply := _kept_reply(kept, key)) is None:
                        async with slots:
                            reply = await self._ask(client, prompt, keys)
                        if isinstance(reply, Reply):
                            with kept:
                                kept.execute("REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(asdict(reply))))
                    progress.update()
                    return reply

                found = dict(zip(distinct, await asyncio.gather(*map(one, distinct, distinct.values())), strict=True))
        return [found[prompt] for prompt in prompts]

    async def _ask(self, client, prompt: str, keys: dict[str, Any], tries: int = MORE_TRIES) -> Reply | Failure:
        spent = [name for name, most in self._limits.items() if self.used[name] >= (most or math.inf)]
        if self._gone or spent:
            return Failure(self._gone or f"the budget of {self._limits[spent[0]]} {spent[0]} is spent")
        self.used["requests"] += 1
        route, asked = client.completions, {"prompt": prompt}
        if self.chat:
            messages = [*keys.get("messages", ()), {"role": "user", "content": prompt}]
            route, asked = client.chat.completions, {"messages": messages}
        body = b""

        def sentence(said: Any) -> str:
            return without_secrets(f"{str(client.base_url).partition('?')[0]} {said}")

        try:
            async with asyncio.timeout(2 * TIMEOUT * (RETRIES + 1)):  # for an answer that never ends
                body = (await route.with_raw_response.create(**keys | asked)).http_response.content
            reply = self._read(body)
        except (self._openai.AuthenticationError, self._openai.PermissionDeniedError) as error:
            raise InputError(sentence(f"refuses the key in OPENAI_API_KEY: {error}")) from error
        except self._openai.NotFoundError as error:
            raise InputError(sentence(f"has no model {self.model!r} or no such route: {error}")) from error
        except self._openai.BadRequestError as error:
            fewer = fewer_logprobs(keys)
            return await self._ask(client, prompt, fewer) if fewer else Failure(sentence(f"says {error}"))
        except (self._openai.APIConnectionError, TimeoutError) as error:
            self._gone = sentence(f"cannot be reached: {str(error) or 'its answer has no end'}")
            return Failure(self._gone)
        except self._openai.APIError as error:
            return Failure(sentence(f"says {error}"))
        except (ValueError, RecursionError) as error:
            if tries:
                await asyncio.sleep(PAUSE)
                return await self._ask(client, prompt, keys, tries - 1)
            start = " ".join(without_secrets(body.decode(errors="replace")).split())[:80]
            return Failure(sentence(f"gives a reply that cannot be used ({error}): {start!r}"))
        self.used["tokens"] += reply.prompt_tokens + reply.tokens
        return reply

    def _read(self, body: bytes) -> Reply:
        """The reply in the body of a response; ValueError where there is none, InputError for that of another model."""
        done = json.loads(body)
        reply = reply_of(done, self.chat)
        if len(self._key) >= LONG and self._key in str(reply):
            raise ValueError("it holds the key of OPENAI_API_KEY")
        if not same_model(self.model, done.get("model")):
            raise InputError(f"the server answers as model {done['model']!r}, not {self.model!r}; name the one it runs")
        return reply


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # of a port that is no number
        return False


def _kept_reply(kept: sqlite3.Connection, key: str) -> Reply | None:
    """The reply under a key; None where there is none, or none that can be used."""
    row = kept.execute("SELECT reply FROM replies WHERE key=?", (key,)).fetchone()
    with suppress(ValueError, TypeError, AttributeError):
        return Reply(**json.loads(row[0])) if row else None


def same_model(asked: str, said: Any) -> bool:
    """Whether a server's name may be that of the model asked for, as gpt-4o-2024-08-06 is of gpt-4o; no name may."""
    name = asked.rstrip("/").rpartition("/")[2].lower()
    name = name.partition(":")[0] if "/" in asked else name  # a router is asked for OWNER/MODEL:HOST
    return not isinstance(said, str) or not said or name in said.lower() or said.lower() in asked.lower()


def fewer_logprobs(keys: dict[str, Any]) -> dict[str, Any] | None:
    """The next request to try after a refused one: with fewer log-probabilities, then with none; None after that."""
    name = "top_logprobs" if "top_logprobs" in keys else "logprobs"
    if name not in keys:
        return None
    if keys[name] > FEW:
        return keys | {name: FEW}
    return {key: value for key, value in keys.items() if key not in ("logprobs", "top_logprobs")}


def reply_of(done: Any, chat: bool) -> Reply:
    """The reply in the JSON of a completion; ValueError where there is none."""
    try:
        choice, usage = done["choices"][0], done.get("usage") or {}
        text = choice["message"]["content"] if chat else choice["text"]
        offered = choice.get("logprobs") or {}
        if chat:
            tokens = (offered.get("content") or [{}])[0].get("top_logprobs") or []
            first = {token["token"]: token["logprob"] for token in sorted(tokens, key=lambda token: token["logprob"])}
        elif first := dict((offered.get("top_logprobs") or [{}])[0] or {}):
            first |= dict(zip(offered.get("tokens", ())[:1], offered.get("token_logprobs", ())[:1], strict=False))
        return Reply(text, first, usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("it is not of the form of a completion") from error
