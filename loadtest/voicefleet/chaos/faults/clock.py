"""A worker whose wall clock jumps."""

from __future__ import annotations

from voicefleet.chaos.fault_context import FaultContext

JUMP_S = 300
WATCHED_S = 4.0


async def worker_clock(context: FaultContext) -> None:
    """The clock of the busiest worker, which is registered, jumps 5 minutes ahead and stays there."""
    worker, _ = await context.busiest()
    file = context.clocks / worker.id
    context.undo.callback(file.write_text, "+0\n")
    context.mark_injection()
    file.write_text(f"+{JUMP_S}\n")
    await context.sleep(WATCHED_S)
