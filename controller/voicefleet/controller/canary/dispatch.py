"""Dispatch in a canary's pool: whoever waits there goes on with the stable version, at once.

A canary gets its calls by LiveKit's own dispatch, as their rooms are made. One that is not answered then, or loses its
agent, is not the canary's any more: its caller must not wait for a version that may be broken. So is every call of one
that was rolled back. Once it is promoted the pool serves its queue like any other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools

from voicefleet.contract.aside import Why
from voicefleet.contract.calls import CallRecord
from voicefleet.contract.claims import ClaimState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.dispatch_requests import dispatch_metadata, orders_in
from voicefleet.controller.calls.recovery import take_from
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.canary.analysis import VersionFigures
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.canary.moves import CallMoves
from voicefleet.controller.canary.trial import TrialView
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

MOVES_AT_ONCE = 4
_MANY = 10_000

log = get_logger(__name__)


class CanaryDispatcher(Dispatcher):
    """Serves the queue of a canary's pool.

    Args:
        canary: the pool; `stable`: that of the version beside it.
        figures: of the canary.
    """

    def __init__(
        self, canary: Region, stable: Region, view: TrialView, moves: CallMoves, figures: VersionFigures
    ) -> None:
        super().__init__(canary)
        self._stable = stable
        self._view = view
        self._moves = moves
        self._figures = figures

    async def once(self) -> None:
        await super().once()
        if (snapshot := self._region.scans.snapshot) is not None and not self._view.serves_its_queue:
            self._go_on_with_moves(snapshot)
            if self._view.decided is Decision.ROLL_BACK:
                await self._empty(snapshot)

    async def _take(self, snapshot: Snapshot) -> list[str]:
        if self._view.serves_its_queue:
            return await super()._take(snapshot)
        return await self._region.calls.take(_MANY, most=snapshot.waiting)

    async def _order(self, room: str, record: CallRecord | None, orders: tuple[str, ...], attempt: int) -> None:
        if self._view.serves_its_queue:
            await super()._order(room, record, orders, attempt)
        else:
            await self._move(room, record, orders)

    def _go_on_with_moves(self, snapshot: Snapshot) -> None:
        """Moves that another replica, or we before a crash, did not bring to their end."""
        for call in snapshot.calls:
            if call.aside is not None and call.aside.why == Why.MOVED:
                self._dispatches.start(call.room, functools.partial(self._move_again, call.room))

    async def _move_again(self, room: str) -> None:
        try:
            records = await self._region.calls.records([room])
            await self._move(room, records.get(room), await orders_in(self._region, room))
        except UnknownStateError as error:
            log.warning("call not moved yet, trying again", region=self._region.name, room=room, error=str(error))

    async def _move(self, room: str, record: CallRecord | None, orders: tuple[str, ...]) -> None:
        canary, stable = self._region, self._stable
        taken = await self._moves.out(room)
        if taken is None:
            return
        old = taken.call_log(canary.name)
        order = dispatch_metadata(record, orders, 0)
        record = record or CallRecord(room=room, region=canary.name, order=order.order, caller=order.caller)
        await self._moves.into(room, taken, dataclasses.replace(record, region=stable.name))
        stable.wake.set()
        if old is not None and taken.epoch:
            # A job of it had the call, and no longer has. One that no job ever had tells nothing of the version: its
            # workers were full, or LiveKit was slow.
            await self._figures.note_over(old, failed=True)
        await self._moves.done(room, taken.call)
        log.warning("call goes on with the stable version", region=canary.name, room=room, to=stable.name)

    async def _empty(self, snapshot: Snapshot) -> None:
        """Live calls of a canary that was rolled back lose their agents, some at a time, as there are free slots
        elsewhere; they wait then, and move."""
        free = sum(r.free for r in (self._stable.reports.fresh() or {}).values())
        live = [(c, c.claim) for c in snapshot.calls if c.claim is not None and c.claim.state == ClaimState.LIVE]
        moves = live[: min(MOVES_AT_ONCE, free)]
        if any(
            await asyncio.gather(*(take_from(self._region, call.room, claim, "rolled_back") for call, claim in moves))
        ):
            self._region.wake.set()
