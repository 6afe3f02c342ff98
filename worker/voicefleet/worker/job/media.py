"""Watches a job's own media path to LiveKit: whether anything still arrives, and the answers to probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import DTLS_TRANSPORT_CONNECTED

from voicefleet.contract.probe import ALIVE_ATTRIBUTE, MAX_NONCE_BYTES, PROBE_TOPIC
from voicefleet.runtime.clock import Clock

TROUBLE = "media"
STALLED_AFTER_S = 2.5
"""Nothing arrived for so long: LiveKit itself sends connection checks more often than this. A handshake that is not
over counts as nothing: on a bad path it may never end, while ICE's checks go on being answered (LiveKit gives such an
agent up after 10 s, too late for the caller)."""
_LOOK_EVERY_S = 1.0
_STATS_LIMIT_S = 1.0


class Media:
    """Watches one room. `trouble` is empty while all is well; it is a reason to look, not a verdict.

    `readings` is given the RTC statistics that are read for it, both lists in one.
    """

    def __init__(self, room: rtc.Room, clock: Clock) -> None:
        self.readings: Callable[[list[Any]], None] = lambda _: None
        self._room = room
        self._clock = clock
        self._received = -1
        self._moved_s = clock.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        room.on("data_received", self._on_data)

    @property
    def trouble(self) -> str:
        return TROUBLE if self._clock.monotonic() - self._moved_s > STALLED_AFTER_S else ""

    def watch(self) -> None:
        """Begin; to be called once in the room."""
        self._moved_s = self._clock.monotonic()
        self._task = asyncio.create_task(self._look())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            received = await self._count()
            connected = self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED
            if connected and received != self._received:
                self._received, self._moved_s = received, self._clock.monotonic()

    async def _count(self) -> int:
        """Bytes received and connection checks answered so far, over all transports; as before when nobody says, or
        while no transport is through its handshake."""
        try:
            async with asyncio.timeout(_STATS_LIMIT_S):
                stats = await self._room.get_rtc_stats()
        except Exception:  # whatever the native side makes of a room that is going away: unknown
            return self._received
        every = [*stats.publisher_stats, *stats.subscriber_stats]
        self.readings(every)
        transports = [one.transport.transport for one in every if one.HasField("transport")]
        if not any(transport.dtls_state == DTLS_TRANSPORT_CONNECTED for transport in transports):
            return self._received
        pairs = [one.candidate_pair.candidate_pair for one in every if one.HasField("candidate_pair")]
        return sum(pair.bytes_received + pair.responses_received for pair in pairs)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        # Only the server can send without being a participant: a caller cannot make the job answer.
        if packet.topic == PROBE_TOPIC and packet.participant is None:
            nonce = packet.data[:MAX_NONCE_BYTES].decode("utf-8", "replace")
            task = asyncio.create_task(self._room.local_participant.set_attributes({ALIVE_ATTRIBUTE: nonce}))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
