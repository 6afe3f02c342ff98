"""Records the built-in phrases anew: `PYTHONPATH=tests python -m phrases.record [LANGUAGE ...]`.

SVOX Pico speaks Spanish, German and French (flite, which recorded the English ones, speaks English only). It comes in
the Python package py-nanotts, is put in a throw-away environment from `voice.lock`, and gives the same sound for the
same text. Each recording is trimmed to 50 ms around the speech and has the loudness of the English ones.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import venv
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

TREE = Path(__file__).resolve().parents[2]
WORKER = TREE / "worker/voicefleet/worker/phrases"
WAITING = TREE / "controller/voicefleet/controller/waiting_message"
FOLDERS = (WORKER / "audio", WAITING / "audio")

VOICES: Mapping[str, tuple[str, str]] = {
    "es": ("es-ES", "zl0"),
    "de": ("de-DE", "gl0"),
    "fr": ("fr-FR", "nk0"),
}
RECORDED = ("apology", "working", "waiting")
LOUDNESS_DBFS = -22.1
"""That of the English recordings, while there is speech."""
RATE_HZ = 16_000

_FRAME = RATE_HZ // 50
_EDGE = RATE_HZ // 20
_SPEAK = """
import sys
from py_nanotts import NanoTTS
sys.stdout.buffer.write(NanoTTS().speak(sys.argv[2], voice=sys.argv[1], volume=0.4))
"""

Samples = npt.NDArray[np.float64]


def main(arguments: list[str]) -> int:
    """Record the named languages, or all that Pico speaks for us."""
    with tempfile.TemporaryDirectory() as folder:
        python = install_voice(Path(folder))
        for language in arguments or VOICES:
            for phrase in RECORDED:
                text = text_of(phrase, language)
                samples = levelled(trimmed(speak(python, VOICES[language][0], text)))
                write(phrase, language, text, samples)
    return 0


def install_voice(folder: Path) -> Path:
    """A Python with the voices, in `folder`."""
    venv.create(folder / "voice", with_pip=True)
    python = folder / "voice/bin/python"
    lock = Path(__file__).with_name("voice.lock")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    subprocess.run([*pip, "--requirement", str(lock)], check=True)
    return python


def speak(python: Path, voice: str, text: str) -> Samples:
    """`text` as the voice says it; a process for each, since its noise generator goes on from one text to the next."""
    answer = subprocess.run([str(python), "-c", _SPEAK, voice, text], capture_output=True, check=True)
    return np.frombuffer(answer.stdout, "<i2").astype(np.float64)


def trimmed(samples: Samples) -> Samples:
    """With 50 ms before the first and after the last sound."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    padded = np.pad(samples, _EDGE)
    return padded[loud[0] : loud[-1] + 2 * _EDGE]


def loudness_dbfs(samples: Samples) -> float:
    """The level while there is speech: of the frames of 20 ms that are not silent."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    speech = level[level > 0.05 * level.max()]
    return float(20 * np.log10(np.sqrt((speech**2).mean()) / 32_768))


def levelled(samples: Samples) -> Samples:
    """At `LOUDNESS_DBFS`.

    Raises:
        ValueError: that would clip.
    """
    scaled = samples * 10 ** ((LOUDNESS_DBFS - loudness_dbfs(samples)) / 20)
    if np.abs(scaled).max() >= 32_000:
        raise ValueError("the recording would clip")
    return scaled


def text_of(phrase: str, language: str) -> str:
    """What the recording says."""
    source = WAITING / "texts.yaml" if phrase == "waiting" else WORKER / "phrases.yaml"
    texts = yaml.safe_load(source.read_text(encoding="utf-8"))[language]
    return str(texts if phrase == "waiting" else texts[phrase])


def write(phrase: str, language: str, text: str, samples: Samples) -> None:
    """The recording, and its entry in the folder's manifest."""
    folder = FOLDERS[phrase == "waiting"]
    name = f"{phrase}-{language}.wav"
    with wave.open(str(folder / name), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(np.round(samples).astype("<i2").tobytes())
    entry = {
        "file": name,
        "text": text,
        "voice": "SVOX Pico {} {}".format(*VOICES[language]),
        "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        "sample_rate": RATE_HZ,
        "duration_s": round(len(samples) / RATE_HZ, 4),
        "origin": "SVOX Pico, from py-nanotts 0.1.1; trimmed and scaled by tests/phrases/record.py",
        "licence": "Apache License 2.0: LICENSE.pico in this folder",
    }
    manifest = folder / "manifest.json"
    clips: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))["clips"]
    clips = [clip for clip in clips if clip["file"] != name] + [entry]
    clips.sort(key=lambda clip: str(clip["file"]))
    manifest.write_text(json.dumps({"clips": clips}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{name}: {entry['duration_s']} s, peak {np.abs(samples).max():.0f}, {loudness_dbfs(samples):.1f} dBFS")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
