"""Outbound calls: an agent first, then the dial. Every replica runs it; Redis keeps the replicas apart.

A dial waits for its place on the trunk, then for an agent like any call, and only when the agent has a live claim is
the number dialled: whoever picks up never hears silence. The replica that dials says so again and again; when it does
not any more, another one looks who is in the room and carries on with that, and never dials by itself a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import replace

from voicefleet.contract.claims import ClaimState
from voicefleet.contract.dials import ACTIVE, RINGING_STATUS, Dial, DialState, Outcome, outcome_of
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.ports import DialNotSentError, DialRefusedError, Participant
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import KeyedTasks, cancel_and_wait

LOOK_EVERY_S = 0.5
TRUNK_BUSY_MS = 1_000
AGENT_LOOK_MS = 400
NOT_SENT_MS = 2_000
"""LiveKit was not reached: nothing was dialled, and it is tried again after this."""
OWNED_MS = 6_000
"""A replica that did not say for so long that it dials is gone."""
RENEW_MS = 2_000
APPEARS_MS = 5_000
"""LiveKit shows the callee's participant well before it rings."""
SPARE_MS = 5_000
"""LiveKit itself ends a dial that nobody answers; one that is still there so much later is ended by us."""
ANSWERED_LOOK_MS = 5_000
ROOM_SPARE_S = 120

log = get_logger(__name__)


class Dialer:
    """Makes the outbound calls of one region.

    Args:
        replica: name of this controller among its replicas.
    """

    def __init__(self, region: Region, replica: str) -> None:
        self._region = region
        self._replica = replica
        self._steps = KeyedTasks[str](self._failed)

    async def run(self) -> None:
        """Dial until cancelled."""
        try:
            while True:
                await self.once()
                await self._region.clock.sleep(LOOK_EVERY_S)
        finally:
            await self._steps.cancel_and_wait()

    async def once(self) -> None:
        """One look at the dials that are due. What they need runs beside it."""
        region = self._region
        try:
            now_ms = await region.dials.now_ms()
            due = await region.dials.due(now_ms)
        except UnknownStateError as error:
            region.reads.failed("dials", error)
            return
        region.reads.succeeded("dials")
        for dial in due:
            self._steps.start(dial.room, functools.partial(self._step, dial, now_ms))

    def _failed(self, room: str, error: BaseException) -> None:
        if isinstance(error, UnknownStateError):
            log.info("outbound call not looked after now", region=self._region.name, room=room, error=str(error))
        else:
            log.error("outbound call failed", region=self._region.name, room=room, exc_info=error)

    async def _step(self, dial: Dial, now_ms: int) -> None:
        state = DialState(dial.state)
        if dial.closing:
            await self._close(dial, now_ms)
        elif state is DialState.QUEUED and not dial.admitted:
            await self._admit(dial, now_ms)
        elif state is DialState.QUEUED:
            await self._begin(dial, now_ms)
        elif state.under_way:
            await self._carry_on(dial, now_ms)
        else:
            await self._watch(dial, now_ms)

    # Queued

    async def _admit(self, dial: Dial, now_ms: int) -> None:
        """A place on the trunk, then a room that waits for an agent."""
        region, dials = self._region, self._region.dials
        trunk = region.settings.trunks.get(dial.order.trunk)
        if trunk is None:
            await self._over(
                dial, Outcome(DialState.FAILED, detail="the trunk is not in the settings any more"), now_ms
            )
        elif self._waited_too_long(dial, now_ms):
            await self._over(dial, Outcome(DialState.FAILED, detail="no place on the trunk in time"), now_ms)
        elif not await dials.take_place(dial, trunk.concurrent):
            await dials.put(replace(dial, due_ms=now_ms + TRUNK_BUSY_MS))
        else:
            await self._expect(dial, now_ms)
            admitted = replace(dial, admitted=True, due_ms=now_ms + AGENT_LOOK_MS)
            if await dials.put(admitted) is None:
                await dials.leave_place(dial)

    async def _begin(self, dial: Dial, now_ms: int) -> None:
        """Dial once an agent is there."""
        region, dials = self._region, self._region.dials
        claim = await region.calls.claim(dial.room)
        trunk = region.settings.trunks.get(dial.order.trunk)
        if claim is None or claim.state != ClaimState.LIVE or trunk is None:
            if self._waited_too_long(dial, now_ms):
                await self._over(dial, Outcome(DialState.FAILED, detail="no agent was free in time"), now_ms)
                return
            if (snapshot := region.sure_snapshot()) is not None and dial.room not in snapshot.rooms:
                await self._expect(dial, now_ms)  # its room was lost
            await dials.put(replace(dial, due_ms=now_ms + AGENT_LOOK_MS))
        elif pause_ms := await dials.dial_after_ms(dial, trunk.per_s):
            await dials.put(replace(dial, due_ms=now_ms + pause_ms))
        else:
            began = replace(dial, state=DialState.DIALLING.value, since_ms=now_ms, seen=False)
            if (ours := await dials.put(self._owned(began, now_ms))) is not None:
                log.info("number dialled", region=region.name, room=dial.room, attempt=dial.attempt)
                await self._dial(ours)

    async def _expect(self, dial: Dial, now_ms: int) -> None:
        region = self._region
        await region.livekit.create_room(dial.room, empty_timeout_s=round(dial.order.wait_s) + ROOM_SPARE_S)
        await region.calls.save_record(dial.call)
        await region.calls.want_agent(dial.room)  # of an attempt before
        await region.calls.expect([(dial.room, now_ms)])

    def _waited_too_long(self, dial: Dial, now_ms: int) -> bool:
        return now_ms - dial.since_ms > dial.order.wait_s * 1000

    # Dialling

    async def _dial(self, dial: Dial) -> None:
        request = asyncio.create_task(
            self._region.livekit.dial(dial.room, dial.callee, dial.order, max_duration_s=dial.call.max_duration_s)
        )
        try:
            await self._follow(dial, request)
        finally:
            await cancel_and_wait([request])

    async def _carry_on(self, dial: Dial, now_ms: int) -> None:
        """The replica that dialled is gone: what became of the dial is seen in its room."""
        if (ours := await self._region.dials.put(self._owned(dial, now_ms))) is not None:
            log.warning("outbound call taken over", region=self._region.name, room=dial.room, attempt=dial.attempt)
            await self._follow(ours, None)

    async def _follow(self, dial: Dial, request: asyncio.Task[None] | None) -> None:
        """Follow a dial of ours to its outcome, by the answer of `request` and by who is in the room."""
        region = self._region
        while True:
            if request is not None and request.done():
                if (answer := _answer_of(request)) is not None:
                    await self._keep(dial, answer)
                    return
                request = None
            with contextlib.suppress(UnknownStateError):
                now_ms = await region.dials.now_ms()
                there = {p.identity: p for p in await region.livekit.list_participants(dial.room)}
                seen = _seen(dial, there.get(dial.callee), now_ms, asked=request is not None)
                if isinstance(seen, Outcome):
                    if seen.state is not DialState.ANSWERED:
                        await region.livekit.remove_participant(dial.room, dial.callee)
                    await self._keep(dial, seen)
                    return
                kept = await self._renew(dial, seen, now_ms)
                if kept is None:
                    return  # it was cancelled, or is another replica's
                dial = kept
            if request is None:
                await region.clock.sleep(LOOK_EVERY_S)
            else:
                sleeping = asyncio.ensure_future(region.clock.sleep(LOOK_EVERY_S))
                await asyncio.wait({request, sleeping}, return_when=asyncio.FIRST_COMPLETED)
                sleeping.cancel()

    async def _renew(self, before: Dial, dial: Dial, now_ms: int) -> Dial | None:
        if dial == before and before.owned_until_ms - now_ms > OWNED_MS - RENEW_MS:
            return before
        return await self._region.dials.put(self._owned(dial, now_ms))

    def _owned(self, dial: Dial, now_ms: int) -> Dial:
        until_ms = now_ms + OWNED_MS
        return replace(dial, owner=self._replica, owned_until_ms=until_ms, due_ms=until_ms)

    # Its outcome

    async def _keep(self, dial: Dial, outcome: Outcome) -> None:
        """Keep how the attempt ended, however long Redis is away: nobody else knows it."""
        region = self._region
        while True:
            with contextlib.suppress(UnknownStateError):
                now_ms = await region.dials.now_ms()
                if outcome.state is DialState.ANSWERED:
                    await self._answered(dial, now_ms)
                elif outcome.state is DialState.QUEUED:
                    again = replace(dial, state=DialState.QUEUED.value, owner="", owned_until_ms=0)
                    await region.dials.put(replace(again, due_ms=now_ms + NOT_SENT_MS))
                else:
                    await self._over(dial, outcome, now_ms)
                return
            await region.clock.sleep(LOOK_EVERY_S)

    async def _answered(self, dial: Dial, now_ms: int) -> None:
        region = self._region
        answered = replace(dial, state=DialState.ANSWERED.value, since_ms=now_ms, owner="", owned_until_ms=0, seen=True)
        if await region.dials.put(replace(answered, due_ms=now_ms + ANSWERED_LOOK_MS)) is None:
            return
        self._count(dial, DialState.ANSWERED.value)
        await region.calls.caller_joined(dial.room)

    async def _over(self, dial: Dial, outcome: Outcome, now_ms: int) -> None:
        kept = await self._region.dials.put(dial.over(outcome, now_ms))
        if kept is None:
            return
        self._count(dial, outcome.state.value, sip_status_code=outcome.sip_status_code, again=kept.active)
        await self._close(kept, now_ms)

    async def _close(self, dial: Dial, now_ms: int) -> None:
        """End the attempt's room: its agent leaves, and nobody is sent there."""
        region = self._region
        await region.livekit.delete_room(dial.room)
        await region.calls.caller_left(dial.room)
        await region.dials.put(replace(dial, closing=False, due_ms=max(now_ms, dial.since_ms)))

    async def _watch(self, dial: Dial, now_ms: int) -> None:
        """A call that was answered has its place on the trunk until it is over."""
        over = self._region.surely_over(dial.room)
        watched = replace(dial, done=over, admitted=not over, due_ms=now_ms + ANSWERED_LOOK_MS)
        await self._region.dials.put(watched)

    def _count(self, dial: Dial, result: str, **more: object) -> None:
        region = self._region
        region.metrics.counters[catalogue.DIALS].labels(region.name, result).inc()
        log.info("dial over", region=region.name, room=dial.room, attempt=dial.attempt, result=result, **more)


def _answer_of(request: asyncio.Task[None]) -> Outcome | None:
    """What LiveKit said of a dial; None: it did not say, and what is in the room tells."""
    try:
        request.result()
    except DialRefusedError as error:
        return outcome_of(error.sip_status_code, error.sip_status, error.reason)
    except DialNotSentError:
        return Outcome(DialState.QUEUED)
    except UnknownStateError:
        return None
    return Outcome(DialState.ANSWERED)


def _seen(dial: Dial, callee: Participant | None, now_ms: int, *, asked: bool) -> Outcome | Dial:
    """The dial as its callee's participant shows it, or how it ended.

    Args:
        callee: None: it is not in the room.
        asked: LiveKit's answer is still to come, and tells more than the room does.
    """
    for_ms = now_ms - dial.since_ms
    if for_ms > dial.order.ring_timeout_s * 1000 + SPARE_MS:
        return Outcome(DialState.NO_ANSWER, detail="it rang too long")
    if callee is not None:
        if callee.sip_status == ACTIVE:
            return Outcome(DialState.ANSWERED)
        rings = dial.state == DialState.RINGING or callee.sip_status == RINGING_STATUS
        return replace(dial, seen=True, state=(DialState.RINGING if rings else DialState.DIALLING).value)
    if asked:
        return dial
    if dial.seen:
        return Outcome(DialState.NO_ANSWER, detail="the callee left before the answer")
    if for_ms > APPEARS_MS:
        return Outcome(DialState.FAILED, detail="interrupted: nobody knows whether it was dialled")
    return dial
