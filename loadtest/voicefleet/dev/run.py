"""Runs `voicefleet dev`: servers, one worker with the agent, a new one on each change, and calls from the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.settings import LiveKitKeys
from voicefleet.callers.tickets import own_ticket
from voicefleet.callers.verdict import faults
from voicefleet.contract.api import CallRequest
from voicefleet.contract.errors import UnknownStateError, UnreachableError, UsageError
from voicefleet.dev.options import REGION, DevOptions
from voicefleet.dev.questions import questions
from voicefleet.dev.sources import counts, folder_of
from voicefleet.loadtest.event_printer import EventPrinter
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import Utterance
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.interrupt import Say
from voicefleet.worker.check.command import probe

READY_LIMIT_S = 60.0
SHAPE = PoolShape(slots=2, min_workers=1, max_workers=2, buffer=0, scale_down_delay_s=5.0)
_LOOK_EVERY_S = 0.2
_TAIL = 15
_WATCH_MS = 500


@dataclass(slots=True)
class DevRun:
    """The fleet while it is up, and the calls that were placed."""

    options: DevOptions
    clock: Clock
    say: Say
    outcomes: list[tuple[CallOutcome, list[str]]] = field(default_factory=list)
    """Each call with what was wrong with it."""

    async def run(self) -> None:
        """Until the call is over with `call`, else until cancelled.

        Raises:
            UsageError: the agent, its tiers or a part of the fleet; nothing is left running.
        """
        options = self.options
        asks = questions(options.say, options.turns)
        found = await asyncio.to_thread(probe, options.agent, options.tiers)
        for problem in found.problems:
            self.say(f"check: {problem}")
        with tempfile.TemporaryDirectory(prefix="voicefleet-dev-") as directory:
            self.say("starting Redis, livekit-server, a controller and one worker")
            workers = WorkerOptions(options.tiers, agent=options.agent)
            async with (
                running_fleet((REGION,), SHAPE, Path(directory), workers=workers) as fleet,
                ControllerClient(fleet.api_url) as client,
            ):
                self.say(f"{await self._ready(fleet, client, set())} is ready")
                self._addresses(fleet)
                if options.call:
                    await self._call(client, asks)
                    return
                async with asyncio.TaskGroup() as group:
                    if options.reload:
                        group.create_task(self._reload(fleet, client))
                    group.create_task(self._calls_on_enter(client, asks))

    def _addresses(self, fleet: Fleet) -> None:
        livekit = fleet.livekit[REGION]
        keys = LiveKitKeys(livekit.api_key, livekit.api_secret)
        ticket = own_ticket(livekit.url, keys, agent_name="voicefleet", region=REGION, tier=None)
        self.say(f"controller       {fleet.api_url}")
        self.say(f"LiveKit          {livekit.url}")
        self.say(f"logs             {fleet.log_dir}")
        self.say(f"browser client   room {ticket.room}, token {ticket.token}")
        if not self.options.call:
            self.say("Enter places a call, Ctrl-C ends it all")

    async def _ready(self, fleet: Fleet, client: ControllerClient, old: set[str]) -> str:
        """Wait for a ready worker that is none of `old`; its name.

        Raises:
            UnreachableError: none came; the message has the last lines of the logs.
        """
        began_s = self.clock.monotonic()
        while self.clock.monotonic() - began_s < READY_LIMIT_S:
            with contextlib.suppress(UnknownStateError):
                for worker in (await client.regions())[0].workers:
                    if worker.state == "ready" and worker.id not in old:
                        return worker.id
            await self.clock.sleep(_LOOK_EVERY_S)
        raise UnreachableError(
            f"no worker was ready within {READY_LIMIT_S:.0f} s; the last lines of the logs:\n{fleet.log_tails(_TAIL)}",
            field="worker",
            hint="Mend what they say.",
        )

    # Reload

    async def _reload(self, fleet: Fleet, client: ControllerClient) -> None:
        """With each change that loads, a new worker takes over, live calls too, and the old one ends."""
        folder = folder_of(self.options.agent)
        async for changed in _changes(folder):
            if not changed:
                self.say(f"watching {folder}")
                continue
            self.say(f"changed: {', '.join(sorted(path.name for path in changed))}")
            try:
                found = await asyncio.to_thread(probe, self.options.agent, self.options.tiers)
                for problem in found.problems:
                    self.say(f"check: {problem}")
                if not found.passed:
                    self.say("the worker keeps the code that it has")
                    continue
                await self._replace(fleet, client)
            except (UsageError, UnknownStateError) as error:
                self.say(f"{error}\nthe worker keeps the code that it has")

    async def _replace(self, fleet: Fleet, client: ControllerClient) -> None:
        began_s = self.clock.monotonic()
        old = {worker.id for worker in (await client.regions())[0].workers}
        for worker in old:
            await client.drain_worker(worker)
        name = await self._ready(fleet, client, old)
        took_s = self.clock.monotonic() - began_s
        self.say(f"{name} is ready with the new code after {took_s:.1f} s; a live call moves to it between two turns")

    # Calls

    async def _calls_on_enter(self, client: ControllerClient, asks: tuple[Utterance, ...]) -> None:
        """A call for each line on the terminal; where there is none, none."""
        if not sys.stdin.isatty():
            await asyncio.Event().wait()
        lines: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
        try:
            while await lines.get():
                try:
                    await self._call(client, asks)
                except (UsageError, UnknownStateError) as error:
                    self.say(f"no call: {error}")
        finally:
            loop.remove_reader(sys.stdin)

    async def _call(self, client: ControllerClient, asks: tuple[Utterance, ...]) -> None:
        ticket = await client.create_call(CallRequest(region=REGION, data=True), patience_s=20.0)
        self.say(f"call in room {ticket.room}")
        printer = EventPrinter(asks, self.say, self.clock)
        outcome = await Caller("call", ticket, asks, on_event=printer, clock=self.clock).run()
        wrong = faults(outcome, len(asks))
        self.outcomes.append((outcome, wrong))
        self.say(f"bad call: {'; '.join(wrong)}" if wrong else "good call")


async def _changes(folder: Path) -> AsyncIterator[set[Path]]:
    """An empty set once the folder is watched, then the files of each change."""
    # With livekit-agents; who only places calls has neither.
    from watchfiles import awatch

    def ours(_: object, name: str) -> bool:
        return counts(Path(name), folder)

    watched = False
    async for changes in awatch(folder, watch_filter=ours, rust_timeout=_WATCH_MS, yield_on_timeout=True):
        if changes or not watched:
            yield {Path(name) for _, name in changes}
        watched = True
