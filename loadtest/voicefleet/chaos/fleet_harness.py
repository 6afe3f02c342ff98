"""One fleet and the runs on it: callers join, the fault is injected, callers leave, the fleet recovers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from voicefleet.callers.health import HealthMeter
from voicefleet.callers.settings import LiveKitKeys
from voicefleet.callers.tickets import own_ticket
from voicefleet.chaos import breakable_agent, launcher
from voicefleet.chaos.caller_pool import PATIENCE_S, CallerPool
from voicefleet.chaos.fault_context import REGION, FaultContext, FaultError, Fixtures
from voicefleet.chaos.faults.providers import write_faults
from voicefleet.chaos.journal import journal_problems, read_journal
from voicefleet.chaos.measure import Run
from voicefleet.chaos.packets import open_filter
from voicefleet.chaos.relay import relay
from voicefleet.chaos.scenarios import FleetProfile, Scenario
from voicefleet.chaos.settings import JOURNAL_VARIABLE
from voicefleet.contract.api import CallRequest
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.find import find_faketime
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.interrupt import Say

WORKING_AGENT = "voicefleet.chaos.working_agent:create"
START_LIMIT_S = 60.0
RESTORED_LIMIT_S = 40.0
JOIN_SPREAD_S = 2.5
GREETING_LIMIT_S = 15.0
INJECT_AFTER_S = (1.0, 5.0)
"""The fault is injected at a random moment this long after every caller was greeted."""
FAULT_LIMIT_S = 150.0
ANSWERS_LIMIT_S = 20.0
END_LIMIT_S = 30.0
"""Callers are told to end; one in silence hangs up when its patience is over, and then its call must be over."""
HOOKS_LIMIT_S = 20.0
HELD_PATIENCE_S = 90.0
"""Of callers to whom a voice says that they must wait: they stay longer than the minute in which all slots are full."""


@dataclass(slots=True)
class FleetHarness:
    """A fleet of one profile, up and running."""

    profile: FleetProfile
    fleet: Fleet
    client: ControllerClient
    fixtures: Fixtures
    clock: Clock
    say: Say

    async def wait_restored(self, limit_s: float = RESTORED_LIMIT_S) -> bool:
        """Wait until as many workers as there must be are ready and no call is left; False if that takes too long."""
        deadline_s = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < deadline_s:
            with contextlib.suppress(UnknownStateError):
                if await self._is_restored():
                    return True
            await self.clock.sleep(0.2)
        return False

    async def _is_restored(self) -> bool:
        view = next(region for region in await self.client.regions() if region.region == REGION)
        least = self.profile.workers
        states = [worker.state for worker in view.workers]
        return (
            (view.live, view.waiting, view.starting, view.draining) == (0, 0, 0, 0)
            and states.count("ready") == len(states) == least
            and all(worker.live == 0 and worker.pid for worker in view.workers)
        )

    async def run(self, scenario: Scenario, seed: int) -> Run:
        """One seed of a scenario. What the fault changed is undone when this returns, however it ends."""
        rng = np.random.default_rng([seed, *scenario.id.encode()])
        callers = CallerPool(self.clock, seed, HELD_PATIENCE_S if scenario.profile.waiting_message else PATIENCE_S)
        failed, settled = "", False
        async with HealthMeter(self.clock) as meter, contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(callers.aclose)
            context = FaultContext(self.fleet, self.client, callers, self.fixtures, rng, self.clock, undo)
            try:
                await self._join_live_callers(scenario, context)
                latecomers = asyncio.create_task(self._latecomers(scenario, context))
                undo.callback(latecomers.cancel)
                async with asyncio.timeout(FAULT_LIMIT_S):
                    await scenario.fault(context)
            except FaultError as error:
                failed = str(error)
            except TimeoutError:
                failed = f"the fault was not over after {FAULT_LIMIT_S:.0f} s"
            over_s = self.clock.monotonic()
            if failed:
                callers.finish()
            else:
                await callers.wait_answered(scenario.answers, over_s, ANSWERS_LIMIT_S)
            settled = await callers.wait_over(END_LIMIT_S)
            if scenario.profile.working and not failed:
                await self._judge_work(context, cut=scenario.bound.voice_back_s is not None)
        health = meter.health()
        if not settled:
            context.note("a call never came to its end")
        return Run(
            seed=seed,
            injected_s=context.injected_s,
            outcomes=callers.outcomes(),
            placed=callers.size,
            rooms=callers.heard_rooms,
            hit=context.hit,
            wrong_arrivals=context.wrong_arrivals,
            empty_s=tuple(context.empty_s),
            notes=tuple(context.notes),
            problems=tuple(context.problems),
            failed=failed,
            void=health.void,
        )

    async def _judge_work(self, context: FaultContext, *, cut: bool) -> None:
        """Whether agents, work and hooks were as they must be; hooks come some time after a call."""
        deadline_s = self.clock.monotonic() + HOOKS_LIMIT_S
        while True:
            text = context.journal.read_text(encoding="utf-8") if context.journal.exists() else ""
            problems = journal_problems(read_journal(text), context.callers.rooms, cut=cut)
            if not problems or self.clock.monotonic() >= deadline_s:
                break
            await self.clock.sleep(0.5)
        for problem in problems:
            context.problem(problem)

    async def _join_live_callers(self, scenario: Scenario, context: FaultContext) -> None:
        """The live callers join one after the other, then some time passes in conversation.

        Raises:
            FaultError: a caller got no ticket, or no voice, before anything was broken.
        """
        try:
            for _ in range(scenario.live):
                context.callers.join(await self.client.create_call(CallRequest(region=REGION), patience_s=5.0))
                await self.clock.sleep(JOIN_SPREAD_S / scenario.live * float(context.rng.uniform(0.6, 1.4)))
        except (UnreachableError, UnknownStateError) as error:
            raise FaultError(f"no ticket for a caller before the fault: {error}") from error
        if not await context.callers.wait_greeted(GREETING_LIMIT_S):
            context.note("a caller heard nothing before the fault")
        await self.clock.sleep(float(context.rng.uniform(*INJECT_AFTER_S)))

    async def _latecomers(self, scenario: Scenario, context: FaultContext) -> None:
        """Callers who join at the moment of the fault. They make their own token, as a front end's users may: this
        needs neither the controller nor its Redis."""
        server = context.livekit
        keys = LiveKitKeys(server.api_key, server.api_secret)
        await context.injected.wait()
        for _ in range(scenario.waiting):
            ticket = own_ticket(server.url, keys, agent_name="voicefleet", region=REGION, tier=None)
            context.callers.join(ticket)
            await self.clock.sleep(float(context.rng.uniform(0.0, 0.5)))


@contextlib.asynccontextmanager
async def running_harness(
    profile: FleetProfile, clock: Clock, say: Say, *, call_events: Mapping[str, Any], keep_logs: Path | None = None
) -> AsyncIterator[FleetHarness]:
    """A fleet of that profile for the block, once all its workers are ready.

    Args:
        call_events: the receivers of call events, as the controller's file has them.
        keep_logs: a folder that gets the fleet's logs when the block ends.

    Raises:
        UsageError: a part did not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voicefleet-chaos-")))
        if keep_logs is not None:
            stack.callback(_save_logs, folder / "logs", keep_logs)
        fixtures = Fixtures(
            directory=folder,
            relay=await stack.enter_async_context(relay()) if profile.relay else None,
            providers=folder / "faults.json" if profile.providers else None,
            senses=folder / "senses.json" if profile.senses else None,
            clocks=folder / "clocks" if profile.clocks else None,
            journal=folder / "journal.jsonl" if profile.working else None,
            packet_filter=await stack.enter_async_context(open_filter()) if profile.packets else None,
        )
        shape = PoolShape(profile.slots, profile.workers, profile.most, profile.buffer, profile.scale_down_delay_s)
        say(f"starting a fleet: {profile.workers} workers of {profile.slots} slots")
        fleet = await stack.enter_async_context(
            running_fleet(
                (REGION,),
                shape,
                folder,
                workers=_worker_options(profile, fixtures),
                webhooks=fixtures.relay.in_front_of if fixtures.relay else None,
                overrides={"waiting_message": {}} if profile.waiting_message else None,
                call_events=call_events,
            )
        )
        client = await stack.enter_async_context(ControllerClient(fleet.api_url))
        made = FleetHarness(profile, fleet, client, fixtures, clock, say)
        if not await made.wait_restored(START_LIMIT_S):
            raise UnreachableError(
                f"not every worker was ready within {START_LIMIT_S:.0f} s; the last lines of their logs:\n"
                f"{fleet.log_tails()}",
                field="workers",
                hint="Mend what they say.",
            )
        yield made


def _worker_options(profile: FleetProfile, fixtures: Fixtures) -> WorkerOptions:
    tiers, command = "synthetic", [sys.executable, "-I", "-S", launcher.__file__]
    if fixtures.providers is not None:
        write_faults(fixtures.providers, {})
        tiers = str(fixtures.directory / "tiers.yaml")
        Path(tiers).write_text(yaml.safe_dump(breakable_tiers(fixtures.providers)))
    if fixtures.senses is not None:
        env = {breakable_agent.FILE_VARIABLE: str(fixtures.senses)}
        return WorkerOptions(tiers, agent=breakable_agent.TARGET, env=env)
    if fixtures.clocks is not None:
        fixtures.clocks.mkdir()
        return WorkerOptions(tiers, launcher=[*command, "clock", str(find_faketime().path), str(fixtures.clocks), "--"])
    if profile.packets:
        return WorkerOptions(tiers, launcher=[*command, "groups", "--"])
    if fixtures.journal is not None:
        return WorkerOptions(tiers, agent=WORKING_AGENT, env={JOURNAL_VARIABLE: str(fixtures.journal)})
    return WorkerOptions(tiers)


def breakable_tiers(faults_file: Path) -> dict[str, Any]:
    """The built-in synthetic tiers, with providers that fail as `faults_file` says."""
    text = (resources.files("voicefleet.worker.tiers") / "synthetic.yaml").read_text(encoding="utf-8")
    made: dict[str, Any] = yaml.safe_load(text)
    for tier in made["tiers"].values():
        for part in ("stt", "llm", "tts"):
            tier[part]["args"]["faults_file"] = str(faults_file)
    return made


def _save_logs(logs: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.copytree(logs, target / logs.parent.name, dirs_exist_ok=True)
