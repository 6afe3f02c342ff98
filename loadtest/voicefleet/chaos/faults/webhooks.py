"""Webhooks that are lost, or come twice, late and in any order."""

from __future__ import annotations

from voicefleet.chaos.fault_context import Scene
from voicefleet.chaos.relay import Mode

WATCHED_S = 4.0


async def webhooks_lost(scene: Scene) -> None:
    """No webhook arrives, from now on to the end of the run."""
    await _spoil(scene, Mode.LOSE)


async def webhooks_mangled(scene: Scene) -> None:
    """Every webhook arrives twice, late and in any order, from now on to the end of the run."""
    await _spoil(scene, Mode.MANGLE)


async def _spoil(scene: Scene, mode: Mode) -> None:
    relay = scene.relay
    relay.seed(int(scene.rng.integers(2**31)))

    def restore() -> None:
        relay.mode = Mode.PASS

    scene.undo.callback(restore)
    relay.mode = mode
    before = relay.taken
    scene.strike()
    await scene.sleep(WATCHED_S)
    if relay.taken == before:
        scene.note("LiveKit sent no webhook")
