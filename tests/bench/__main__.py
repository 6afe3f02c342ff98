"""``python -m bench``: measure, and print one JSON document. Exit status 0 when every row is met, else 1."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bench.answers import Size, default_baseline, platform_overhead
from bench.callers import callers_per_core
from bench.capacity import capacity
from bench.controller_scale import controller_scale
from bench.deafness import deafness
from bench.density import density
from bench.ears import ears
from bench.health import machine_facts
from bench.ladder import ladder
from bench.overload import overload
from bench.overload_http import overload_http
from bench.placement import placement
from bench.placement_ttfa import placement_ttfa
from bench.policy import CALLS, cells, days, rivals
from bench.reality import simulation_reality
from bench.row import Row, failed, say
from bench.scaling import simulate_speed, step_speed
from bench.stand import Arm, Stand, stand
from bench.startup import startup
from bench.telemetry import telemetry
from bench.tier_canary import tier_canary
from bench.turns import turn_speed
from bench.worker_needs import worker_needs

Measure = Callable[[Stand, bool, str], Awaitable[Row | list[Row]]]


def _of(what: Callable[[int, bool, str], Row], mean_live: int) -> Measure:
    return lambda on, quick, command: asyncio.to_thread(what, mean_live, quick, command)


def _overhead(name: str, ours: Arm) -> Measure:
    return lambda on, quick, command: platform_overhead(
        name, on, Size(blocks=2, turns=2) if quick else Size(blocks=7, turns=4), command, ours
    )


async def _overload(on: Stand, quick: bool, command: str) -> list[Row]:
    calls = await overload(on, 1 if quick else 5, 10.0 if quick else 30.0, command)
    return [*calls, *await overload_http(on, quick, command)]


ROWS: dict[str, Measure] = {
    "platform_overhead": _overhead("platform_overhead", Arm.VOICEFLEET),
    "platform_overhead_server": _overhead("platform_overhead_server", Arm.SERVER),
    "platform_overhead_entrypoint": _overhead("platform_overhead_entrypoint", Arm.ENTRYPOINT),
    "default_baseline": lambda on, quick, command: default_baseline(
        on, Size(blocks=2, turns=1) if quick else Size(blocks=4, turns=3), command
    ),
    # Blocks of 32 turns. Two arms that differ by less than 1 % take many.
    "telemetry": lambda on, quick, command: telemetry(
        on, Size(blocks=2, turns=2) if quick else Size(blocks=21, turns=4), command
    ),
    "turn_speed": lambda on, quick, command: turn_speed(on, 2 if quick else 8, command),
    "startup": lambda on, quick, command: startup("startup", on, 2 if quick else 12, command),
    "startup_server": lambda on, quick, command: startup("startup_server", on, 2 if quick else 12, command, Arm.SERVER),
    "deafness": lambda on, quick, command: deafness(quick, command),
    "callers_per_core": lambda on, quick, command: callers_per_core(on, 1 if quick else 5, 3 if quick else 8, command),
    "density": density,
    "ears": ears,
    "capacity": capacity,
    "worker_needs": lambda on, quick, command: worker_needs(on, 2 if quick else 6, command),
    "controller_scale": lambda on, quick, command: controller_scale(on, 15.0 if quick else 60.0, command),
    "overload": _overload,
    "placement": lambda on, quick, command: placement(on, 5.0 if quick else 30.0, command),
    "placement_ttfa": lambda on, quick, command: placement_ttfa(on, 1 if quick else 3, 2, command),
    "simulation_reality": lambda on, quick, command: simulation_reality(60.0 if quick else 600.0, command),
    "ladder": lambda on, quick, command: ladder(on, 5 if quick else 12, command),
    "tier_canary": lambda on, quick, command: asyncio.to_thread(tier_canary, quick, command),
    "step_speed": lambda on, quick, command: asyncio.to_thread(step_speed, quick, command),
    "simulate_speed": lambda on, quick, command: asyncio.to_thread(simulate_speed, quick, command),
    **{f"policy_{mean}": _of(cells, mean) for mean in CALLS},
    **{f"policy_day_{mean}": _of(days, mean) for mean in CALLS},
    **{f"policy_rivals_{mean}": _of(rivals, mean) for mean in CALLS},
}


async def measure(names: Sequence[str], quick: bool) -> dict[str, Any]:
    """Measure the rows one after the other; one that fails is void and does not stop the others."""
    machine = machine_facts()
    rows = []
    async with stand() as on:
        for name in names:
            command = f'make bench ARGS="{"--quick " if quick else ""}--only {name}"'
            say(f"{name} ...")
            try:
                measured = await ROWS[name](on, quick, command)
            except Exception as error:
                measured = failed(name, error, command)
            for row in measured if isinstance(measured, list) else [measured]:
                say(f"{row.name}: {row.verdict}" + (f" ({row.why})" if row.verdict == "void" else ""))
                rows.append(row.to_json())
    return {"machine": machine, "quick": quick, "rows": rows}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: to see that it runs, not to judge by")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the document there too")
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(ROWS), help=f"of: {', '.join(ROWS)}")
    given = parser.parse_args()
    document = asyncio.run(measure(given.only or list(ROWS), given.quick))
    text = json.dumps(document, indent=2)
    if given.json is not None:
        given.json.write_text(text + "\n")
    print(text)
    sys.exit(0 if all(row["verdict"] == "met" for row in document["rows"]) else 1)


if __name__ == "__main__":
    main()
