"""From the start of a worker's process to its registration with LiveKit, seen from outside."""

from __future__ import annotations

import asyncio
import time

from bench.health import Health
from bench.row import Row, judged, say
from bench.stand import Arm, Stand, registered
from bench.statistics import Block, median, ratio_of_medians

BOUND = 1.05
_REST_S = 0.5


async def startup(name: str, on: Stand, pairs: int, command: str, ours: Arm = Arm.VOICEFLEET) -> Row:
    """Start the arms in turn, in one order and then in its reverse, `pairs` times each."""
    health = Health()
    arms = (ours, Arm.BARE, Arm.BARE_LEAN)
    for arm in arms:  # the disk cache is warm for all, or for none
        await _start_once(on, arm, "warm", Health())
    took_s: dict[Arm, list[float]] = {arm: [] for arm in arms}
    for number in range(pairs):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            took_s[arm].append(await _start_once(on, arm, str(number), health))
        say(f"startup {number + 1}/{pairs}: " + ", ".join(f"{a.value} {took_s[a][-1]:.2f} s" for a in arms))

    def blocks(other: Arm) -> list[Block]:
        return [Block([a], [b]) for a, b in zip(took_s[ours], took_s[other], strict=True)]

    lean = ratio_of_medians(blocks(Arm.BARE_LEAN))
    values = {
        **{f"{a.value.removeprefix('bench-').replace('-', '_')}_p50_s": round(median(took_s[a]), 3) for a in arms},
        "ratio_to_bare_lean": round(lean.value, 4),
        "interval_to_bare_lean": [round(lean.lo, 4), round(lean.hi, 4)],
    }
    note = (
        "bare preloads livekit-agents' turn detector by default, voicefleet does not; bare_lean is bare with that "
        "turned off (it then loads its VAD in each job process)"
    )
    ratio = ratio_of_medians(blocks(Arm.BARE))
    return judged(name, pairs * 2, values, ratio, BOUND, health, command, note)


async def _start_once(on: Stand, arm: Arm, label: str, health: Health) -> float:
    async with health.watch():
        began_s = time.monotonic()
        child = on.start(arm, f"start-{arm.value}-{label}")
        try:
            took_s = await registered(child) - began_s
        except BaseException:
            await child.stop()
            raise
    await child.stop()
    await asyncio.sleep(_REST_S)
    return took_s
