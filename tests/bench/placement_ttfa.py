"""TTFA of callers who are near one region and far from the other, with and without placement.

Two real livekit-servers with a real worker each (the synthetic tier), a real controller, and callers behind an emulated
network (`support.apart`): 20 ms from the region near them and 180 ms from the other.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.health import Health
from bench.row import Row, say
from bench.stand import Stand
from bench.statistics import median

from support.apart import Apart, apart

NEAR_MS, FAR_MS = 20.0, 180.0
REGIONS = ("eu", "us")


async def placement_ttfa(on: Stand, calls: int, turns: int, command: str) -> Row:
    """So many calls of so many turns for each place of the caller and each way to get a region."""
    health = Health()
    ttfa_ms: dict[str, dict[str, list[float]]] = {}
    landed = dict.fromkeys(REGIONS, 0)
    with tempfile.TemporaryDirectory(prefix="voicefleet-apart-") as folder:
        async with apart(Path(folder), workers=1) as world, health.watch():
            for here, there in (REGIONS, REGIONS[::-1]):
                world.away(**{here: NEAR_MS, there: FAR_MS})
                row = ttfa_ms[f"caller near {here}"] = {}
                for region in (here, there, "-"):
                    told = await _calls(world, region, calls, turns, health)
                    row["placed" if region == "-" else f"served in {region}"] = [ms for _, ms in told]
                    if region == "-":
                        landed[here] += sum(where == here for where, _ in told)
                say(f"placement_ttfa: {here}: { {way: round(median(ms)) for way, ms in row.items() if ms} }")
    placed = [ms for row in ttfa_ms.values() for ms in row["placed"]]
    # Without placement a fleet of two equal regions gives each of them half of the callers.
    spread = [ms for row in ttfa_ms.values() for way, found in row.items() if way != "placed" for ms in found]
    if not placed or not spread:
        health.complaints.append("no turn was answered")
    ratio = median(placed) / median(spread) if placed and spread else float("inf")
    nearest = sum(landed.values()) == len(placed)
    void = health.void()
    return Row(
        name="placement_ttfa",
        n=len(placed),
        values={
            "round_trip_ms": {"near": NEAR_MS, "far": FAR_MS},
            "ttfa_p50_ms": {
                who: {way: round(median(ms), 1) for way, ms in row.items() if ms} for who, row in ttfa_ms.items()
            },
            "placed_p50_ms": round(median(placed), 1) if placed else None,
            "without_placement_p50_ms": round(median(spread), 1) if spread else None,
            "turns_in_the_nearest_region": sum(landed.values()),
        },
        ratio=round(ratio, 4),
        bound=1.0,
        verdict="void" if void else "met" if nearest and ratio < 1.0 else "missed",
        why="; ".join(void) or "bound: every placed call lands in the nearest region, and its TTFA is less",
        health=health.to_json(),
        command=command,
    )


async def _calls(world: Apart, region: str, calls: int, turns: int, health: Health) -> list[tuple[str, float]]:
    """Of each answered turn: where it was served, and its TTFA in milliseconds."""
    found: list[tuple[str, float]] = []
    for _ in range(calls):
        call: dict[str, Any] = await world.call(region, turns)
        if call["error"] or not call["answered"]:
            health.complaints.append(f"a call to {region} failed: {call['error'] or 'no answer'}")
        found += [(call["ticket"]["region"], 1000 * ttfa_s) for ttfa_s in call["ttfa_s"] if ttfa_s is not None]
    return found
