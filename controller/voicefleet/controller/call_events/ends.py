"""Ends calls in their logs: some time after a room is over, or a call has had neither caller nor agent for a while.

Every replica looks; Redis has each call end once, with `call.ended` and what is known of it by then. A minute later the
call is packed, and kept for days.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from voicefleet.contract.call_log import CallLog, summarize
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.spans import trace_of_room
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

LOOK_EVERY_S = 1.0

log = get_logger(__name__)


class CallEnds:
    """Ends the calls of one region.

    Args:
        ended: told of each, once; they raise `UnknownStateError` when they cannot take it.
    """

    def __init__(self, region: Region, ended: Sequence[Callable[[CallLog], Awaitable[None]]] = ()) -> None:
        self._region = region
        self._ended = ended

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.once()
            await self._region.clock.sleep(LOOK_EVERY_S)

    async def once(self) -> None:
        """One look. A call that cannot be ended now is looked at again in some seconds."""
        region = self._region
        try:
            for call in await region.calls.logs.over():
                await self._end(call)
            await region.calls.archive.pack_due()
        except UnknownStateError as error:
            region.reads.failed("call_ends", error)
            return
        region.reads.succeeded("call_ends")

    async def _end(self, call: str) -> None:
        logs = self._region.calls.logs
        found = await logs.read(call)
        if found is None:
            return
        summary = summarize(found, await logs.now_ms(), over=True)
        if not await self._region.calls.archive.close(found, summary):
            return
        log.info(
            "call ended",
            region=self._region.name,
            room=summary.room,
            call=call,
            trace_id=summary.trace_id or trace_of_room(call.partition(".")[0]),
            reason=summary.reason,
            duration_s=summary.duration_s,
            waited_s=summary.waited_s,
            agents=len(summary.agents),
            turns=len(summary.turns),
            apologies=summary.apologies,
            dead_air=[{"from_s": one.from_s, "lasted_s": one.lasted_s, "why": one.why} for one in summary.dead_air],
        )
        for ended in self._ended:
            await ended(found)
