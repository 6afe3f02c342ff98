"""An STT, LLM or TTS that hangs or refuses, for every call of the fleet. The synthetic providers read a file for it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from voicefleet.chaos.fault_context import Scene

OUTAGE_S = 18.0
"""As a stall (see `processes`): long enough to be heard surely, when nobody does anything about it."""


def write_faults(file: Path, faults: dict[str, str]) -> None:
    """Tell the providers; whole or not at all."""
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(json.dumps(faults))
    temporary.replace(file)


def outage(stage: str, how: str) -> Callable[[Scene], Awaitable[None]]:
    """A fault: every `stage` (stt, llm, tts) does `how` (hang, refuse, drop) for 14 s."""

    async def fault(scene: Scene) -> None:
        file = scene.providers
        scene.undo.callback(write_faults, file, {})
        scene.strike()
        write_faults(file, {stage: how})
        await scene.sleep(OUTAGE_S)
        write_faults(file, {})

    return fault
