"""Text to speech by Piper (GPL-3: a program beside ours, opt-in), with the voice joe."""

from __future__ import annotations

from typing import ClassVar

from voicefleet.local.model_server.served_tts import ServedTTS

SAMPLE_RATE = 22_050


class PiperTTS(ServedTTS):
    """Speaks with a neural voice (en_US, joe, medium); needs `voicefleet[local,piper]`.

    Args:
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.
    """

    required_models: ClassVar[tuple[str, ...]] = ("piper",)

    def __init__(self, *, socket_path: str | None = None) -> None:
        super().__init__(socket_path=socket_path, sample_rate=SAMPLE_RATE)
