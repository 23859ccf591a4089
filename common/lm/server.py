"""Requests to an OpenAI-compatible server (vLLM, SGLang, `transformers serve`, a vendor), concurrent and with retries.

    replies = Server("meta-llama/Meta-Llama-3-8B").ask(prompts, max_tokens=64)

OPENAI_BASE_URL and OPENAI_API_KEY in the environment name the server and the key.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.cli import InputError, config_hash

CONCURRENCY = 16  # concurrent requests
RETRIES = 6  # per request, on 408, 409, 429, 5xx and lost connections, after 0.5, 1, 2, 4, 8, 8 s or Retry-After
TIMEOUT = 120.0  # seconds
FEW = 5  # log-probabilities to ask for where a server refuses more
LOCK_SECONDS = 120.0  # wait for another process that writes to the file of replies
SERVERS = {"endpoint:": False, "chat:": True}  # prefix of a model behind a server, and whether its chat route is used


@dataclass(frozen=True)
class Reply:
    """A model's answer.

    Attributes:
        text: the answer.
        first: log-probabilities (nats) of the likeliest first tokens, if requested and returned.
        prompt_tokens, tokens: of prompt and answer as the server counts them, 0 if it does not.
    """

    text: str
    first: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Failure:
    """In place of a reply: the reason why there is none."""

    reason: str


@dataclass
class Budget:
    """Limits of one process's requests and tokens, None for no limit, and how many it has used.

    Requests that have started when the tokens are used up are completed.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0

    @property
    def spent(self) -> str | None:
        """Why no more requests may be sent, or None."""
        for name, limit in (("requests", self.max_requests), ("tokens", self.max_tokens)):
            if limit is not None and getattr(self, name) >= limit:
                return f"the budget of {limit} {name} is spent"
        return None


def split_server(name: str) -> tuple[str, bool] | None:
    """MODEL and whether the chat route is used, of `endpoint:MODEL` or `chat:MODEL`; None for any other name."""
    prefix = next((prefix for prefix in SERVERS if name.startswith(prefix)), None)
    return prefix and (name.removeprefix(prefix), SERVERS[prefix])


class Server:
    """A model behind an OpenAI-compatible server, decoded greedily.

    Args:
        model: the server's name of it.
        chat: send the prompt as a user's message (`/chat/completions`), for instruction-tuned models; else the model
            continues the prompt (`/completions`).
        replies: SQLite file that keeps every reply at once, so that no request is repeated; None for no file.
        budget: limits of requests and tokens.
    """

    def __init__(self, model: str, *, chat: bool = False, replies: Path | None = None, budget: Budget | None = None):
        try:
            import openai
        except ImportError as error:
            raise InputError(
                f"model {model!r} behind a server needs one more package: bash install.sh --online"
            ) from error
        missing = [name for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if not os.environ.get(name)]
        if missing:
            raise InputError(f"model {model!r} behind a server: set {' and '.join(missing)} in the environment")
        self.model, self.chat, self._openai = model, chat, openai
        self.replies, self.budget = replies, budget or Budget()
        self._gone: str | None = None  # why the server is taken to be unreachable

    def ask(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        *,
        stop: str | None = None,
        logprobs: int | None = None,
        progress: bool = True,
    ) -> list[Reply | Failure]:
        """The answer to each prompt, in order; a Failure where all retries failed or the budget is used up.

        `logprobs` requests the log-probabilities of that many of the likeliest first tokens. After a request without
        any connection no more are sent. Raises InputError where the server refuses the key or does not know the model.
        """
        keys = {"model": self.model, "max_tokens": max_tokens, "temperature": 0.0} | ({"stop": stop} if stop else {})
        if logprobs:
            keys |= {"logprobs": True, "top_logprobs": logprobs} if self.chat else {"logprobs": logprobs}
        return asyncio.run(self._ask_all(prompts, keys, progress))

    async def _ask_all(self, prompts: Sequence[str], keys: dict[str, Any], progress: bool) -> list[Reply | Failure]:
        slots = asyncio.Semaphore(CONCURRENCY)
        kept = self._kept(prompts, keys)
        async with self._openai.AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT) as client:
            with tqdm(total=len(prompts), unit="answer", disable=not progress) as bar:

                async def one(prompt: str) -> Reply | Failure:
                    if prompt not in kept:
                        async with slots:
                            reply = await self._ask(client, prompt, keys)
                        if isinstance(reply, Failure):
                            bar.update()
                            return reply
                        kept[prompt] = reply
                        self._keep(prompt, keys, reply)
                    bar.update()
                    return kept[prompt]

                distinct = list(dict.fromkeys(prompts))
                found = dict(zip(distinct, await asyncio.gather(*map(one, distinct)), strict=True))
        return [found[prompt] for prompt in prompts]

    async def _ask(self, client, prompt: str, keys: dict[str, Any]) -> Reply | Failure:
        if reason := self._gone or self.budget.spent:
            return Failure(reason)
        self.budget.requests += 1
        try:
            if self.chat:
                messages = [{"role": "user", "content": prompt}]
                done = await client.chat.completions.create(messages=messages, **keys)
            else:
                done = await client.completions.create(prompt=prompt, **keys)
        except (self._openai.AuthenticationError, self._openai.PermissionDeniedError) as error:
            raise InputError(f"{client.base_url} refuses the key in OPENAI_API_KEY: {error.message}") from error
        except self._openai.NotFoundError as error:
            raise InputError(
                f"{client.base_url} has no model {self.model!r} or no such route: {error.message}"
            ) from error
        except self._openai.BadRequestError as error:
            fewer = fewer_logprobs(keys)
            return await self._ask(client, prompt, fewer) if fewer else Failure(f"{client.base_url}: {error.message}")
        except self._openai.APIConnectionError as error:
            self._gone = f"{client.base_url} cannot be reached: {error.message}"
            return Failure(self._gone)
        except self._openai.APIError as error:
            return Failure(f"{client.base_url}: {error.message}")
        reply = reply_of(done, self.chat)
        self.budget.tokens += reply.prompt_tokens + reply.tokens
        return reply

    def _key(self, prompt: str, keys: dict[str, Any]) -> str:
        return config_hash({"chat": self.chat, "prompt": prompt, **keys})

    def _kept(self, prompts: Sequence[str], keys: dict[str, Any]) -> dict[str, Reply]:
        """Replies from the file, by prompt."""
        if self.replies is None:
            return {}
        self.replies.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.replies, timeout=LOCK_SECONDS)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
            found = {}
            for prompt in dict.fromkeys(prompts):
                row = database.execute("SELECT reply FROM replies WHERE key=?", (self._key(prompt, keys),)).fetchone()
                if row:
                    found[prompt] = Reply(**json.loads(row[0]))
        return found

    def _keep(self, prompt: str, keys: dict[str, Any], reply: Reply) -> None:
        if self.replies is None:
            return
        with closing(sqlite3.connect(self.replies, timeout=LOCK_SECONDS)) as database, database:
            row = (self._key(prompt, keys), json.dumps(asdict(reply)))
            database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", row)


def fewer_logprobs(keys: dict[str, Any]) -> dict[str, Any] | None:
    """The next request to try after a refused one: with fewer log-probabilities, then with none; None after that."""
    name = "top_logprobs" if "top_logprobs" in keys else "logprobs"
    if name not in keys:
        return None
    if keys[name] > FEW:
        return keys | {name: FEW}
    return {key: value for key, value in keys.items() if key not in ("logprobs", "top_logprobs")}


def reply_of(done: Any, chat: bool) -> Reply:
    """The reply in a completion of the openai library."""
    choice, usage = done.choices[0], done.usage
    text = (choice.message.content or "") if chat else choice.text
    offered = choice.logprobs
    first: dict[str, float] = {}
    if offered is not None and chat and offered.content:
        first = {token.token: token.logprob for token in offered.content[0].top_logprobs}
    elif offered is not None and not chat and offered.top_logprobs:
        first = dict(offered.top_logprobs[0])
    return Reply(text, first, *((usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)))
