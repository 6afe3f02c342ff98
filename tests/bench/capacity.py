"""Whether the search for a capacity finds the same one each time: a pool of known slots, searched as a user would.

The pool is one worker with `IDLE` slots and synthetic stages; LiveKit sends it its calls, and a call too many gets no
agent. So the truth is known: it holds as many calls as it has slots.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from bench.health import Health
from bench.row import Row, say
from bench.stand import IDLE, Arm, Stand, workers

from voicefleet.runtime.supervisor.lifeline import lifeline

CONDITION = "ttfa_p95<1.5"
AT_MOST = 12
_LIMIT_S = 900.0
_REST_S = 20.0
"""Before each search: the callers of the one before hold their slots for a moment, and calls too many end unserved."""


async def capacity(on: Stand, quick: bool, command: str) -> Row:
    """Search three times; each answer must be within one call of the slots and of each other."""
    health = Health()
    found: list[dict[str, Any]] = []
    async with workers(on, [Arm.VOICEFLEET]):
        for number in range(1 if quick else 3):
            await asyncio.sleep(_REST_S if number else 0.0)
            async with health.watch():
                found.append(await _search(on, number, AT_MOST // 2 if quick else AT_MOST))
            say(f"capacity {number + 1}: {found[-1]['capacity']}, interval {found[-1]['interval']}")
    answers = [one["capacity"] for one in found]
    known = [answer for answer in answers if answer is not None]
    void = health.void() + ["a search found nothing"] * (len(answers) - len(known))
    apart = max(known) - min(known) if known else None
    met = apart is not None and apart <= 1 and all(abs(answer - IDLE) <= 1 for answer in known)
    return Row(
        name="capacity",
        n=len(found),
        values={
            "slots": IDLE,
            "condition": CONDITION,
            "answers": [{"calls": one["capacity"], "interval": one["interval"]} for one in found],
            "answers_apart": apart,
            "steps": [_steps(one) for one in found],
            "void_steps": sum(step["held"] is None for one in found for step in one["steps"]),
            "search_s": [one["wall_s"] for one in found],
        },
        verdict="void" if void else "met" if met else "missed",
        why="; ".join(void) or "the pool holds as many calls as it has slots; the search itself repeats a void step",
        health=health.to_json(),
        command=command,
    )


def _steps(one: dict[str, Any]) -> str:
    words = {True: "held", False: "broke", None: "void"}
    return ", ".join(f"{step['level']} {words[step['held']]}" for step in one["steps"])


async def _search(on: Stand, seed: int, at_most: int) -> dict[str, Any]:
    """The document of `voicefleet loadtest --until-it-breaks`."""
    file = on.directory / f"capacity-{seed}.json"
    options = {
        "--until-it-breaks": CONDITION,
        "--livekit-url": on.livekit.url,
        "--agent-name": Arm.VOICEFLEET.value,
        "--at-most": at_most,
        "--turns": 2,
        "--patience": 10,
        "--seed": seed,
        "--engine": "go",
        "--json": file,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voicefleet.cli.app",
        "loadtest",
        *(str(word) for option in options.items() for word in option),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            **lifeline().environment(),
            "LIVEKIT_API_KEY": on.livekit.api_key,
            "LIVEKIT_API_SECRET": on.livekit.api_secret,
        },
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in (0, 1, 3):
        raise RuntimeError(f"the search exited with {process.returncode}: {said.decode(errors='replace')[-300:]}")
    document: dict[str, Any] = json.loads(file.read_text())
    return document
