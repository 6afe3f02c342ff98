"""A streaming recogniser with fallbacks, which take over utterance by utterance when it gives no words.

livekit-agents' adapter notices only a stream that ends with an error, and then the words under way are lost; a stream
that goes quiet it never notices. So here a voice detector says where each utterance ends, and an utterance of which
the stream has made nothing in time is handed, whole, to the others. A stream that has failed is opened again; until
it gives words once more, the others are asked at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, NotGivenOr, stt, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger

_REOPEN_S = 1.0

log = get_logger(__name__)


class StreamingFallbackSTT(stt.STT[Any]):
    """Streams through `first`; `backup` recognises what `first` made nothing of within `limit_s` seconds.

    Emits ``stt_availability_changed`` with the adapters' event when it gives `first` up or takes it back.
    """

    def __init__(
        self, first: stt.STT[Any], others: Sequence[stt.STT[Any]], backup: stt.STT[Any], voice: vad.VAD, limit_s: float
    ) -> None:
        super().__init__(capabilities=replace(first.capabilities))
        self.first = first
        self.members = (first, *others)
        self.backup = backup
        self.voice = voice
        self.limit_s = limit_s
        self.first_is_up = True
        first.on("metrics_collected", self._forward_metrics)
        backup.on("metrics_collected", self._forward_metrics)

    @property
    def model(self) -> str:
        return self.first.model

    @property
    def provider(self) -> str:
        return self.first.provider

    def prewarm(self) -> None:
        self.first.prewarm()

    def set_first(self, *, up: bool) -> None:
        if up is not self.first_is_up:
            self.first_is_up = up
            log.warning("streaming recogniser changed", stt=self.first.label, available=up)
            self.emit("stt_availability_changed", stt.AvailabilityChangedEvent(stt=self.first, available=up))

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        return await self.backup.recognize(buffer, language=language, conn_options=conn_options)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        # Retries are this class's own: a failure of the first must not end the stream.
        return _FallbackStream(self, language, replace(conn_options, max_retry=0))

    async def aclose(self) -> None:
        self.first.off("metrics_collected", self._forward_metrics)
        self.backup.off("metrics_collected", self._forward_metrics)
        await self.backup.aclose()
        await self.first.aclose()

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self.first._update_session_keyterms(keyterms)

    def _push_conversation_item(self, ev: Any) -> None:
        self.first._push_conversation_item(ev)

    def _forward_metrics(self, *args: Any) -> None:
        self.emit("metrics_collected", *args)


class _FallbackStream(stt.RecognizeStream):
    def __init__(self, owner: StreamingFallbackSTT, language: NotGivenOr[str], conn_options: APIConnectOptions) -> None:
        super().__init__(stt=owner, conn_options=conn_options)
        self._owner = owner
        self._language = language
        self._inner: stt.RecognizeStream | None = None
        self._voice = owner.voice.stream()
        self._settled = asyncio.Event()
        self._has_words = False
        self._utterance = 0
        self._taken_over = 0
        self._fallbacks: set[asyncio.Task[None]] = set()

    async def _metrics_monitor_task(self, event_aiter: Any) -> None:
        async for _ in event_aiter:  # The providers count their own.
            pass

    async def _run(self) -> None:
        reopening = asyncio.create_task(self._keep_open())
        watching = asyncio.create_task(self._watch())
        try:
            await self._feed()
            if self._inner is not None:
                await reopening  # Its last words.
            await watching
            await asyncio.gather(*self._fallbacks)
        finally:
            await utils.aio.cancel_and_wait(reopening, watching, *self._fallbacks)
            await self._voice.aclose()

    async def _feed(self) -> None:
        async for data in self._input_ch:
            if isinstance(data, rtc.AudioFrame):
                self._voice.push_frame(data)
            if self._inner is None:
                continue
            try:
                self._inner.push_frame(data) if isinstance(data, rtc.AudioFrame) else self._inner.flush()
            except RuntimeError:
                self._inner = None  # It has ended; `_keep_open` is about to notice.
        self._voice.end_input()
        if self._inner is not None:
            self._inner.end_input()

    async def _keep_open(self) -> None:
        while True:
            try:
                self._inner = self._owner.first.stream(language=self._language, conn_options=self._conn_options)
                self._inner.start_time_offset = self.start_time_offset + _wall_s() - self._start_time
                async with self._inner as stream:
                    async for event in stream:
                        self._heard(event)
                if self._input_ch.closed:
                    return
            except Exception as error:
                # Not only APIError: livekit's own pump stops for good at any other.
                log.warning("streaming recogniser failed", stt=self._owner.first.label, error=error_summary(error))
            self._inner = None
            self._owner.set_first(up=False)
            self._settled.set()  # Nothing more comes for the words under way.
            await asyncio.sleep(_REOPEN_S)

    def _heard(self, event: stt.SpeechEvent) -> None:
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and any(a.text for a in event.alternatives):
            self._owner.set_first(up=True)
            if self._taken_over == self._utterance != 0:
                return  # Too late: another has the same words.
            self._has_words = True
            self._settled.set()
        self._event_ch.send_nowait(event)

    async def _watch(self) -> None:
        async for event in self._voice:
            if event.type is vad.VADEventType.START_OF_SPEECH:
                self._utterance += 1
                self._has_words = False
                self._settled.clear()
            elif event.type is vad.VADEventType.END_OF_SPEECH:
                task = asyncio.create_task(self._fall_back(self._utterance, event.frames))
                self._fallbacks.add(task)
                task.add_done_callback(self._fallbacks.discard)

    async def _fall_back(self, utterance: int, frames: list[rtc.AudioFrame]) -> None:
        owner = self._owner
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(owner.limit_s if owner.first_is_up else 0):
                await self._settled.wait()
        if self._has_words and utterance == self._utterance:
            return
        self._taken_over = utterance
        try:
            event = await owner.backup.recognize(frames, language=self._language, conn_options=self._conn_options)
        except APIError as error:
            self._emit_error(error, recoverable=False)
            return
        if not any(a.text for a in event.alternatives):
            return  # A noise: the first was right to make nothing of it.
        owner.set_first(up=False)
        self._event_ch.send_nowait(event)


def _wall_s() -> float:
    """Now, on the clock that livekit-agents dates its streams by."""
    return SystemClock().wall().timestamp()
