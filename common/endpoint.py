"""Ask an OpenAI-compatible server (vLLM, SGLang, `transformers serve`, a vendor): many prompts at once, with retries.

    answers = Endpoint("meta-llama/Meta-Llama-3-8B").ask(prompts, max_tokens=64)

OPENAI_BASE_URL and OPENAI_API_KEY in the environment say where and as whom.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from common.errors import InputError

CONCURRENCY = 16  # requests under way
RETRIES = 6  # of a request, on 408, 409, 429, 5xx and lost connections, after 0.5, 1, 2, 4, 8 and 8 s or as told
TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Failure:
    """In the place of an answer: why there is none."""

    reason: str


class Endpoint:
    """A model behind an OpenAI-compatible server, asked greedily.

    Args:
        model: as the server names it.
        chat: ask with a message (`/chat/completions`), for instruction-tuned models; else the model goes on with the
            prompt as it is (`/completions`).
    """

    def __init__(self, model: str, *, chat: bool = False):
        try:
            import openai
        except ImportError as error:
            raise InputError(
                f"model {model!r} behind a server needs one more package: bash install.sh --online"
            ) from error
        missing = [name for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if not os.environ.get(name)]
        if missing:
            raise InputError(f"model {model!r} on a server: set {' and '.join(missing)} in the environment")
        self.model, self.chat, self._openai = model, chat, openai
        self._gone: str | None = None  # why the server is taken for gone

    def ask(
        self, prompts: Sequence[str], max_tokens: int, stop: str | None = None, progress: bool = True
    ) -> list[str | Failure]:
        """What the model answers to each prompt, in order; a Failure where retries did not help.

        After a request whose connection fails at every try nothing more is asked. Raises InputError where the server
        refuses the key or does not know the model.
        """
        return asyncio.run(self._ask_all(prompts, max_tokens, stop, progress))

    async def _ask_all(
        self, prompts: Sequence[str], max_tokens: int, stop: str | None, progress: bool
    ) -> list[str | Failure]:
        slots = asyncio.Semaphore(CONCURRENCY)
        async with self._openai.AsyncOpenAI(max_retries=RETRIES, timeout=TIMEOUT) as client:
            with tqdm(total=len(prompts), unit="answer", disable=not progress) as bar:

                async def one(prompt: str) -> str | Failure:
                    async with slots:
                        answer = (
                            Failure(self._gone) if self._gone else await self._ask(client, prompt, max_tokens, stop)
                        )
                    bar.update()
                    return answer

                return await asyncio.gather(*map(one, prompts))

    async def _ask(self, client, prompt: str, max_tokens: int, stop: str | None) -> str | Failure:
        keys = {"model": self.model, "max_tokens": max_tokens, "temperature": 0.0} | ({"stop": stop} if stop else {})
        if self._gone:
            return Failure(self._gone)
        try:
            if self.chat:
                messages = [{"role": "user", "content": prompt}]
                done = await client.chat.completions.create(messages=messages, **keys)
                return done.choices[0].message.content or ""
            return (await client.completions.create(prompt=prompt, **keys)).choices[0].text
        except (self._openai.AuthenticationError, self._openai.PermissionDeniedError) as error:
            raise InputError(f"{client.base_url} refuses the key in OPENAI_API_KEY: {error.message}") from error
        except self._openai.NotFoundError as error:
            raise InputError(
                f"{client.base_url} has no model {self.model!r} or no such route: {error.message}"
            ) from error
        except self._openai.APIConnectionError as error:
            self._gone = f"{client.base_url} cannot be reached: {error.message}"
            return Failure(self._gone)
        except self._openai.APIError as error:
            return Failure(f"{client.base_url}: {error.message}")
