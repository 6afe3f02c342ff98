"""An agent that goes deaf or mute in mid-call, in silence: it lives, renews its claim, and is of no use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from voicefleet.chaos.breakable_agent import break_agent
from voicefleet.chaos.fault_context import FaultContext, FaultError

REPAIRED_LIMIT_S = 30.0
"""At the latest: the rest of an answer, a question of the caller's, the 6 s in which it is found, and a fresh job."""


def broken_agent(how: str) -> Callable[[FaultContext], Awaitable[None]]:
    """A fault: the agent of one call goes `how` (deaf, mute), until its call is another job's."""

    async def fault(context: FaultContext) -> None:
        rooms = await context.served()
        if not rooms:
            raise FaultError("no worker serves a call")
        room = sorted(rooms)[int(context.rng.integers(len(rooms)))]
        before = await _epoch(context, room)
        context.mark_injection(hit=1)
        break_agent(context.senses, room, how)

        async def moved() -> bool:
            return await _epoch(context, room) > before

        took_s = await context.until(moved, REPAIRED_LIMIT_S)
        context.note("not repaired" if took_s is None else "a fresh job has the call")

    return fault


async def _epoch(context: FaultContext, room: str) -> int:
    """The number of the job that has the call; 0: none has it."""
    return next((call.epoch for call in await context.client.calls() if call.room == room), 0)
