"""Speech to text by PocketSphinx (US English, offline)."""

from __future__ import annotations

from typing import ClassVar

from voicefleet.local.model_server.served_stt import ServedSTT


class PocketSphinxSTT(ServedSTT):
    """PocketSphinx on the CPU: about 0.25 s of one core for a question of 2 s, lower case, no punctuation.

    Args:
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.
    """

    required_models: ClassVar[tuple[str, ...]] = ("pocketsphinx",)

    def __init__(self, *, socket_path: str | None = None) -> None:
        super().__init__(socket_path=socket_path, options={})
