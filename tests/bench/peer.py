"""What a caller of `lk perf agent-load-test` costs, where LiveKit's own tool is installed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time

from bench.cpu import cpu_seconds
from bench.health import Health
from bench.row import Row
from bench.stand import IDLE, Arm, Stand, workers

from voicefleet.runtime.supervisor.lifeline import lifeline

AS_FOUND = 128
"""Callers a core of it, as it was found on such a machine; it decodes and measures nothing."""
_START_S = 12.0
"""Its rooms come one after the other, each when the agent of the one before has joined."""
_END_S = 20.0


def installed() -> str | None:
    """Where the tool is; None: nowhere."""
    return shutil.which("lk")


async def lk_row(on: Stand, program: str, window_s: float, command: str) -> Row:
    """As many rooms as our worker has slots; judged by nothing, told as a figure."""
    health = Health()
    async with workers(on, [Arm.VOICEFLEET]), health.watch():
        used_s, took_s = await _used(on, program, window_s)
    void = health.void()
    per_core = IDLE * took_s / used_s if used_s else None
    return Row(
        name="density_lk_perf",
        n=IDLE,
        values={
            "callers": IDLE,
            "callers_per_core": None if per_core is None else round(per_core, 1),
            "share_of_core_per_caller": round(used_s / took_s / IDLE, 5),
        },
        verdict="void" if void else "met",
        why="; ".join(void) or "lk perf agent-load-test: a figure without a bound; it decodes and measures nothing",
        health=health.to_json(),
        command=command,
    )


async def _used(on: Stand, program: str, window_s: float) -> tuple[float, float]:
    """Processor time and seconds of the window in which all its callers are in their rooms."""
    process = await asyncio.create_subprocess_exec(
        program,
        *("perf", "agent-load-test", "--rooms", str(IDLE), "--agent-name", Arm.VOICEFLEET.value),
        *("--echo-speech-delay", "1s", "--duration", f"{round(_START_S + window_s + _END_S)}s"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            **lifeline().environment(),
            "LIVEKIT_URL": on.livekit.url,
            "LIVEKIT_API_KEY": on.livekit.api_key,
            "LIVEKIT_API_SECRET": on.livekit.api_secret,
        },
    )
    saying = asyncio.create_task(process.communicate())
    try:
        await asyncio.wait({saying}, timeout=_START_S)
        before_s, began_s = cpu_seconds(process.pid), time.monotonic()
        await asyncio.wait({saying}, timeout=window_s)
        used_s, took_s = cpu_seconds(process.pid) - before_s, time.monotonic() - began_s
        if saying.done():
            raise RuntimeError(f"lk ended early: {saying.result()[0].decode(errors='replace')[-300:]}")
        process.send_signal(signal.SIGINT)
        await asyncio.wait({saying}, timeout=_END_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await saying
    return used_s, took_s
