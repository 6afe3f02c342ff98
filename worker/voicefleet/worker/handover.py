"""The holder's side of a handoff: at a turn boundary the call goes to the successor that is ready, without a word lost.

ready successor -> boundary -> deaf -> memory stored -> mute -> claim handed over -> leave
                                 '---- anything else: hear and speak again, the call stays here ----'
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentSession

from voicefleet.contract.claims import Handoff, agent_identity
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.claims import ClaimStore, Turn, Yielded
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs import get_logger
from voicefleet.worker.memory import MemoryStore

BOUNDARY_LIMIT_S = 15.0
"""A turn that is not over by then: the controller asks again."""
SUCCESSION_LIMIT_S = 25.0
"""A successor waits no longer than this for its turn."""
_LOOK_EVERY_S = 0.05
_FLUSH_LIMIT_S = 0.5
_SETTLE_LIMIT_S = 3.0

log = get_logger(__name__)


@dataclass(slots=True)
class Turns:
    """Who spoke last, and when; monotonic seconds."""

    caller_stopped_s: float = float("-inf")
    agent_stopped_s: float = float("-inf")


def at_boundary(agent: str, caller: str, speech_pending: bool, turns: Turns, now_s: float, settle_s: float) -> bool:
    """Whether nobody speaks or is about to: the last turn was answered, or `settle_s` passed without a reply."""
    if agent not in ("listening", "idle") or caller == "speaking" or speech_pending:
        return False
    answered = turns.agent_stopped_s > turns.caller_stopped_s
    return answered or now_s - turns.caller_stopped_s > settle_s


class Handover:
    """Hands one call over, when asked to."""

    def __init__(
        self,
        session: AgentSession[Any],
        claims: ClaimStore,
        memory: MemoryStore | None,
        *,
        room: str,
        job: str,
        mine: Callable[[], tuple[str, str, int]],
        present: Callable[[str], bool],
        settle_s: float,
        clock: Clock,
    ) -> None:
        self._session = session
        self._claims = claims
        self._memory = memory
        self._room = room
        self._job = job
        self._mine = mine
        self._present = present
        self._settle_s = settle_s
        self._clock = clock
        self._turns = Turns()

    def watch(self) -> None:
        """Begin to follow the turns; before the session starts."""
        self._session.on("user_state_changed", self._on_caller)
        self._session.on("agent_state_changed", self._on_agent)

    def _on_caller(self, event: Any) -> None:
        if event.old_state == "speaking":
            self._turns.caller_stopped_s = self._clock.monotonic()

    def _on_agent(self, event: Any) -> None:
        if event.old_state == "speaking":
            self._turns.agent_stopped_s = self._clock.monotonic()

    async def run(self, handoff: Handoff) -> bool:
        """True when the call is the successor's: leave at once. False: it stays here."""
        session = self._session
        deadline_s = self._clock.monotonic() + BOUNDARY_LIMIT_S
        while not self._boundary():
            if self._clock.monotonic() > deadline_s:
                return False
            await self._clock.sleep(_LOOK_EVERY_S)
        session.input.set_audio_enabled(False)
        if self._memory is not None:
            await self._memory.flush(_FLUSH_LIMIT_S)
        session.output.set_audio_enabled(False)
        if await self._hand_over(handoff):
            return True
        session.output.set_audio_enabled(True)
        session.input.set_audio_enabled(True)
        return False

    def _boundary(self) -> bool:
        session = self._session
        return at_boundary(
            session.agent_state,
            session.user_state,
            session.current_speech is not None,
            self._turns,
            self._clock.monotonic(),
            self._settle_s,
        )

    async def _hand_over(self, handoff: Handoff) -> bool:
        try:
            return await self._claims.hand_over(self._room, job=self._job) is not Yielded.KEPT
        except UnknownStateError:
            log.warning("not known whether the call was handed over, asking", room=self._room)
        # It may have been: whoever speaks now may speak beside the successor.
        sid, worker, epoch = self._mine()
        deadline_s = self._clock.monotonic() + _SETTLE_LIMIT_S
        while self._clock.monotonic() < deadline_s:
            try:
                live = await self._claims.live(self._room, sid, worker=worker, job=self._job, epoch=epoch)
            except UnknownStateError:
                await self._clock.sleep(0.25)
            else:
                return live is None
        return self._present(agent_identity(handoff.to_job))


async def wait_for_turn(claims: ClaimStore, room: str, job: str, woken: asyncio.Event, limit_s: float) -> bool:
    """As the successor: say that we are ready until the call is ours (True) or will not be (False)."""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    turn = await claims.ready(room, job=job)
                except UnknownStateError:
                    turn = Turn.WAIT
                if turn is not Turn.WAIT:
                    return turn is Turn.OURS
                woken.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await woken.wait()
    except TimeoutError:
        return False
