"""How many callers the Go engine holds on a core; `ears.py`: whether it hears what there is.

Every call is a real one: `run_swarm` holds the callers as a load test does, and a second process of the same program
plays the agents, which answer each question after a known delay. Each TTFA is held against the moment at which the
packet with the answer's first voiced sample was due.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from bench.health import Health
from bench.peer import AS_FOUND, installed, lk_row
from bench.row import Row, say
from bench.stand import Stand

from support.played_agents import PlayedAgents, joined
from voicefleet.callers.caller import CallerSettings
from voicefleet.callers.dense.engine import DenseEngine, PacingHealth
from voicefleet.callers.native import NativeEngine
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import CallerEngine
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallTicket
from voicefleet.speech.clips import load_utterances

MOST_MEMORY_MB = 2.0
MOST_ERROR_S = 0.020
MOST_PACING_S = 0.005
_EVERY_S = 0.1
_SETTLE_S = 4.0
_TURN_S = 8.0
"""A question, the delay, the answer, and the quiet after it, at least."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One measurement. `wanted`: callers a core; None: told, not judged."""

    name: str
    callers: int
    window_s: float
    dtx: bool = True
    native: bool = False
    wanted: float | None = None


@dataclass(slots=True)
class Taken:
    """What was measured: processor time and pacing in the window, errors of every turn."""

    engine_cpu_s: float = 0.0
    python_cpu_s: float = 0.0
    window_s: float = 0.0
    memory_mb: float | None = None
    pacing_p99_s: float | None = None
    run_pacing_p99_s: float | None = None
    errors_s: list[float] = field(default_factory=list)
    turns: int = 0
    wrong: list[str] = field(default_factory=list)


async def density(on: Stand, quick: bool, command: str) -> list[Row]:
    """100 callers without and with DTX, 200 at once; beside them the Python caller and, where there is one, `lk`."""
    size, window_s = (10, 8.0) if quick else (100, 30.0)
    rows = []
    for arm in (
        Arm("density", size, window_s, dtx=False, wanted=220.0),
        Arm("density_dtx", size, window_s, wanted=400.0),
        Arm("density_twice_dtx", 2 * size, window_s),
        Arm("density_python", 4 if quick else 8, window_s, native=True),
    ):
        health = Health()
        async with health.watch():
            taken = await _measure(on, arm)
        rows.append(_row(arm, taken, health, command))
        say(f"{arm.name}: {rows[-1].values}")
    if (program := installed()) is not None:
        rows.append(await lk_row(on, program, window_s, command))
    return rows


def agents_of(on: Stand, calls: int, *, dtx: bool) -> PlayedAgents:
    """Agents that answer after known delays, in rooms of their own."""
    clips = load_utterances()
    rooms = [f"density-{uuid4().hex[:8]}" for _ in range(calls)]
    return PlayedAgents(on.livekit, rooms, says=joined(clips[14], clips[16]), dtx=dtx)


async def _measure(on: Stand, arm: Arm) -> Taken:
    taken = Taken()
    ramp_s = arm.callers * _EVERY_S
    turns = min(12, round((ramp_s + _SETTLE_S + arm.window_s) / _TURN_S) + 1)
    async with contextlib.AsyncExitStack() as stack:
        agents = await stack.enter_async_context(agents_of(on, arm.callers, dtx=arm.dtx))
        engine: CallerEngine = NativeEngine()
        if not arm.native:
            engine = await stack.enter_async_context(DenseEngine(dtx=arm.dtx))
        running = asyncio.create_task(hold(agents, engine, turns, arm.callers))
        await asyncio.sleep(ramp_s + _SETTLE_S)
        before, python_s, began_s = await _used(engine), time.process_time(), time.monotonic()
        await asyncio.sleep(arm.window_s)
        after = await _used(engine)
        taken.window_s, taken.python_cpu_s = time.monotonic() - began_s, time.process_time() - python_s
        if before is not None and after is not None:
            taken.engine_cpu_s, taken.memory_mb = after.cpu_s - before.cpu_s, after.memory_mb
            taken.pacing_p99_s, taken.run_pacing_p99_s = _late_p99_s(before, after), after.late_p99_s
        outcomes = await running
    for outcome in outcomes:
        if outcome.error:
            taken.wrong.append(outcome.error)
        unanswered = sum(not turn.answered for turn in outcome.turns)
        if unanswered:
            taken.wrong.append(f"{unanswered} turns of {outcome.call_id} went unanswered")
        taken.turns += len(outcome.turns)
        taken.errors_s += agents.errors_s(outcome)
    return taken


async def hold(agents: PlayedAgents, engine: CallerEngine, turns: int, calls: int) -> list[CallOutcome]:
    """Callers who ask these agents, to the end of their calls."""

    async def place(number: int) -> CallTicket:
        return agents.tickets[number]

    clips = load_utterances()
    settings = SwarmSettings(turns=turns, caller=CallerSettings(engine=engine))
    offsets_s = [i * _EVERY_S for i in range(calls)]
    swarm = run_swarm(offsets_s, place, clips, settings, on_event=agents.on_event(settings, clips))
    async with contextlib.aclosing(swarm):
        return [outcome async for outcome in swarm]


async def _used(engine: CallerEngine) -> PacingHealth | None:
    return await engine.health() if isinstance(engine, DenseEngine) else None


def _row(arm: Arm, taken: Taken, health: Health, command: str) -> Row:
    used_s = taken.python_cpu_s if arm.native else taken.engine_cpu_s
    per_core = arm.callers * taken.window_s / used_s
    pacing_s, run_pacing_s = taken.pacing_p99_s, taken.run_pacing_p99_s
    memory_mb = taken.memory_mb / arm.callers if taken.memory_mb is not None else None
    void = [*health.void(), *taken.wrong[:3]]
    if arm.native or pacing_s is None:
        met = True
    else:
        small = memory_mb is not None and memory_mb <= MOST_MEMORY_MB
        met = small and pacing_s <= MOST_PACING_S and p99(taken.errors_s) <= MOST_ERROR_S
    values: dict[str, Any] = {
        "callers": arm.callers,
        "callers_per_core": round(per_core, 1),
        "wanted_callers_per_core": arm.wanted,
        "share_of_core_per_caller": round(1 / per_core, 5),
        "orchestrator_share_of_core_per_caller": round(taken.python_cpu_s / taken.window_s / arm.callers, 5),
        "memory_mb_per_caller": None if memory_mb is None else round(memory_mb, 2),
        "pacing_p99_ms": None if pacing_s is None else round(pacing_s * 1000, 1),
        "pacing_with_the_joins_p99_ms": None if run_pacing_s is None else round(run_pacing_s * 1000, 1),
        "turns": taken.turns,
        "ttfa_error_ms": spread(taken.errors_s),
    }
    if arm.wanted is not None:
        values["lk_perf_callers_per_core_as_found"] = AS_FOUND
        met = met and per_core >= arm.wanted
    return Row(
        name=arm.name,
        n=taken.turns,
        values=values,
        verdict="void" if void else "met" if met else "missed",
        why="; ".join(void)
        or "everything received is decoded; the engine's processor time, without the orchestrator's",
        health=health.to_json(),
        command=command,
    )


def _late_p99_s(before: PacingHealth, after: PacingHealth) -> float | None:
    """Of the frames between the two; the engine tells of all since its start. The upper end of a bin of 0.1 ms."""
    earlier = dict(before.late)
    counts = [(bin_, count - earlier.get(bin_, 0)) for bin_, count in after.late]
    total, seen = sum(count for _, count in counts), 0
    for bin_, count in counts:
        seen += count
        if total and seen >= 0.99 * total:
            return (bin_ + 1) * 0.0001
    return None


def spread(errors_s: Sequence[float]) -> dict[str, float] | None:
    """Quantiles in milliseconds."""
    if not errors_s:
        return None
    low, middle, high, top = np.quantile(np.array(errors_s) * 1000, (0.01, 0.5, 0.99, 1.0))
    return {name: round(float(v), 1) for name, v in (("p1", low), ("p50", middle), ("p99", high), ("max", top))}


def p99(errors_s: Sequence[float]) -> float:
    """Of the errors without their signs."""
    return float(np.quantile(np.abs(np.array(errors_s)), 0.99)) if errors_s else float("inf")
