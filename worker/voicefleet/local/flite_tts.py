"""Text to speech by the `flite` program (CMU's permissive licence), one short-lived process for each sentence."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APITimeoutError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.contract.parsing.wav import WavError
from voicefleet.local.pcm import Speech, read_wav, trim

VOICES = ("slt", "awb", "rms", "kal16")
SAMPLE_RATE = 16_000

_LEAD_S = 0.01  # flite begins with up to 0.2 s of silence, every bit of which the caller would wait for
_TAIL_S = 0.15  # the pause before the next sentence
_LIMIT_S = 10.0


def sentences(text: str) -> list[str]:
    """The sentences of `text`, so that the first one can be heard while the others are made."""
    return [s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if re.search(r"\w", s)]


class FliteTTS(tts.TTS[Any]):
    """Speaks with one of flite's voices, 16 kHz: a sentence takes 10-60 ms of one core.

    Args:
        voice: slt (female), awb, rms or kal16 (male; the fastest).
        speed_ratio: speaking rate, 1 being the voice's own, 0.5-2.

    Raises:
        ConfigError: an argument is out of its range.
        MissingPartError: there is no `flite` on PATH.
    """

    required_models: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, voice: str = "slt", speed_ratio: float = 1.0) -> None:
        if voice not in VOICES:
            raise ConfigError(
                "not a voice of flite's", field="tts.args.voice", value=voice, hint=f"Use {', '.join(VOICES)}."
            )
        if not 0.5 <= speed_ratio <= 2.0:
            raise ConfigError(
                "out of range", field="tts.args.speed_ratio", value=speed_ratio, hint="Use a number from 0.5 to 2."
            )
        program = shutil.which("flite")
        if program is None:
            raise MissingPartError(
                "the program `flite` is not on PATH",
                field="tts.plugin",
                value="voicefleet.local.flite_tts:FliteTTS",
                hint="Install your system's package `flite`, or choose another text to speech in the tier.",
            )
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=SAMPLE_RATE, num_channels=1)
        self._voice = voice
        self._command = (program, "-voice", voice, "--setf", f"duration_stretch={1 / speed_ratio:.3f}")

    @property
    def model(self) -> str:
        return f"flite-{self._voice}"

    @property
    def provider(self) -> str:
        return "voicefleet-local"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _FliteStream(self, text, conn_options)

    async def speak(self, sentence: str, *, limit_s: float = _LIMIT_S) -> Speech:
        """One sentence as speech, silence trimmed.

        Raises:
            APITimeoutError: flite took longer than `limit_s` seconds.
            APIConnectionError: flite failed, or gave no WAV file.
        """
        with tempfile.TemporaryDirectory(prefix="voicefleet-flite-") as directory:
            # A file, since flite reads back the header of what it writes and hangs on a pipe. The text goes in by
            # stdin: arguments can be read by everyone on the machine.
            wav = Path(directory) / "speech.wav"
            await self._run(("-f", "/dev/stdin", "-o", str(wav)), sentence, limit_s)
            try:
                return trim(read_wav(wav.read_bytes()), lead_s=_LEAD_S, tail_s=_TAIL_S)
            except (OSError, WavError) as error:
                raise APIConnectionError("flite gave no WAV file") from error

    async def _run(self, arguments: tuple[str, ...], text: str, limit_s: float) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(limit_s):
                await process.communicate(text.encode(errors="ignore").replace(b"\0", b"") + b"\n")
        except TimeoutError as error:
            raise APITimeoutError(f"flite took longer than {limit_s:.0f} s") from error
        finally:
            # A caller who interrupts cancels us here: the rest of the sentence is not worth its CPU.
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise APIConnectionError(f"flite ended with code {process.returncode}")


class _FliteStream(tts.ChunkedStream):
    def __init__(self, flite: FliteTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=flite, input_text=text, conn_options=conn_options)
        self._flite = flite

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("flite_"),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
        )
        for sentence in sentences(self.input_text):
            output_emitter.push(_at_rate(await self._flite.speak(sentence)))
        output_emitter.flush()


def _at_rate(speech: Speech) -> bytes:
    """The samples at `SAMPLE_RATE`: all four voices have it, but the header has the last word."""
    raw = speech.samples.tobytes()
    if speech.sample_rate == SAMPLE_RATE or not raw:
        return raw
    resampler = rtc.AudioResampler(speech.sample_rate, SAMPLE_RATE)
    return b"".join(bytes(f.data.cast("b")) for f in [*resampler.push(bytearray(raw)), *resampler.flush()])
