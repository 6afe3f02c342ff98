"""An emulated network with two regions on one side and callers on the other, and what runs on both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicefleet.netlab.conditions import Conditions
from voicefleet.netlab.lab import FAR, NEAR, Lab, open_lab
from voicefleet.netlab.link import Link
from voicefleet.runtime.supervisor.lifeline import lifeline

_TESTS = Path(__file__).parent.parent
_LIMIT_S = 60.0


@dataclass
class Apart:
    """The fleet and the links to its regions."""

    lab: Lab
    links: dict[str, Link]
    fleet: asyncio.subprocess.Process
    url: str
    secret: str

    def away(self, **round_trip_ms: float) -> None:
        """From now on the callers are so far from each region."""
        for name, ms in round_trip_ms.items():
            self.links[name].configure(Conditions(delay_ms=ms / 2))

    async def busy(self, **calls: int) -> None:
        """The workers of a region have so many calls; only where they are reports."""
        assert self.fleet.stdin is not None
        self.fleet.stdin.write(json.dumps(calls).encode() + b"\n")
        assert await self._line() == "ok"

    async def call(self, region: str = "-", turns: int = 0) -> dict[str, Any]:
        """One caller: see `support.regions_apart`."""
        process = await _start(self.lab.inside(NEAR, _program("caller", self.url, self.secret, region, str(turns))))
        out, _ = await asyncio.wait_for(process.communicate(), _LIMIT_S)
        assert process.returncode == 0, "the caller failed, see above"
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    async def _line(self) -> str:
        assert self.fleet.stdout is not None
        return (await asyncio.wait_for(self.fleet.stdout.readline(), _LIMIT_S)).decode().strip()


@contextlib.asynccontextmanager
async def apart(directory: Path, *, workers: int = 0) -> AsyncIterator[Apart]:
    """The network and the fleet, for the block. Raises `MissingPartError` where there may be no network."""
    async with _lab() as lab:
        links = {name: await asyncio.to_thread(lab.connect, NEAR, FAR, Conditions()) for name in ("eu", "us")}
        addresses = [links[name].far_address for name in ("eu", "us")]
        fleet = await _start(lab.inside(FAR, _program("fleet", str(directory), *addresses, str(workers))))
        try:
            found = Apart(lab, links, fleet, "", "")
            told = json.loads(await found._line() or "{}")
            found.url, found.secret = told["url"], told["secret"]
            yield found
        finally:
            assert fleet.stdin is not None
            fleet.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(fleet.wait(), 20.0)
            if fleet.returncode is None:
                fleet.kill()
                await fleet.wait()


@contextlib.asynccontextmanager
async def _lab() -> AsyncIterator[Lab]:
    """Netlink's client runs a loop of its own: it needs threads that have none."""
    with contextlib.ExitStack() as stack:
        lab = await asyncio.to_thread(stack.enter_context, open_lab())
        try:
            yield lab
        finally:
            await asyncio.to_thread(stack.close)


def _program(*words: str) -> Sequence[str]:
    return [sys.executable, "-m", "support.regions_apart", *words]


async def _start(command: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_TESTS,
        env={**os.environ, **lifeline().environment()},
    )
