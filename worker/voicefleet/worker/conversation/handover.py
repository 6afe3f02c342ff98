"""Moves a live call to another worker: the part of the job that has the call, and of the one that takes it.

    ready successor -> boundary -> transcript stored -> still boundary: deaf and mute -> claim handed over -> leave
                                   '---- anything else: hear and speak again, the call stays here ----'

A boundary is between two turns and, up to the drain's limit, with no work under way (`work`). The holder has the call
until the very end, and the successor is deaf and mute until the call is its own: two agents never speak at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from livekit.agents import AgentSession

from voicefleet.contract.claims import HANDOFF_READY_TTL_MS, agent_identity
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.claim_store import ClaimStore, Turn
from voicefleet.worker.conversation.boundary import TurnBoundary
from voicefleet.worker.conversation.transcript_store import TranscriptStore
from voicefleet.worker.conversation.work import CallWork
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.voice import Gate

LOOK_EVERY_S = 0.05
STORE_LIMIT_S = 0.5
LEAVE_AFTER_S = 0.3
"""The last words may still be in the caller's jitter buffer; leaving the room cuts them."""
SUCCESSION_LIMIT_S = 15.0
"""A successor waits no longer than this for its turn; the controller asks for another."""
READY_EVERY_S = 1.0
GONE_AFTER_S = HANDOFF_READY_TTL_MS / 1000 + 0.2
"""No holder gives a call to a successor that has not said for so long that it is ready."""

log = get_logger(__name__)


class Handover:
    """The holder's part, on one call.

    Args:
        transcripts: None when they are off.
        store: stores the conversation as it is now.
        present: whether a participant of this identity is in the room.
        work: what the call does beside speaking.
        speech_pending: whether the agent has something to say, or says it.
        held: told of what a handoff waits for (False), and of what it cut off (True).
        voiceless: whether the caller cannot hear the agent any more; then any moment is a boundary.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        lease: ClaimLease,
        *,
        transcripts: TranscriptStore | None,
        store: Callable[[], None],
        present: Callable[[str], bool],
        work: CallWork,
        speech_pending: Callable[[], bool],
        held: Callable[[tuple[str, ...], bool], None],
        voiceless: Callable[[], bool] = lambda: False,
        clock: Clock,
    ) -> None:
        self._session = session
        self._lease = lease
        self._transcripts = transcripts
        self._store = store
        self._present = present
        self._work = work
        self._speech_pending = speech_pending
        self._held = held
        self._waits_for: tuple[str, ...] = ()
        self._voiceless = voiceless
        self._clock = clock
        self._boundary = TurnBoundary()
        self.gate: Gate | None = None
        """Before the session's input, once it has started."""

    def watch(self) -> None:
        """Begin to follow the turns; before the session starts."""
        self._session.on("user_state_changed", self._on_caller)
        self._session.on(
            "agent_state_changed", lambda e: self._boundary.agent(e.new_state not in ("listening", "idle"))
        )

    def _on_caller(self, event: Any) -> None:
        self._boundary.caller(event.new_state == "speaking", self._clock.monotonic())

    async def run(self) -> bool:
        """Wait for a turn boundary as long as the handoff is wanted, and hand the call over there.

        Returns:
            True: the call is the successor's, leave. False: it stays here.
        """
        while (handoff := self._lease.handoff) is not None and not self._lease.lost:
            if not self._may_move():
                await self._clock.sleep(LOOK_EVERY_S)
                continue
            if not await self._stored():
                log.warning("transcript not stored in time, the call is not handed over")
                return False
            # The caller may have begun to speak meanwhile, and the agent to work.
            if self._may_move():
                return await self._hand_over(agent_identity(handoff.to_job))
        return False

    def between_turns(self) -> bool:
        """Whether nobody speaks, no answer is due, and nothing is under way."""
        quiet = self._boundary.reached(self._clock.monotonic(), speech_pending=self._speech_pending())
        return quiet and not self._work.under_way()

    def _may_move(self) -> bool:
        now_s = self._clock.monotonic()
        standing = self._work.standing(now_s)
        if standing.waits_for != self._waits_for:
            self._waits_for = standing.waits_for
            if standing.waits_for and not standing.may_move:
                log.info("the handoff waits", work=list(standing.waits_for))
                self._held(standing.waits_for, False)
        if self._voiceless():
            return True
        return standing.may_move and self._boundary.reached(now_s, speech_pending=self._speech_pending())

    async def _stored(self) -> bool:
        if self._transcripts is None:
            return True
        self._store()
        return await self._transcripts.flush(STORE_LIMIT_S)

    async def _hand_over(self, successor: str) -> bool:
        began_s = self._clock.monotonic()
        self._set_audio(False)
        gone = await self._lease.hand_over()
        if gone is None and self._present(successor):
            # Better a successor that still waits for Redis than two voices.
            self._lease.let_go()
            gone = True
        log.info("handover tried", gone=gone, took_ms=round((self._clock.monotonic() - began_s) * 1000, 1))
        if not gone:
            self._set_audio(True)
            return False
        if self._waits_for:
            log.warning("the call moved before its work was done, that is cut off", work=list(self._waits_for))
            self._held(self._waits_for, True)
        await self._clock.sleep(LEAVE_AFTER_S)
        return True

    def _set_audio(self, yes: bool) -> None:
        if self.gate is not None:
            self.gate.close(not yes)
        if self._session.output.audio is not None:
            self._session.output.set_audio_enabled(yes)


async def wait_for_turn(
    claims: ClaimStore,
    renew: Callable[[], Any],
    room: str,
    job: str,
    *,
    woken: asyncio.Event,
    connected: Callable[[], bool],
    clock: Clock,
) -> bool:
    """As the successor: report ready until the call is ours (True) or will not be (False).

    Args:
        renew: asks for the claim as its holder does; gives whether it is ours.
        woken: set when our channel woke us.
    """
    deadline_s = clock.monotonic() + SUCCESSION_LIMIT_S
    while connected() and clock.monotonic() < deadline_s:
        woken.clear()
        try:
            turn = await claims.ready(room, job=job)
        except UnknownStateError:
            turn = Turn.WAIT
        if turn is not Turn.WAIT:
            return turn is Turn.OURS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_EVERY_S):
                await woken.wait()
    if not connected():
        return False
    # Up to here the holder may give us the call in any moment: leave only when it cannot any more.
    await clock.sleep(GONE_AFTER_S)
    try:
        return bool(await renew())
    except UnknownStateError:
        return False
