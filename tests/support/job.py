"""A job of a worker, made up: an agent in a room that holds a claim, listens on its channel and answers probes.

Each of its signs of life can be switched off, so that a test can have any way of dying. It says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import redis.asyncio
from livekit import api, rtc

from voicefleet.contract.claims import RENEW_EVERY_S, agent_identity
from voicefleet.contract.keys import Keys
from voicefleet.contract.probe import ALIVE_ATTRIBUTE, PROBE_TOPIC, WORKER_ATTRIBUTE
from voicefleet.runtime.redis.claim_store import ClaimStore, Renewed
from voicefleet.runtime.redis.connection import REDIS_FAILURES, Scripts
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.stack import servers


@dataclass
class FakeJob:
    """JoinCounter with `start()`; `leave()` ends it in good order."""

    livekit: servers.LiveKit
    redis_url: str
    room: str
    worker: str
    job: str
    region: str = "eu"
    renews: bool = True
    answers: bool = True
    trouble: str = ""
    joins_only: bool = False
    """It says no word to Redis unless told to `hold`."""
    epoch: int = 0
    lost: bool = False
    """Its claim is another's now."""
    removed: asyncio.Event = field(default_factory=asyncio.Event)
    """It is out of the room."""

    async def start(self) -> FakeJob:
        grants = api.VideoGrants(room_join=True, room=self.room, agent=True, can_update_own_metadata=True)
        token = api.AccessToken(self.livekit.api_key, self.livekit.api_secret).with_grants(grants).with_kind("agent")
        jwt = token.with_identity(agent_identity(self.job)).with_attributes({WORKER_ATTRIBUTE: self.worker}).to_jwt()
        self._tasks: list[asyncio.Task[None]] = []
        self._room = rtc.Room()
        self._room.on("disconnected", lambda *_: self.removed.set())
        self._room.on("data_received", self._on_data)
        await self._room.connect(self.livekit.url, jwt)
        self._redis = redis.asyncio.Redis.from_url(self.redis_url, decode_responses=True, socket_timeout=1.0)
        self.claims = ClaimStore(Scripts(self._redis), self.region)
        self._listener = asyncio.create_task(self._listen())
        self._tasks.append(self._listener)
        if not self.joins_only:
            await self.hold()
        return self

    async def hold(self) -> None:
        """Take the claim, or find that it is this job's by now, and keep it."""
        await self._renew()
        self._tasks.append(asyncio.create_task(self._keep()))

    async def deafen(self) -> None:
        """It listens no more, as when its process is gone."""
        await cancel_and_wait([self._listener])

    async def die(self) -> None:
        """As kill -9: no renewals, no listener, no answers; LiveKit still shows it for a while."""
        self.renews = self.answers = False
        await self.deafen()

    def stall(self) -> None:
        """As SIGSTOP: its connections stay."""
        self.renews = self.answers = False

    async def leave(self) -> None:
        await cancel_and_wait(self._tasks)
        await self._room.disconnect()
        await self._redis.aclose()

    async def _listen(self) -> None:
        channel = Keys(self.region).job_channel(self.job)
        while True:
            with contextlib.suppress(*REDIS_FAILURES):
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(channel)
                    while True:
                        await pubsub.get_message(timeout=1.0)
            await asyncio.sleep(0.2)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            connected = self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED
            if self.renews and connected and not self.lost:
                with contextlib.suppress(Exception):
                    await self._renew()

    async def _renew(self) -> None:
        held = await self.claims.renew(
            self.room, "", worker=self.worker, job=self.job, epoch=self.epoch, trouble=self.trouble
        )
        if isinstance(held, Renewed):
            self.epoch = held.epoch
        else:
            self.lost = True

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == PROBE_TOPIC and packet.participant is None and self.answers:
            alive = self._room.local_participant.set_attributes({ALIVE_ATTRIBUTE: packet.data.decode()})
            self._tasks.append(asyncio.create_task(alive))
