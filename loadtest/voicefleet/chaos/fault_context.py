"""What a fault uses and reports: the running fleet, its controller's API, a random source, an undo stack."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from voicefleet.chaos.caller_pool import CallerPool
from voicefleet.chaos.packets import PacketFilter
from voicefleet.chaos.relay import Relay
from voicefleet.contract.api import RegionView, WorkerView
from voicefleet.contract.errors import UnknownStateError, VoicefleetError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet
from voicefleet.stack.servers import LiveKit

T = TypeVar("T")

REGION = "eu"
_LOOK_EVERY_S = 0.1


class FaultError(VoicefleetError):
    """The fault could not be brought about, so that the run shows nothing."""


@dataclass(frozen=True, slots=True)
class Fixtures:
    """What the fleet was started with for faults to use."""

    directory: Path
    relay: Relay | None = None
    journal: Path | None = None
    providers: Path | None = None
    clocks: Path | None = None
    senses: Path | None = None
    packet_filter: PacketFilter | None = None


@dataclass(slots=True)
class FaultContext:
    """One run, as its fault sees it."""

    fleet: Fleet
    client: ControllerClient
    callers: CallerPool
    fixtures: Fixtures
    rng: np.random.Generator
    clock: Clock
    undo: contextlib.AsyncExitStack
    """Closed once the callers are gone, also on Ctrl-C."""
    injected: asyncio.Event = field(default_factory=asyncio.Event)
    injected_s: float | None = None
    hit: int = 0
    wrong_arrivals: int = 0
    """Agents that came where none was wanted."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    empty_s: list[float | None] = field(default_factory=list)

    @property
    def relay(self) -> Relay:
        return _required(self.fixtures.relay)

    @property
    def journal(self) -> Path:
        """What `working_agent` wrote down."""
        return _required(self.fixtures.journal)

    @property
    def providers(self) -> Path:
        """The file that tells the providers how to fail."""
        return _required(self.fixtures.providers)

    @property
    def clocks(self) -> Path:
        """The folder with a file per worker that sets its clock."""
        return _required(self.fixtures.clocks)

    @property
    def senses(self) -> Path:
        """The file that makes agents deaf or mute."""
        return _required(self.fixtures.senses)

    @property
    def packet_filter(self) -> PacketFilter:
        return _required(self.fixtures.packet_filter)

    @property
    def livekit(self) -> LiveKit:
        return self.fleet.livekit[REGION]

    @property
    def since_injection_s(self) -> float:
        return self.clock.monotonic() - (self.injected_s or self.clock.monotonic())

    def mark_injection(self, hit: int = 0) -> None:
        """The fault is injected now: call this just before the act. `hit`: live calls that lose their agent."""
        self.injected_s = self.clock.monotonic()
        self.hit = hit
        self.injected.set()

    def note(self, text: str) -> None:
        """Add a sentence to the scenario's notes; alike ones of several runs are counted."""
        self.notes.append(text)

    def problem(self, text: str) -> None:
        """Something that must not be: the scenario is not good."""
        self.problems.append(text)

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def region(self) -> RegionView:
        """What the controller says of the region. Raises UnknownStateError when it does not."""
        return next(view for view in await self.client.regions() if view.region == REGION)

    async def workers(self) -> list[WorkerView]:
        """The workers that can be reached by pid, the oldest first."""
        try:
            found = [worker for worker in (await self.region()).workers if worker.pid]
        except UnknownStateError as error:
            raise FaultError(f"the workers are not known: {error}") from error
        return sorted(found, key=lambda worker: -(worker.age_s or 0.0))

    async def served(self) -> dict[str, str]:
        """Room -> worker, of every live call. Raises FaultError when the controller does not know."""
        try:
            return {call.room: call.worker for call in await self.client.calls() if call.worker}
        except UnknownStateError as error:
            raise FaultError(f"which worker serves which call is not known: {error}") from error

    async def calls_of_workers(self) -> Counter[str]:
        """Live calls by worker. Raises FaultError when the controller does not know."""
        return Counter((await self.served()).values())

    async def busiest(self) -> tuple[WorkerView, int]:
        """The worker with the most calls, and how many; one of several at random.

        Raises:
            FaultError: no worker serves a call.
        """
        calls, workers = await self.calls_of_workers(), await self.workers()
        most = max((calls[worker.id] for worker in workers), default=0)
        if not most:
            raise FaultError("no worker serves a call")
        found = [worker for worker in workers if calls[worker.id] == most]
        return found[int(self.rng.integers(len(found)))], most

    async def until(self, look: Callable[[], Awaitable[bool]], limit_s: float) -> float | None:
        """Seconds until `look` is true; None when it is not within `limit_s`. An answer that is missing is no."""
        began_s = self.clock.monotonic()
        while (elapsed_s := self.clock.monotonic() - began_s) < limit_s:
            with contextlib.suppress(UnknownStateError):
                if await look():
                    return self.clock.monotonic() - began_s
            await self.clock.sleep(min(_LOOK_EVERY_S, limit_s - elapsed_s))
        return None


def _required(fixture: T | None) -> T:
    if fixture is None:
        raise FaultError("the fleet was started without what this fault needs")
    return fixture
