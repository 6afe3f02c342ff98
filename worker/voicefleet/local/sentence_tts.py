"""Text to speech, one sentence after the other: the base of the local voices, which speak whole sentences."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

from livekit import rtc
from livekit.agents import APIConnectOptions, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from voicefleet.local.pcm import Speech

LEAD_S = 0.01
"""Voices begin with up to 0.2 s of silence, every bit of which the caller would wait for."""
TAIL_S = 0.15
"""The pause before the next sentence."""


def sentences(text: str) -> list[str]:
    """The sentences of `text`, so that the first one can be heard while the others are made."""
    return [s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if re.search(r"\w", s)]


class SentenceTTS(tts.TTS[Any]):
    """For livekit-agents a TTS that does not stream: a chunk of audio for each sentence, mono, at `sample_rate`."""

    required_models: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, sample_rate: int) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=sample_rate, num_channels=1)

    @property
    def provider(self) -> str:
        return "voicefleet-local"

    @abstractmethod
    async def speak(self, sentence: str, *, limit_s: float) -> Speech:
        """One sentence as speech, silence trimmed, within `limit_s` seconds.

        Raises:
            APITimeoutError: it took longer.
            APIConnectionError: the voice failed.
        """

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Sentences(self, text, conn_options)


class _Sentences(tts.ChunkedStream):
    def __init__(self, voice: SentenceTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, input_text=text, conn_options=conn_options)
        self._voice = voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        rate = self._voice.sample_rate
        output_emitter.initialize(
            request_id=utils.shortuuid("speech_"), sample_rate=rate, num_channels=1, mime_type="audio/pcm"
        )
        for sentence in sentences(self.input_text):
            output_emitter.push(_at_rate(await self._voice.speak(sentence, limit_s=self._conn_options.timeout), rate))
        output_emitter.flush()


def _at_rate(speech: Speech, rate: int) -> bytes:
    """The samples at `rate`: voices have it, but what they wrote has the last word."""
    raw = speech.samples.tobytes()
    if speech.sample_rate == rate or not raw:
        return raw
    resampler = rtc.AudioResampler(speech.sample_rate, rate)
    return b"".join(bytes(f.data.cast("b")) for f in [*resampler.push(bytearray(raw)), *resampler.flush()])
