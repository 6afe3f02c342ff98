"""Text to speech by a voice of the worker's model server; the base of `PiperTTS`."""

from __future__ import annotations

from livekit.agents import APIConnectionError

from voicefleet.contract.parsing.wav import WavError
from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.pcm import Speech, read_wav, trim
from voicefleet.local.sentence_tts import LEAD_S, TAIL_S, SentenceTTS


class ServedTTS(SentenceTTS):
    """Speaks one sentence after the other.

    Args:
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.
        sample_rate: the voice's own.
    """

    def __init__(self, *, socket_path: str | None, sample_rate: int) -> None:
        super().__init__(sample_rate=sample_rate)
        self._client = ModelClient(socket_path)

    @property
    def model(self) -> str:
        return self.required_models[0]

    async def speak(self, sentence: str, *, limit_s: float) -> Speech:
        wav = await self._client.speak(self.model, sentence, limit_s=limit_s)
        try:
            return trim(read_wav(wav), lead_s=LEAD_S, tail_s=TAIL_S)
        except WavError as error:
            raise APIConnectionError(f"{self.model} gave no WAV file") from error
