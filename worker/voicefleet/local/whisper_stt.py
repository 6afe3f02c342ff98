"""Speech to text by Whisper (English, offline)."""

from __future__ import annotations

from typing import ClassVar

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server.served_stt import ServedSTT

_WINDOWS_S = (10, 15, 30)


class WhisperSTT(ServedSTT):
    """Whisper tiny.en on the CPU: about 0.1 s of one core for a question of 2 s.

    Args:
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.
        window_s: shortest window that the model computes, 10, 15 or 30 s. Longer costs in proportion (30: 0.5 s) and
            errs a little less; speech longer than the window gets a longer one in any case.
        beam_size: 1-5 hypotheses kept while decoding; 1 is the fastest.

    Raises:
        ConfigError: an argument is out of its range.
    """

    required_models: ClassVar[tuple[str, ...]] = ("whisper",)

    def __init__(self, *, socket_path: str | None = None, window_s: int = 10, beam_size: int = 1) -> None:
        if window_s not in _WINDOWS_S:
            raise ConfigError(
                "not a window of Whisper's", field="stt.args.window_s", value=window_s, hint="Use 10, 15 or 30."
            )
        if not 1 <= beam_size <= 5:
            raise ConfigError(
                "out of range", field="stt.args.beam_size", value=beam_size, hint="Use a number from 1 to 5."
            )
        super().__init__(socket_path=socket_path, options={"window_s": window_s, "beam_size": beam_size})


class WhisperBaseSTT(WhisperSTT):
    """Whisper base (multilingual) on the CPU: about twice the time of tiny.en; needs `voicefleet[local,models]`.

    Larger is not better for every voice: on flite's voices it errs no less than tiny.en. Compare them on your callers.

    Args and errors as of `WhisperSTT`.
    """

    required_models: ClassVar[tuple[str, ...]] = ("whisper-base",)
