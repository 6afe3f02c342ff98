"""Render the callers' utterances with flite: ``python -m voicefleet.speech.render [FOLDER]``.

The same flite gives the same bytes: no dither, no randomness, a fixed order. Each clip is scaled to the
same speech level (flite's voices differ by 13 dB) and trimmed to a short silence on both sides.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import MissingPartError
from voicefleet.contract.parsing.wav import parse_wav
from voicefleet.speech.clips import MANIFEST
from voicefleet.speech.onset_detector import Samples, voiced_span

SAMPLE_RATE = 16_000
VOICES = ("slt", "awb", "rms", "kal16")
TEXTS = (
    "What are your opening hours?",
    "How do I reset my password?",
    "Where is my order?",
    "Can I get a refund?",
    "How much does the basic plan cost?",
    "Do you ship to Canada?",
    "How do I cancel my subscription?",
    "Which payment methods do you accept?",
    "How long does delivery take?",
    "Can I speak to a human?",
    "Where is your office?",
    "Is there a free trial?",
)
ORIGIN = "flite 2.2 (Debian 2.2-5), http://cmuflite.org, voice cmu_us_{voice}; scaled and trimmed"
LICENCE = "CMU flite licence (permissive): LICENSE.flite in this folder"
_SPEECH_DBFS = -23.0
_PEAK = 0.97
_PAD_S = 0.05


def speak(text: str, voice: str) -> Samples:
    """What flite says, as it says it: int16, mono, 16 kHz.

    Raises:
        MissingPartError: there is no flite, or it lacks the voice.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        try:
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
            wav = parse_wav(path.read_bytes())
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingPartError(
                "flite cannot render this voice",
                field="flite",
                value=voice,
                hint="Install flite 2.2 (apt-get install flite).",
            ) from error
    shape = (wav.channels, wav.sample_bytes, wav.sample_rate)
    if shape != (1, 2, SAMPLE_RATE):
        raise MissingPartError(
            "this flite does not speak 16-bit mono at 16 kHz",
            field="flite",
            value=shape,
            hint="Install flite 2.2 with the voices slt, awb, rms and kal16.",
        )
    return np.frombuffer(wav.pcm, dtype="<i2").astype(np.int16, copy=False)


def polish(raw: Samples) -> tuple[Samples, int, int]:
    """Scale to the common level and trim; returns (samples, first voiced, one past the last voiced)."""
    first, last = _span(raw)
    voiced = raw[first:last].astype(np.float64) / 32768
    gain = 10 ** (_SPEECH_DBFS / 20) / float(np.sqrt(np.mean(voiced**2)))
    gain = min(gain, _PEAK / float(np.abs(voiced).max()))
    scaled = np.rint(raw.astype(np.float64) * gain).astype(np.int16)
    first, last = _span(scaled)
    pad = int(_PAD_S * SAMPLE_RATE)
    # Silence is digital: a vocoder's residue past the last voiced sample is not speech.
    silence = np.zeros(pad, dtype=np.int16)
    clip = np.concatenate((silence, scaled[first:last], silence))
    first, last = _span(clip)
    return clip, first, last


def render(folder: Path) -> None:
    """Write all clips and their manifest into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    clips: list[dict[str, object]] = []
    for voice in VOICES:
        for number, text in enumerate(TEXTS, start=1):
            samples, first, last = polish(speak(text, voice))
            path = folder / f"{voice}-{number:02d}.wav"
            with wave.open(str(path), "wb") as wav:
                wav.setparams((1, 2, SAMPLE_RATE, samples.size, "NONE", "not compressed"))
                wav.writeframes(samples.astype("<i2").tobytes())
            clips.append(
                {
                    "file": path.name,
                    "text": text,
                    "voice": voice,
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "sample_rate": SAMPLE_RATE,
                    "duration_s": round(samples.size / SAMPLE_RATE, 4),
                    "speech_start_sample": first,
                    "speech_end_sample": last,
                    "origin": ORIGIN.format(voice=voice),
                    "licence": LICENCE,
                }
            )
    (folder / MANIFEST).write_text(json.dumps({"clips": clips}, indent=1) + "\n", encoding="utf-8")


def _span(samples: Samples) -> tuple[int, int]:
    span = voiced_span(samples)
    if span is None:
        raise MissingPartError("flite rendered only silence", field="flite", hint="Install flite 2.2 with its voices.")
    return span


if __name__ == "__main__":
    render(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("audio"))
