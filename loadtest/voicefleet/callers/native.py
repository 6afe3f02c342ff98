"""Callers held by LiveKit's Python SDK in this process: the reference ear, a real client with its jitter buffer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from livekit import rtc

from voicefleet.callers.connection import RoomConnection
from voicefleet.callers.media import MediaMeter, MediaStats
from voicefleet.callers.port import CallerClient, ClientSettings, EngineFacts, RoomAct, RoomListener
from voicefleet.callers.tracks import SpeechSource, TrackListener
from voicefleet.contract.api import CallTicket
from voicefleet.contract.waiting_voice import is_waiting_voice
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.telephone import KEYS

_PUBLISH_GRACE_S = 2.0
_STATS_EVERY_S = 5.0
_STATS_LIMIT_S = 1.0


class NativeEngine:
    """The Python SDK."""

    facts = EngineFacts("python", playout_delay_s=0.0)

    async def prepare(self, utterances: Sequence[Utterance], background: Samples | None) -> None:
        """Nothing: the SDK encodes while a caller speaks."""

    def client(
        self,
        call_id: str,
        ticket: CallTicket,
        listener: RoomListener,
        wishes: ClientSettings,
        clock: Clock,
    ) -> CallerClient:
        """See `port.CallerEngine`."""
        return NativeClient(ticket, listener, wishes, clock)


class NativeClient:
    """One caller in one room; see `port.CallerClient`."""

    def __init__(
        self,
        ticket: CallTicket,
        listener: RoomListener,
        wishes: ClientSettings,
        clock: Clock,
    ) -> None:
        self._listener = listener
        self._wishes = wishes
        self._clock = clock
        self._connection = RoomConnection(ticket, wishes.connect_timeout_s, wishes.options)
        self.room = self._connection.room
        self._inside = False
        self._source: SpeechSource | None = None
        self._publishing: asyncio.Task[rtc.LocalTrackPublication] | None = None
        self._listeners: dict[str, TrackListener] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._meter = MediaMeter()
        self._measuring: asyncio.Task[None] | None = None

    async def join(self) -> str | None:
        """See `port.CallerClient`."""
        room = self.room
        room.on("participant_connected", self._on_participant)
        room.on("participant_disconnected", self._on_participant_left)
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("participant_attributes_changed", self._on_attributes)
        room.on("reconnecting", lambda: self._listener.connection("reconnecting", self._clock.monotonic()))
        room.on("reconnected", lambda: self._listener.connection("reconnected", self._clock.monotonic()))
        room.on("disconnected", self._on_disconnected)
        return await self._connection.join(self._enter)

    async def publish(self) -> None:
        """See `port.CallerClient`."""
        self._source = SpeechSource(self._clock, self._wishes.background)
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        self._publishing = asyncio.create_task(
            self.room.local_participant.publish_track(self._source.track, microphone)
        )
        await asyncio.wait({self._publishing}, timeout=self._wishes.connect_timeout_s)
        if not self._publishing.done():
            raise RuntimeError("the caller's track was not published in time")
        try:
            self._publishing.result()
        except rtc.participant.PublishTrackError as error:
            raise RuntimeError(repr(error)) from error
        self._measuring = asyncio.create_task(self._measure(), name="caller-media")

    async def until_silent(self) -> None:
        """See `port.CallerClient`."""
        await self._speaking().until_silent()

    async def say(self, utterance: Utterance) -> float:
        """See `port.CallerClient`."""
        return await self._speaking().say(utterance.samples)

    async def press(self, keys: str) -> None:
        """See `port.CallerClient`."""
        for key in keys:
            try:
                await self.room.local_participant.publish_dtmf(code=KEYS.index(key), digit=key)
            except rtc.participant.PublishDTMFError as error:
                raise RuntimeError(repr(error)) from error

    async def act(self, act: RoomAct) -> None:
        """See `port.CallerClient`."""
        await act(self.room)

    async def leave(self) -> None:
        """See `port.CallerClient`."""
        if self._publishing is not None:
            # Cancelled halfway, the SDK is still told of the track, and stumbles over it in the log.
            await asyncio.wait({self._publishing}, timeout=_PUBLISH_GRACE_S)
            if self._publishing.done() and not self._publishing.cancelled():
                self._publishing.exception()  # retrieved: whoever was interrupted has another error to tell
            self._publishing.cancel()
        self._connection.gave_up = True
        await self._stop_measuring()
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()
        listeners, self._listeners = list(self._listeners.values()), {}
        await asyncio.gather(*(listener.aclose() for listener in listeners), *self._closing)
        await self._connection.leave()

    @property
    def media(self) -> MediaStats | None:
        """See `port.CallerClient`."""
        return self._meter.result() if self._measuring is not None else None

    async def _measure(self) -> None:
        while True:
            await self._clock.sleep(_STATS_EVERY_S)
            await self._read_media()

    async def _read_media(self) -> None:
        # A room that is going away has none any more: what was read before stands.
        with contextlib.suppress(RuntimeError, TimeoutError):
            async with asyncio.timeout(_STATS_LIMIT_S):
                told = await self.room.get_rtc_stats()
            self._meter.read([*told.publisher_stats, *told.subscriber_stats])

    async def _stop_measuring(self) -> None:
        if self._measuring is None or self._measuring.done():
            return
        await cancel_and_wait([self._measuring])
        await self._read_media()

    def _speaking(self) -> SpeechSource:
        if self._source is None:
            raise RuntimeError("the caller's audio is not there")
        return self._source

    def _enter(self) -> None:
        self._inside = True
        self._listener.entered(self._clock.monotonic())
        for participant in self.room.remote_participants.values():
            self._on_participant(participant)

    def _on_participant(self, participant: rtc.RemoteParticipant) -> None:
        if self._inside and _speaks(participant):
            self._listener.participant_joined(participant.identity, self._clock.monotonic())

    def _on_participant_left(self, participant: rtc.RemoteParticipant) -> None:
        if self._inside and _speaks(participant):
            self._listener.participant_left(participant.identity, self._clock.monotonic())

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        # Only the voice: an agent's background sound is a track of another source.
        is_voice = publication.source == rtc.TrackSource.SOURCE_MICROPHONE and isinstance(track, rtc.RemoteAudioTrack)
        if not self._inside or self._connection.gave_up or not is_voice or not _speaks(participant):
            return
        who, told = participant.identity, self._listener
        told.track_arrived(who, self._clock.monotonic())
        self._listeners[publication.sid] = TrackListener(
            track,
            self._clock,
            began=lambda t_s: told.voice_began(who, t_s),
            ended=lambda t_s: told.voice_ended(who, t_s),
            heard=None if is_waiting_voice(who) else self._wishes.heard,
        )

    def _on_attributes(self, changed: Mapping[str, str], participant: rtc.Participant) -> None:
        if self._inside and isinstance(participant, rtc.RemoteParticipant) and _speaks(participant):
            self._listener.attributes_changed(participant.identity, changed, self._clock.monotonic())

    def _on_track_gone(
        self, _track: rtc.Track, publication: rtc.RemoteTrackPublication, _who: rtc.RemoteParticipant
    ) -> None:
        listener = self._listeners.pop(publication.sid, None)
        if listener is not None:
            task = asyncio.create_task(listener.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _on_disconnected(self, _reason: object) -> None:
        if self._inside:
            self._listener.disconnected(self._clock.monotonic())


def _speaks(participant: rtc.RemoteParticipant) -> bool:
    """An agent or a waiting voice."""
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
