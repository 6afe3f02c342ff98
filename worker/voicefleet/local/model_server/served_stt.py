"""Speech to text by a model of the worker's model server; the base of `WhisperSTT` and `PocketSphinxSTT`."""

from __future__ import annotations

from typing import Any, ClassVar

from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, NotGivenOr, stt, utils
from livekit.agents.types import NOT_GIVEN

from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.model_server.protocol import SAMPLE_RATE


class ServedSTT(stt.STT[Any]):
    """Recognises one utterance at a time; the session's VAD says where an utterance begins and ends.

    Args:
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.
        options: for the model, sent with each request.
    """

    required_models: ClassVar[tuple[str, ...]] = ()
    """What the worker must load for this provider: names that the model server knows."""

    def __init__(self, *, socket_path: str | None, options: dict[str, Any]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._client = ModelClient(socket_path)
        self._options = options

    @property
    def model(self) -> str:
        return self.required_models[0]

    @property
    def provider(self) -> str:
        return "voicefleet-local"

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        reply = await self._client.recognize(
            self.model, to_model_rate(frame), options=self._options, limit_s=conn_options.timeout
        )
        heard = stt.SpeechData(
            language=LanguageCode("en"),
            text=reply.text,
            end_time=frame.duration,
            confidence=reply.confidence_ratio,
        )
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            request_id=utils.shortuuid("stt_"),
            alternatives=[heard],
        )


def to_model_rate(frame: rtc.AudioFrame) -> bytes:
    """The frame as 16 kHz mono s16le: done here, so that the work is spread over the job processes."""
    if frame.num_channels > 1:
        # The first channel: a telephone or microphone track carries the same in each.
        frame = rtc.AudioFrame(
            bytes(frame.data[:: frame.num_channels]), frame.sample_rate, 1, frame.samples_per_channel
        )
    if frame.sample_rate == SAMPLE_RATE:
        return bytes(frame.data.cast("b"))
    resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE, quality=rtc.AudioResamplerQuality.MEDIUM)
    parts = [*resampler.push(frame), *resampler.flush()]
    return b"".join(bytes(part.data.cast("b")) for part in parts)
