"""One fleet, and the runs on it: callers in, the fault, callers out, and a look whether the fleet is whole again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from voicefleet.callers.health import HealthMeter
from voicefleet.callers.settings import CallingSettings
from voicefleet.callers.tickets import own_ticket
from voicefleet.chaos import launcher
from voicefleet.chaos.caller_pool import PATIENCE_S, Crowd
from voicefleet.chaos.fault_context import REGION, FaultError, Props, Scene
from voicefleet.chaos.faults.providers import write_faults
from voicefleet.chaos.measure import Run
from voicefleet.chaos.packets import open_filter
from voicefleet.chaos.relay import relay
from voicefleet.chaos.scenarios import Gear, Row
from voicefleet.contract.api import CallRequest
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.find import find_faketime
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerGear, running_fleet
from voicefleet.stack.interrupt import Say

START_LIMIT_S = 60.0
WHOLE_LIMIT_S = 40.0
JOIN_SPREAD_S = 2.5
GREETING_LIMIT_S = 15.0
STRIKE_AFTER_S = (1.0, 5.0)
"""The fault strikes at a random moment this long after every caller was greeted."""
FAULT_LIMIT_S = 150.0
ANSWERS_LIMIT_S = 20.0
END_LIMIT_S = 30.0
"""Callers are told to end; one in silence hangs up when its patience is over, and then its call must be over."""
HELD_PATIENCE_S = 90.0
"""Of callers to whom a voice says that they must wait: they stay longer than the minute in which all slots are full."""


@dataclass(slots=True)
class Stage:
    """A fleet of one gear, up and running."""

    gear: Gear
    fleet: Fleet
    client: ControllerClient
    props: Props
    clock: Clock
    say: Say

    async def whole(self, limit_s: float = WHOLE_LIMIT_S) -> bool:
        """Wait until as many workers as there must be are ready and no call is left; False if that takes too long."""
        deadline_s = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < deadline_s:
            with contextlib.suppress(UnknownStateError):
                if await self._is_whole():
                    return True
            await self.clock.sleep(0.2)
        return False

    async def _is_whole(self) -> bool:
        view = next(region for region in await self.client.regions() if region.region == REGION)
        least = self.gear.workers
        states = [worker.state for worker in view.workers]
        return (
            (view.live, view.waiting, view.starting, view.draining) == (0, 0, 0, 0)
            and states.count("ready") == len(states) == least
            and all(worker.live == 0 and worker.pid for worker in view.workers)
        )

    async def run(self, row: Row, seed: int) -> Run:
        """One seed of a row. What the fault changed is undone when this returns, however it ends."""
        rng = np.random.default_rng([seed, *row.id.encode()])
        crowd = Crowd(self.clock, seed, HELD_PATIENCE_S if row.gear.hold_message else PATIENCE_S)
        failed, settled = "", False
        async with HealthMeter(self.clock) as meter, contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(crowd.aclose)
            scene = Scene(self.fleet, self.client, crowd, self.props, rng, self.clock, undo)
            try:
                await self._callers_in(row, scene)
                latecomers = asyncio.create_task(self._latecomers(row, scene))
                undo.callback(latecomers.cancel)
                async with asyncio.timeout(FAULT_LIMIT_S):
                    await row.fault(scene)
            except FaultError as error:
                failed = str(error)
            except TimeoutError:
                failed = f"the fault was not over after {FAULT_LIMIT_S:.0f} s"
            over_s = self.clock.monotonic()
            if failed:
                crowd.finish()
            else:
                await crowd.satisfied(row.answers, over_s, ANSWERS_LIMIT_S)
            settled = await crowd.over(END_LIMIT_S)
        health = meter.health()
        if not settled:
            scene.note("a call never came to its end")
        return Run(
            seed=seed,
            struck_s=scene.struck_s,
            outcomes=crowd.outcomes(),
            placed=crowd.size,
            hit=scene.hit,
            empty_s=tuple(scene.empty_s),
            notes=tuple(scene.notes),
            failed=failed,
            void=health.void,
        )

    async def _callers_in(self, row: Row, scene: Scene) -> None:
        """The live callers join one after the other, then some time passes in conversation.

        Raises:
            FaultError: a caller got no ticket, or no voice, before anything was broken.
        """
        try:
            for _ in range(row.live):
                scene.crowd.join(await self.client.create_call(CallRequest(region=REGION), patience_s=5.0))
                await self.clock.sleep(JOIN_SPREAD_S / row.live * float(scene.rng.uniform(0.6, 1.4)))
        except (UnreachableError, UnknownStateError) as error:
            raise FaultError(f"no ticket for a caller before the fault: {error}") from error
        if not await scene.crowd.greeted(GREETING_LIMIT_S):
            scene.note("a caller heard nothing before the fault")
        await self.clock.sleep(float(scene.rng.uniform(*STRIKE_AFTER_S)))

    async def _latecomers(self, row: Row, scene: Scene) -> None:
        """Who comes in the very moment of the fault. They bring a token of their own, as a front end's users may:
        neither the controller nor its Redis has to be there for it."""
        server = scene.livekit
        keys = CallingSettings(livekit_api_key=server.api_key, livekit_api_secret=server.api_secret)
        await scene.struck.wait()
        for _ in range(row.waiting):
            ticket = own_ticket(server.url, keys, agent_name="voicefleet", region=REGION, tier=None)
            scene.crowd.join(ticket)
            await self.clock.sleep(float(scene.rng.uniform(0.0, 0.5)))


@contextlib.asynccontextmanager
async def stage(gear: Gear, clock: Clock, say: Say, keep_logs: Path | None = None) -> AsyncIterator[Stage]:
    """A fleet of that gear for the block, once it is whole.

    Args:
        keep_logs: a folder that gets the fleet's logs when the block ends.

    Raises:
        UsageError: a part did not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voicefleet-chaos-")))
        if keep_logs is not None:
            stack.callback(_save_logs, folder / "logs", keep_logs)
        props = Props(
            directory=folder,
            relay=await stack.enter_async_context(relay()) if gear.relay else None,
            providers=folder / "faults.json" if gear.providers else None,
            clocks=folder / "clocks" if gear.clocks else None,
            packet_filter=await stack.enter_async_context(open_filter()) if gear.packets else None,
        )
        shape = PoolShape(gear.slots, gear.workers, gear.most, gear.buffer, gear.scale_down_delay_s)
        say(f"starting a fleet: {gear.workers} workers of {gear.slots} slots")
        fleet = await stack.enter_async_context(
            running_fleet(
                (REGION,),
                shape,
                folder,
                gear=_worker_gear(gear, props),
                webhooks=props.relay.in_front_of if props.relay else None,
                overrides={"hold_message": {}} if gear.hold_message else None,
            )
        )
        client = await stack.enter_async_context(ControllerClient(fleet.api_url))
        made = Stage(gear, fleet, client, props, clock, say)
        if not await made.whole(START_LIMIT_S):
            raise UnreachableError(
                f"not every worker was ready within {START_LIMIT_S:.0f} s; the last lines of their logs:\n"
                f"{fleet.log_tails()}",
                field="workers",
                hint="Mend what they say.",
            )
        yield made


def _worker_gear(gear: Gear, props: Props) -> WorkerGear:
    tiers, command = "synthetic", [sys.executable, "-I", "-S", launcher.__file__]
    if props.providers is not None:
        write_faults(props.providers, {})
        tiers = str(props.directory / "tiers.yaml")
        Path(tiers).write_text(yaml.safe_dump(breakable_tiers(props.providers)))
    if props.clocks is not None:
        props.clocks.mkdir()
        return WorkerGear(tiers, launcher=[*command, "clock", str(find_faketime().path), str(props.clocks), "--"])
    if gear.packets:
        return WorkerGear(tiers, launcher=[*command, "groups", "--"])
    return WorkerGear(tiers)


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
