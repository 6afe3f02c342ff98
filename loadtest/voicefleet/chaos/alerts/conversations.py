"""Callers of one region who talk with agents for as long as it takes: who hangs up is followed by the next."""

from __future__ import annotations

import asyncio
from itertools import count
from types import TracebackType
from typing import Self

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallRequest
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.speech.clips import load_utterances

PATIENCE_S = 25.0
TURNS = 5
_AGAIN_S = 1.0


class Conversations:
    """Keeps `size` callers in `region` while it is entered.

    Attributes:
        refused: tickets that the controller refused, or did not give.
        outcomes: of the calls that are over, each with the moment it ended.
    """

    def __init__(self, client: ControllerClient, region: str, clock: Clock, size: int) -> None:
        self._client = client
        self._region = region
        self._clock = clock
        self._size = size
        self._number = count()
        self._tasks: list[asyncio.Task[None]] = []
        self.refused: list[float] = []
        self.outcomes: list[tuple[float, CallOutcome]] = []

    async def __aenter__(self) -> Self:
        self.add(self._size)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_and_wait(self._tasks)

    def add(self, callers: int) -> list[asyncio.Task[None]]:
        """So many more callers; cancel what is returned to have them hang up."""
        new = [asyncio.create_task(self._talk()) for _ in range(callers)]
        self._tasks += new
        return new

    async def _talk(self) -> None:
        utterances = load_utterances()
        settings = CallerSettings(behavior=CallerBehavior(patience_s=PATIENCE_S))
        while True:
            number = next(self._number)
            try:
                ticket = await self._client.create_call(CallRequest(region=self._region))
            except (UnreachableError, UnknownStateError):
                self.refused.append(self._clock.monotonic())
                await self._clock.sleep(_AGAIN_S)
                continue
            first = number % len(utterances)
            asked = (utterances[first:] + utterances[:first])[:TURNS]
            outcome = await Caller(f"{self._region}-{number}", ticket, asked, settings, clock=self._clock).run()
            self.outcomes.append((self._clock.monotonic(), outcome))
            await self._clock.sleep(_AGAIN_S)
