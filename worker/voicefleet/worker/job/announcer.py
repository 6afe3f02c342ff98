"""Tells the room that the agent's next words stand in for an answer; see `contract.apologies`."""

from __future__ import annotations

import asyncio

from livekit import rtc

from voicefleet.contract.apologies import APOLOGY_ATTRIBUTE, apology_notice
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger

log = get_logger(__name__)


class Announcer:
    """Of one agent in one room."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._announced = 0
        self._setting: set[asyncio.Task[None]] = set()

    def announce(self, reason: str) -> None:
        """Set the notice beside the words, which are not held back for it. Never raises."""
        self._announced += 1
        setting = asyncio.create_task(self._set(apology_notice(self._announced, reason)))
        self._setting.add(setting)
        setting.add_done_callback(self._setting.discard)

    async def _set(self, notice: str) -> None:
        try:
            await self._room.local_participant.set_attributes({APOLOGY_ATTRIBUTE: notice})
        except Exception as error:  # a room that is going away, or was never joined: nobody is there to be told
            log.info("the room was not told of the apology", error=error_summary(error))
