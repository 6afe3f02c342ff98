"""An agent whose voice comes from its avatar, another participant of the room, which an avatar provider brings there.

The audio goes to the avatar as data, and the avatar tells when it has been played. Two things follow for a call that
moves. A successor is ready only when its avatar is there, else the caller would wait for it in silence. And providers
give every avatar of an agent the same identity, so that the successor's avatar puts the holder's out of the room: what
the holder was saying is then over, and nobody will tell it so.
"""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.room_io import ATTRIBUTE_PUBLISH_ON_BEHALF

from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk

READY_LIMIT_S = 10.0
"""A successor without its avatar for so long takes the call without it: the holder has to go."""

log = get_logger(__name__)


class AvatarWatch:
    """Follows the avatar of one session. `watch` once, before or after the session has started."""

    def __init__(self, session: AgentSession[Any], room: rtc.Room) -> None:
        self._session = session
        self._room = room
        self._interrupting: set[asyncio.Future[None]] = set()
        self.lost = False
        """The avatar has left, and none that speaks for us has come: the caller does not hear the agent."""

    def watch(self) -> None:
        """Begin to follow it."""
        self._room.on("participant_connected", self._on_joined)
        self._room.on("participant_disconnected", self._on_left)

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        if participant.attributes.get(ATTRIBUTE_PUBLISH_ON_BEHALF) == self._room.local_participant.identity:
            self.lost = False

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity != sdk.avatar_of(self._session):
            return
        log.warning("the agent's avatar has left")
        self.lost = True
        if self._session.current_speech is not None:
            # Nobody will tell that it has been played.
            done = self._session.interrupt(force=True)
            self._interrupting.add(done)
            done.add_done_callback(self._interrupting.discard)


async def wait_for_avatar(session: AgentSession[Any], limit_s: float = READY_LIMIT_S) -> None:
    """Wait until the avatar of `session` takes its audio; return at once where it has none, and after `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            await sdk.avatar_ready(session)
    except TimeoutError:
        log.warning("the agent's avatar is not there", limit_s=limit_s)
