"""Webhooks that are lost, or come twice, late and in any order."""

from __future__ import annotations

from voicefleet.chaos.fault_context import FaultContext
from voicefleet.chaos.relay import Mode

WATCHED_S = 4.0


async def webhooks_lost(context: FaultContext) -> None:
    """No webhook arrives, from now on to the end of the run."""
    await _disturb(context, Mode.LOSE)


async def webhooks_mangled(context: FaultContext) -> None:
    """Every webhook arrives twice, late and in any order, from now on to the end of the run."""
    await _disturb(context, Mode.MANGLE)


async def _disturb(context: FaultContext, mode: Mode) -> None:
    relay = context.relay
    relay.seed(int(context.rng.integers(2**31)))

    def restore() -> None:
        relay.mode = Mode.PASS

    context.undo.callback(restore)
    relay.mode = mode
    before = relay.taken
    context.mark_injection()
    await context.sleep(WATCHED_S)
    if relay.taken == before:
        context.note("LiveKit sent no webhook")
