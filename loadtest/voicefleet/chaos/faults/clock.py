"""A worker whose wall clock jumps."""

from __future__ import annotations

from voicefleet.chaos.fault_context import Scene

JUMP_S = 300
WATCHED_S = 4.0


async def worker_clock(scene: Scene) -> None:
    """The clock of the busiest worker, which is registered, jumps 5 minutes ahead and stays there."""
    worker, _ = await scene.busiest()
    file = scene.clocks / worker.id
    scene.undo.callback(file.write_text, "+0\n")
    scene.strike()
    file.write_text(f"+{JUMP_S}\n")
    await scene.sleep(WATCHED_S)
