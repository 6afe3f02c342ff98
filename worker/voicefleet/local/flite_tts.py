"""Text to speech by the `flite` program (CMU's permissive licence), one short-lived process for each sentence."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from livekit.agents import APIConnectionError, APITimeoutError

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.contract.parsing.wav import WavError
from voicefleet.local.pcm import Speech, read_wav, trim
from voicefleet.local.sentence_tts import LEAD_S, TAIL_S, SentenceTTS

VOICES = ("slt", "awb", "rms", "kal16")
SAMPLE_RATE = 16_000

_LIMIT_S = 10.0


class FliteTTS(SentenceTTS):
    """Speaks with one of flite's voices, 16 kHz: a sentence takes 10-60 ms of one core.

    Args:
        voice: slt (female), awb, rms or kal16 (male; the fastest).
        speed_ratio: speaking rate, 1 being the voice's own, 0.5-2.

    Raises:
        ConfigError: an argument is out of its range.
        MissingPartError: there is no `flite` on PATH.
    """

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
        super().__init__(sample_rate=SAMPLE_RATE)
        self._voice = voice
        self._command = (program, "-voice", voice, "--setf", f"duration_stretch={1 / speed_ratio:.3f}")

    @property
    def model(self) -> str:
        return f"flite-{self._voice}"

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
                return trim(read_wav(wav.read_bytes()), lead_s=LEAD_S, tail_s=TAIL_S)
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
