"""One run: a lab, the servers of the arm, the two ends, and what both ears got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np

from voicefleet.contract.errors import UsageError
from voicefleet.netlab.lab import FAR, NEAR, Lab, open_lab
from voicefleet.netlab.link import Link
from voicefleet.netlab.readings import Backend, Readings
from voicefleet.runtime.supervisor.children import Child, private_directory, running
from voicefleet.transports.cells import Cell
from voicefleet.transports.options import LabOptions
from voicefleet.transports.order import Order, Role, write_order
from voicefleet.transports.servers import rooms
from voicefleet.transports.trial import Trial, read_trial

_SECRETS = ("*.order.json", "*.yaml", "*.conf", "*.key")
"""Files that hold a password or a token: they are not kept."""
_GRACE_S = 2.0
_START_LIMIT_S = 60.0
_READ_EVERY_S = 0.1
"""Bytes between two readings are taken as even, also where speech begins and ends: short, or they come out too few."""


async def run_one(cell: Cell, seed: int, options: LabOptions, backend: Backend) -> Trial:
    """Make all of it, wait, take it away.

    Raises:
        MissingPartError: a part is not on this machine.
        UsageError, UnreachableError: a server or an end failed; the message says how.
    """
    with private_directory("transports") as directory:
        try:
            async with _lab(backend) as lab:
                return await _talk(cell, seed, options, lab, directory)
        finally:
            if options.logs is not None:
                kept = options.logs / f"{cell.describe().replace(', ', '_').replace(' ', '-').replace('/', '-')}_{seed}"
                shutil.copytree(directory, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_SECRETS))


@contextlib.asynccontextmanager
async def _lab(backend: Backend) -> AsyncIterator[Lab]:
    """A lab whose slow steps are taken in a thread."""
    opened = open_lab(backend)
    lab = await asyncio.to_thread(opened.__enter__)
    try:
        yield lab
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


async def _talk(cell: Cell, seed: int, options: LabOptions, lab: Lab, directory: Path) -> Trial:
    link = await asyncio.to_thread(lab.connect, NEAR, FAR, cell.conditions, seed=seed)
    for host in (NEAR, FAR):
        # Else a connection begins with what the one before it learned of the path.
        await asyncio.to_thread(lab.set_kernel, host, {"net/ipv4/tcp_no_metrics_save": "1"})
    await asyncio.to_thread(link.set_congestion, cell.arm.congestion)
    async with contextlib.AsyncExitStack() as stack:
        tickets: dict[Role, dict[str, Any]] = {"caller": {}, "agent": {}}
        if cell.arm.webrtc:
            servers = await stack.enter_async_context(rooms(lab, link, cell.arm, directory))
            relayed = cell.arm.path.startswith("turn")
            tickets = {
                "caller": servers.ticket("lab", "caller", relayed=relayed),
                "agent": servers.ticket("lab", "agent", relayed=False),
            }
        series: list[tuple[float, Readings]] = []
        reading = asyncio.create_task(_read(link, series))
        try:
            agent = await _start("agent", cell, seed, options, lab, link, directory, tickets, stack)
            await _until_ready(agent)
            caller = await _start("caller", cell, seed, options, lab, link, directory, tickets, stack)
            limit_s = _START_LIMIT_S + options.seconds + 4 * _GRACE_S
            for child in (caller, agent):
                try:
                    await asyncio.wait_for(child.wait(), limit_s)
                except TimeoutError as error:
                    raise UsageError(
                        f"the {child.name} does not end", field=cell.arm.id, hint=child.log_tail()
                    ) from error
        finally:
            reading.cancel()
        last = await asyncio.to_thread(link.readings)
        ends = {}
        for child in (caller, agent):
            ends[child.name] = _summary(directory / f"{child.name}.json", child, cell)
        arrays = {name: dict(np.load(directory / f"{name}.npz")) for name in ends}
        return read_trial(cell, seed, options.seconds, ends, arrays, [*series, (time.monotonic(), last)])


async def _start(
    role: Role,
    cell: Cell,
    seed: int,
    options: LabOptions,
    lab: Lab,
    link: Link,
    directory: Path,
    tickets: dict[Role, dict[str, Any]],
    stack: contextlib.AsyncExitStack,
) -> Child:
    order = Order(
        cell.arm.id,
        role,
        link.far_address,
        options.seconds,
        _GRACE_S,
        seed,
        str(directory / role),
        tickets[role],
    )
    command = [sys.executable, "-m", "voicefleet.transports.endpoint", str(write_order(order))]
    host = NEAR if role == "caller" else FAR
    child = Child(role, lab.inside(host, command), log_path=directory / f"{role}.log")
    return await stack.enter_async_context(running(child))


async def _until_ready(agent: Child) -> None:
    deadline_s = time.monotonic() + _START_LIMIT_S
    while "ready" not in agent.log_tail(200):
        if not agent.alive or time.monotonic() > deadline_s:
            raise UsageError(
                f"the agent's end did not start; its last lines:\n{agent.log_tail()}",
                field="agent",
                hint="Mend what they say.",
            )
        await asyncio.sleep(0.05)


def _summary(path: Path, child: Child, cell: Cell) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the {child.name}'s end failed; its last lines:\n{child.log_tail()}",
            field=cell.arm.id,
            hint="Mend what they say.",
        ) from error
    if summary.get("failed"):
        raise UsageError(
            f"the {child.name}'s end failed: {summary['failed']}",
            field=cell.arm.id,
            hint="Read its log, with --logs.",
        )
    return summary


async def _read(link: Link, series: list[tuple[float, Readings]]) -> None:
    """The emulator's truth over time."""
    while True:
        series.append((time.monotonic(), await asyncio.to_thread(link.readings)))
        await asyncio.sleep(_READ_EVERY_S)
