"""An STT, LLM or TTS that hangs or refuses, for every call of the fleet. Synthetic providers read it from a file."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from voicefleet.chaos.fault_context import FaultContext

OUTAGE_S = 18.0
"""As for a stall (see `processes`): long enough that an unrepaired outage is always heard."""


def write_faults(file: Path, faults: dict[str, str]) -> None:
    """Tell the providers, atomically."""
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(json.dumps(faults))
    temporary.replace(file)


def outage(stage: str, how: str) -> Callable[[FaultContext], Awaitable[None]]:
    """A fault: every `stage` (stt, llm, tts) does `how` (hang, refuse, drop) for `OUTAGE_S`."""

    async def fault(context: FaultContext) -> None:
        file = context.providers
        context.undo.callback(write_faults, file, {})
        context.mark_injection()
        write_faults(file, {stage: how})
        await context.sleep(OUTAGE_S)
        write_faults(file, {})

    return fault
