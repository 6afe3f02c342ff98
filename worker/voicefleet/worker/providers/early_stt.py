"""A recogniser that takes whole utterances, asked before the utterance is surely over.

livekit-agents asks such a recogniser once the voice detector has heard enough silence, and only then come the LLM and
the voice: the caller waits for all of them in turn. Here the words so far are recognised as soon as the caller falls
silent, and given as a *preflight* transcript, from which livekit-agents prepares an answer that nobody hears yet:

    caller's last word --after_s--> recognised, an answer is prepared --rest of the silence--> the turn is over: speak

Whether the turn is over is decided as before, by the same silence: a caller who goes on is not cut off more often,
the early words are thrown away, and what they have cost is one request. The final transcript of an utterance whose
early words stood is those same words, at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, NotGivenOr, stt, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger

_NO_RETRY = APIConnectOptions(max_retry=0)
"""The recogniser has retries of its own."""

_CLOCK = SystemClock()

log = get_logger(__name__)


class EarlySTT(stt.StreamAdapter):
    """`recogniser`, which does not stream, asked `after_s` seconds into each silence.

    Args:
        voice: says where an utterance begins and ends.
        after_s: silence after which the words so far are recognised; None: only at the end of the utterance.
        tries: requests before its end that one utterance may cost.
    """

    def __init__(self, recogniser: stt.STT[Any], voice: vad.VAD, *, after_s: float | None, tries: int) -> None:
        super().__init__(stt=recogniser, vad=voice)
        self.members: tuple[stt.STT[Any], ...] = (recogniser,)
        self.recogniser = recogniser
        self.voice = voice
        self.after_s = after_s
        self.tries = tries

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        if self.after_s is None:
            return super().stream(language=language, conn_options=conn_options)
        return _EarlyStream(self, self.after_s, language, conn_options)


class _EarlyStream(stt.RecognizeStream):
    def __init__(
        self, owner: EarlySTT, after_s: float, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> None:
        super().__init__(stt=owner, conn_options=_NO_RETRY)
        self._owner = owner
        self._after_s = after_s
        self._language = language
        self._recogniser_options = conn_options
        self._frames: list[rtc.AudioFrame] = []
        """The utterance so far; empty between utterances."""
        self._tried = 0
        self._early: asyncio.Task[stt.SpeechEvent | None] | None = None
        """The request of the silence that goes on; None once the caller has spoken again."""

    async def _metrics_monitor_task(self, event_aiter: Any) -> None:
        async for _ in event_aiter:  # The recogniser counts its own.
            pass

    async def _run(self) -> None:
        voice = self._owner.voice.stream()
        listening = asyncio.create_task(self._listen(voice))
        following = asyncio.create_task(self._follow(voice))
        try:
            await asyncio.gather(listening, following)
        finally:
            self._drop_early()
            await utils.aio.cancel_and_wait(listening, following)
            await voice.aclose()

    async def _listen(self, voice: vad.VADStream) -> None:
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                # The detector forgets that somebody spoke, and will not tell of an end.
                self._frames = []
                self._drop_early()
                voice.flush()
            else:
                voice.push_frame(frame)
        voice.end_input()

    async def _follow(self, voice: vad.VADStream) -> None:
        async for event in voice:
            if event.type is vad.VADEventType.START_OF_SPEECH:
                self._frames, self._tried = list(event.frames), 0
                self._drop_early()
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
            elif event.type is vad.VADEventType.INFERENCE_DONE:
                self._heard(event)
            else:
                await self._ended(event)

    def _heard(self, event: vad.VADEvent) -> None:
        """A window of sound. Its sums are those before it: silence shows one window late."""
        if not self._frames:
            return
        self._frames += event.frames
        if event.raw_accumulated_speech > 0:
            self._drop_early()
        due = event.raw_accumulated_silence > 0 and event.raw_accumulated_silence >= self._after_s
        if due and self._early is None and self._tried < self._owner.tries:
            self._tried += 1
            self._early = asyncio.create_task(self._recognise_early(list(self._frames)))

    async def _recognise_early(self, frames: list[rtc.AudioFrame]) -> stt.SpeechEvent | None:
        """The words so far; None: the recogniser failed, and is asked again at the end, where a failure counts."""
        try:
            heard = await self._recognise(frames)
        except Exception as error:
            log.debug("the words so far were not recognised", error=error_summary(error))
            return None
        if heard.alternatives and heard.alternatives[0].text:
            self._event_ch.send_nowait(
                stt.SpeechEvent(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, alternatives=[heard.alternatives[0]])
            )
        return heard

    async def _ended(self, event: vad.VADEvent) -> None:
        ended_at = _CLOCK.wall().timestamp() - event.silence_duration - event.inference_duration
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH, speech_end_time=ended_at))
        self._frames = []
        early, self._early = self._early, None
        heard = await early if early is not None else None
        if heard is None:
            heard = await self._recognise(event.frames)
        if heard.alternatives and heard.alternatives[0].text:
            self._event_ch.send_nowait(
                stt.SpeechEvent(
                    stt.SpeechEventType.FINAL_TRANSCRIPT,
                    alternatives=[heard.alternatives[0]],
                    speech_end_time=ended_at if heard.speech_end_time is None else heard.speech_end_time,
                )
            )

    async def _recognise(self, frames: list[rtc.AudioFrame]) -> stt.SpeechEvent:
        return await self._owner.recogniser.recognize(
            utils.merge_frames(frames), language=self._language, conn_options=self._recogniser_options
        )

    def _drop_early(self) -> None:
        if self._early is not None:
            self._early.cancel()
            self._early = None
