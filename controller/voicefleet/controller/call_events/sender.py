"""Sends one event to one receiver over HTTP: signed, bounded in time, to the configured address and nowhere else."""

from __future__ import annotations

import enum
from types import TracebackType
from typing import Self

import aiohttp

from voicefleet.contract.call_events import CallEvent, signed_headers
from voicefleet.controller.settings.call_events import ReceiverSettings
from voicefleet.runtime.clock import Clock


class Answer(enum.StrEnum):
    """What came of one request."""

    TAKEN = "taken"
    REFUSED = "refused"
    """An answer that is not 2xx. A redirect is one too: nobody is followed elsewhere."""
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"


class Sender:
    """The way to one receiver. Use as an async context manager.

    Neither proxies of the environment, nor cookies, nor redirects change where a request goes; answers are not read.
    """

    def __init__(self, receiver: ReceiverSettings, clock: Clock) -> None:
        self._receiver = receiver
        self._clock = clock
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._receiver.timeout_s),
            connector=aiohttp.TCPConnector(limit=self._receiver.at_once),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "voicefleet", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def send(self, event: CallEvent) -> tuple[Answer, str]:
        """What came of it, and a word for the log: the status, or what failed."""
        assert self._http is not None, "enter the sender first"
        body, at_s = event.body(), int(self._clock.wall().timestamp())
        headers = signed_headers(self._receiver.keys, event.id, at_s, body)
        try:
            async with self._http.post(
                self._receiver.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return (Answer.TAKEN if 200 <= response.status < 300 else Answer.REFUSED), str(response.status)
        except TimeoutError:
            return Answer.TIMED_OUT, f"no answer within {self._receiver.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer.UNREACHABLE, type(error).__name__
