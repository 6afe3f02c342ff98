"""What one simulated caller costs: CPU time of a process that holds several calls, by the wall clock.

``python -m bench.callers TURNS`` is that process: it reads the tickets (secrets) as JSON lines on standard input and
prints one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.health import LAG_LIMIT_S, Health
from bench.row import Row, say
from bench.stand import Arm, Stand, workers
from bench.statistics import median, median_estimate, quantile

from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.supervisor.lifeline import lifeline
from voicefleet.speech.clips import load_utterances

CALLERS = 4
_LIMIT_S = 180.0


async def callers_per_core(on: Stand, repeats: int, turns: int, command: str) -> Row:
    """Several runs of one process with `CALLERS` calls each; judged by nothing, told as a figure."""
    health = Health()
    shares: list[float] = []
    lags_s: list[float] = []
    async with workers(on, [Arm.VOICEFLEET]):
        for number in range(repeats):
            async with health.watch():
                found = await _run_child(on, f"cpu-{number}", turns)
            shares.append(found["cpu_s"] / found["wall_s"] / CALLERS)
            lags_s.append(found["lag_p99_s"])
            if found["unanswered"]:
                health.complaints.append(f"{found['unanswered']} turns went unanswered")
            say(f"callers_per_core {number + 1}/{repeats}: {shares[-1]:.2%} of a core per caller")
            await asyncio.sleep(1.0)
    if max(lags_s) > LAG_LIMIT_S:
        health.complaints.append(f"the callers' event loop was late: p99 {max(lags_s) * 1000:.0f} ms")
    share = median_estimate([[s] for s in shares])
    void = health.void()
    known = repeats > 1
    return Row(
        name="callers_per_core",
        n=repeats,
        values={
            "share_of_core_per_caller": round(share.value, 4),
            "callers_per_core": round(1 / share.value, 1),
            "callers_per_core_interval": [round(1 / share.hi, 1), round(1 / share.lo, 1)] if known else None,
            "callers": CALLERS,
            "lag_p99_ms": round(max(lags_s) * 1000, 1),
        },
        verdict="void" if void else "met",
        why="; ".join(void) or "a figure without a bound: joined, sending, receiving and decoding, asking in turn",
        health=health.to_json(),
        command=command,
    )


async def _run_child(on: Stand, label: str, turns: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.callers",
        str(turns),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        # Marks it as ours: it ends with us, and its CPU time is not taken for a stranger's.
        env={**os.environ, **lifeline().environment()},
    )
    tickets = "\n".join(on.ticket(Arm.VOICEFLEET, f"{label}-{i}").model_dump_json() for i in range(CALLERS))
    try:
        out, _ = await asyncio.wait_for(process.communicate(tickets.encode()), _LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the process of the callers exited with {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found


async def hold(tickets: list[CallTicket], turns: int) -> dict[str, Any]:
    """Hold the calls; CPU and wall time from the last greeting heard to the first hang-up."""
    health = Health()
    greeted: set[str] = set()
    marks: list[tuple[float, float]] = []

    def on_event(call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "greeting":
            greeted.add(call)
        steady = len(greeted) == len(tickets)
        if (steady and not marks) or (len(marks) == 1 and kind == "hangup"):
            marks.append((time.monotonic(), time.process_time()))

    async def place(number: int) -> CallTicket:
        return tickets[number]

    swarm = run_swarm([0.0] * len(tickets), place, load_utterances(), SwarmSettings(turns=turns), on_event=on_event)
    async with health.watch(), contextlib.aclosing(swarm):
        outcomes = [outcome async for outcome in swarm]
    if len(marks) < 2:
        raise RuntimeError(f"not all calls were answered: {[o.error for o in outcomes]}")
    (from_s, cpu_from_s), (to_s, cpu_to_s) = marks[:2]
    return {
        "cpu_s": cpu_to_s - cpu_from_s,
        "wall_s": to_s - from_s,
        "lag_p99_s": quantile(health.lags_s, 0.99),
        "lag_p50_s": median(health.lags_s),
        "unanswered": sum(not turn.answered for outcome in outcomes for turn in outcome.turns),
    }


def main() -> None:
    """The child process."""
    tickets = [CallTicket.model_validate_json(line) for line in sys.stdin if line.strip()]
    print(json.dumps(asyncio.run(hold(tickets, int(sys.argv[1])))))


if __name__ == "__main__":
    main()
