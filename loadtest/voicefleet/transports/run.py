"""All runs of the lab: a few at a time, each in namespaces of its own; arms whose parts are missing are left out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from voicefleet.contract.errors import MissingPartError, UnreachableError, UsageError
from voicefleet.netlab.readings import Backend
from voicefleet.stack.find import find_livekit_server, find_turnserver
from voicefleet.stack.interrupt import Say
from voicefleet.transports.arms import Arm, Need
from voicefleet.transports.cells import Cell, cells, seeds_of
from voicefleet.transports.options import LabOptions
from voicefleet.transports.report.rows import NotRun
from voicefleet.transports.run_one import run_one
from voicefleet.transports.trial import Trial

_LIGHT_A_CORE, _HEAVY_A_CORE = 2, 1
"""Four light runs, or two heavy ones, at once on two cores: with more, those that start disturb those that speak."""


@dataclass(slots=True)
class Results:
    """What was run, and what was not."""

    trials: list[Trial] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)


def lacking(arm: Arm) -> str | None:
    """What this machine lacks for the arm, with the way out; None when all is there."""
    for need in arm.needs:
        try:
            _require(need)
        except MissingPartError as error:
            return f"{error.what}. {error.hint}"
    return None


async def run_all(options: LabOptions, backend: Backend, say: Say, results: Results) -> None:
    """Run every cell with every seed; one that is void, or whose server does not answer, as often as `options.tries`
    says. `results` fills up as runs end, so that it holds them if we are stopped."""
    missing = {arm: lacking(arm) for arm in options.arms}
    broken: dict[Cell, str] = {}
    work = []
    for cell in cells(options):
        if (reason := missing[cell.arm]) is not None:
            results.not_run.append(NotRun(cell, reason))
            continue
        work += [(cell, seed) for seed in seeds_of(cell, options)]
    # A heavy run that starts disturbs light ones that speak; long and short ones side by side.
    for heavy, a_core in ((True, _HEAVY_A_CORE), (False, _LIGHT_A_CORE)):
        room = asyncio.Semaphore(a_core * len(os.sched_getaffinity(0)))
        group = [(cell, seed) for cell, seed in work if cell.arm.heavy is heavy]
        await asyncio.gather(*(_run(cell, seed, options, backend, room, say, results, broken) for cell, seed in group))
    ran = {trial.cell for trial in results.trials}
    results.not_run += [NotRun(cell, reason) for cell, reason in broken.items() if cell not in ran]


async def _run(
    cell: Cell,
    seed: int,
    options: LabOptions,
    backend: Backend,
    room: asyncio.Semaphore,
    say: Say,
    results: Results,
    broken: dict[Cell, str],
) -> None:
    for attempt in range(1, options.tries + 1):
        async with room:
            if cell in broken:
                return
            try:
                trial = await run_one(cell, seed, options, backend)
            except UsageError as error:
                if isinstance(error, UnreachableError) and attempt < options.tries:
                    say(f"{cell.describe()}, seed {seed}: {error.field} did not answer; once more")
                    continue
                broken[cell] = str(error)
                say(f"{cell.describe()}: not run: {error}")
                return
        if not trial.void or attempt == options.tries:
            results.trials.append(trial)
            late = f"emulator {trial.error_p99_ms or 0:.1f} ms, pacer {trial.pacer_p99_ms:.1f} ms late (p99)"
            word = f"void, the machine was too busy: {late}" if trial.void else "done"
            say(f"{cell.describe()}, seed {seed}: {word}")
            return


def _require(need: Need) -> None:
    if need == "livekit-server":
        find_livekit_server()
    elif need == "turnserver":
        find_turnserver()
    elif need == "bbr":
        known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
        if "bbr" not in known.read_text().split():
            raise MissingPartError("this kernel has no BBR", field="bbr", hint="Load the module tcp_bbr.")
    elif find_spec(need) is None or (need == "httpx" and find_spec("h2") is None):
        raise MissingPartError(f"the package {need} is not installed", field=need, hint="Install voicefleet[lab].")


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of the packages that carried the speech."""
    from importlib import metadata

    out = {}
    for name in names:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out
