"""Plays the waiting message to the waiting callers of one region, one replica at a time, and counts the results."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.contract.languages import widening
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.waiting_voice import is_waiting_voice
from voicefleet.controller.calls.snapshots import Call
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.ports import LiveKitPort
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.settings.waiting_message import WaitingMessageSettings
from voicefleet.controller.waiting_message.decide import Wait, begun_anew, due, follow
from voicefleet.controller.waiting_message.protocol import Result
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient
from voicefleet.runtime.tasks import cancel_and_wait

LOOK_EVERY_S = 0.5
RETRY_MS = 2_000
"""A caller who could not be spoken to is tried again after this."""
OTHERS_MS = 1_000
"""Another replica speaks to this caller; it may die, so it is asked again after this."""
_EARLY_MS = 250

log = get_logger(__name__)


class Voice(Protocol):
    """What speaks in a room."""

    @property
    def free(self) -> int:
        """How many more rooms it can speak to now."""
        ...

    async def say(self, *, url: str, token: str, room: str, audio: Path, agent_name: str) -> Result:
        """Play a recording to `room` once, until an agent of `agent_name` comes; returns when that is over, in bounded
        time."""
        ...


class WaitingMessages:
    """Speaks to the waiting calls of one region.

    Args:
        language_of: the language of the call in a room (BCP 47), empty when nobody knows; does not raise.
    """

    def __init__(
        self,
        region: RegionSettings,
        settings: WaitingMessageSettings,
        livekit: LiveKitPort,
        redis: RedisClient,
        voice: Voice,
        metrics: Metrics,
        language_of: Callable[[str], Awaitable[str]],
    ) -> None:
        self._region = region
        self._settings = settings
        self._livekit = livekit
        self._redis = redis
        self._voice = voice
        self._metrics = metrics
        self._language_of = language_of
        self._keys = Keys(region.name)
        self._waits: dict[str, Wait] = {}
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._looking = asyncio.Lock()

    async def look(self, calls: Sequence[Call], now_ms: int) -> None:
        """Have every caller spoken to who is due; returns at once, bounded by Redis's time-out.

        Several loops may call it. A call that is missing in `calls` is not forgotten for 20 s.

        Args:
            calls: the region's calls, as far as they are known.
            now_ms: the time now, on the clock of their `joined_ms`.
        """
        async with self._looking:
            known, self._waits = self._waits, follow(self._waits, calls, now_ms)
            await self._release(begun_anew(known, self._waits))
            ripe = due(calls, self._waits, now_ms, after_ms=round(self._settings.after_s * 1000))
            rooms = [room for room in ripe if room not in self._speaking][: max(0, self._voice.free)]
            granted, alone = await self._ask(rooms)
            for room in rooms:
                every_ms = round(self._settings.every_s * 1000) if room in granted else OTHERS_MS
                self._not_before(room, now_ms + every_ms)
            for room in granted:
                task = asyncio.create_task(self._speak(room, now_ms, alone=alone), name=f"waiting message to {room}")
                self._speaking[room] = task

    async def close(self) -> None:
        """Stop waiting for what is being said."""
        await cancel_and_wait(list(self._speaking.values()))

    async def _ask(self, rooms: Sequence[str]) -> tuple[list[str], bool]:
        """The rooms that no other replica speaks to, and whether that is sure. With Redis away, nobody can know."""
        if not rooms:
            return [], True
        # It ends a little earlier than our own pause, or our next turn would find it still there.
        ttl_ms = round(self._settings.every_s * 1000) - _EARLY_MS
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for room in rooms:
                    pipe.set(self._keys.waiting_message(room), "1", nx=True, px=ttl_ms)
                answers = await pipe.execute()
        except REDIS_FAILURES as error:
            log.info(
                "Redis unreachable, speaking to waiting callers anyway",
                region=self._region.name,
                error=type(error).__name__,
            )
            return list(rooms), False
        return [room for room, taken in zip(rooms, answers, strict=True) if taken], True

    async def _release(self, rooms: Sequence[str]) -> None:
        if not rooms:
            return
        try:
            await self._redis.delete(*(self._keys.waiting_message(room) for room in rooms))
        except REDIS_FAILURES as error:
            log.debug("waiting message keys not deleted", region=self._region.name, error=type(error).__name__)

    async def _speak(self, room: str, now_ms: int, *, alone: bool) -> None:
        try:
            result = await self._say(room, alone=alone)
        finally:
            self._speaking.pop(room, None)
        self._metrics.counters[catalogue.WAITING_MESSAGES].labels(self._region.name, str(result)).inc()
        if result in (Result.SPOKEN, Result.OTHER_VOICE):
            return
        # The caller heard nothing, or not all, and may still be waiting.
        self._not_before(room, now_ms + RETRY_MS)
        await self._release([room])

    async def _say(self, room: str, *, alone: bool) -> Result:
        """Look into the room first: a token for a room that has ended would make a new one."""
        try:
            there = await self._livekit.list_participants(room)
        except UnknownStateError as error:
            log.info("participants unknown, speaking anyway", region=self._region.name, room=room, error=str(error))
        else:
            if not any(p.caller for p in there):
                return Result.NO_CALLER
            # A transcriber or an avatar speaks to nobody.
            if any(p.serves or p.neighbour for p in there):
                return Result.AGENT_CAME
            if not alone and any(is_waiting_voice(p.identity) and not p.caller for p in there):
                return Result.OTHER_VOICE
        wanted = await self._language_of(room)
        language, recording = self._settings.recording(wanted)
        if wanted and language not in widening(wanted):
            log.info("no waiting message in the call's language", region=self._region.name, room=room, spoken=language)
        token = self._livekit.mint_waiting_voice(room, recording.text)
        url = self._region.livekit.url
        return await self._voice.say(
            url=url, token=token, room=room, audio=recording.path, agent_name=self._region.agent_name
        )

    def _not_before(self, room: str, at_ms: int) -> None:
        if (wait := self._waits.get(room)) is not None:
            self._waits[room] = dataclasses.replace(wait, not_before_ms=at_ms)
