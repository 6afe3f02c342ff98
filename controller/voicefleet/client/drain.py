"""`voicefleet drain`: have one worker hand its calls over and end, and see it through."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from voicefleet.contract.api import WorkerStatus
from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.reporting.result import write_json
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """What to drain, and whether to see it through.

    Attributes:
        controller: ``http://HOST:PORT``; None: the environment's.
        timeout_s: longest wait until the worker has no call left.
    """

    worker: str
    controller: str | None = None
    wait: bool = True
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.timeout_s < 0:
            raise ConfigError("below zero", field="--timeout", value=self.timeout_s, hint="Give seconds.")


@dataclass(frozen=True, slots=True)
class Drained:
    """How it went. `live` is None when it is not known."""

    worker: str
    region: str
    live_before: int
    live: int | None
    empty: bool
    """It has no call any more, or is gone."""
    took_s: float


def drain(options: DrainOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Order it, and wait if asked to.

    Returns:
        0 when the worker is empty, or with --no-wait; 1 when calls were left at the time-out.

    Raises:
        UsageError: no such worker, or the controller refuses.
        UnknownStateError: the controller does not answer.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    result = asyncio.run(_drain(options, console, SystemClock()))
    write_json(json_path, asdict(result))
    if result.empty:
        console.print(f"{result.worker} is empty after {result.took_s:.1f} s", markup=False)
        return 0
    if not options.wait:
        console.print(f"{result.worker} drains, {result.live} calls are to move", markup=False)
        return 0
    left = "an unknown number of" if result.live is None else result.live
    console.print(f"{result.worker} is not empty after {result.took_s:.0f} s: {left} calls are left", markup=False)
    return 1


async def _drain(options: DrainOptions, console: Console, clock: Clock) -> Drained:
    access = controller_access(options.controller)
    async with ControllerClient(access.url, key=access.key) as client:
        began_s = clock.monotonic()
        ordered = await client.drain_worker(options.worker)
        live: int | None = ordered.live
        empty, said = False, None
        while options.wait and not empty and clock.monotonic() - began_s < options.timeout_s:
            try:
                view = await client.worker(options.worker)
            except UnknownStateError:
                live = None  # the controller may be starting anew: ask on
            else:
                live, empty = (0, True) if view is None else (view.live, view.leaving and view.live == 0)
                if (line := _line(view)) != said:
                    console.print(f"{clock.monotonic() - began_s:6.1f} s  {line}", markup=False)
                    said = line
            if not empty:
                await clock.sleep(LOOK_EVERY_S)
        took_s = round(clock.monotonic() - began_s, 3)
        return Drained(options.worker, ordered.region, ordered.live, live, empty, took_s)


def _line(view: WorkerStatus | None) -> str:
    return "gone" if view is None else f"{view.state}, {view.live} calls"
