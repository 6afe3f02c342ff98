"""Turns to judge detectors by: synthetic callers who pause between phrases, or a folder of recordings.

A synthetic turn is rendered in one piece, so that a phrase inside it does not sound like the end of one, and its pauses
are stretched to lengths drawn from those of the benchmark's callers. In a recording, each file is one whole turn.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.contract.parsing.wav import WavError, parse_wav
from voicefleet.endpointing.published import HOLD_SURVIVAL
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.render import SAMPLE_RATE, VOICES, polish, speak

TEXTS = (
    "I would like to book a table, for four people, on Friday.",
    "My number is five five five, one two three, four five six.",
    "Can you change my booking, the one for tomorrow, to eight o'clock?",
    "I need to cancel, because my flight was moved.",
    "The name is Miller, and there will be six of us.",
    "Do you have a table, somewhere near the window, at seven?",
    "I called yesterday, about the order, that never came.",
    "When do you close, on Sundays?",
    "I would like, two tickets, for the evening show.",
    "My address is, twenty one, Market Street.",
    "It is about the invoice, from last month.",
    "Could you tell me, if there is parking?",
    "We are five people, no, six people.",
    "I want to speak, to somebody, about a refund.",
    "The order number is, seven nine, two two, zero four.",
    "If it is possible, I would like to come earlier.",
    "Let me think, maybe on Thursday.",
    "That one is fine, but can I pay with a card?",
    "I forgot my password, and the reset does not work.",
    "Yes, on the second of May, at noon.",
)


_HEARD_SHORTER_S = 0.07
"""A VAD hears a voice for so much longer than it lasts (median of 52 pauses of one length), and a pause shorter."""


@dataclass(frozen=True, eq=False, slots=True)
class SpokenTurn:
    """One turn: mono int16 samples at 16 kHz, from the first word to some silence after the last."""

    name: str
    text: str
    samples: Samples


def hold_lengths_s(count: int, rng: np.random.Generator) -> list[float]:
    """So many lengths of holds, in any order, spread evenly over the benchmark's distribution."""
    seconds, share = np.array(HOLD_SURVIVAL).T
    wanted = (np.arange(count) + 0.5) / count
    lengths = np.exp(np.interp(np.log(wanted), np.log(share[::-1]), np.log(seconds[::-1])))
    return [float(length) for length in rng.permutation(lengths)]


def synthetic_turns(seed: int, *, texts: Sequence[str] = TEXTS, voices: Sequence[str] = VOICES) -> list[SpokenTurn]:
    """Every text by every voice of flite's; the same seed gives the same turns.

    Raises:
        MissingPartError: there is no flite.
    """
    rendered = [(voice, text, speak(text, voice), _phrase_ends(text, voice)) for text in texts for voice in voices]
    lengths = iter(hold_lengths_s(sum(len(ends) for *_, ends in rendered), np.random.default_rng(seed)))
    made = []
    for number, (voice, text, raw, ends) in enumerate(rendered):
        parts, at = [], 0
        for middle, has_s in ends:
            more_s = max(0.0, next(lengths) + _HEARD_SHORTER_S - has_s)
            parts += [raw[at:middle], np.zeros(round(more_s * SAMPLE_RATE), np.int16)]
            at = middle
        samples, _, last = polish(np.concatenate([*parts, raw[at:]]))
        made.append(SpokenTurn(f"{voice}-{number:03d}", text, samples[:last]))
    return made


def recorded_turns(folder: Path) -> list[SpokenTurn]:
    """The WAV files of a folder: each one whole turn of a caller, mono, 16 bit, 16 kHz.

    Raises:
        ConfigError: there is no such folder, nothing in it, or a file of another form; it names the file.
    """
    field = "--recordings"
    found = sorted(folder.glob("*.wav")) if folder.is_dir() else []
    if not found:
        raise ConfigError(
            "there are no recordings",
            field=field,
            value=str(folder),
            hint="Name a folder with WAV files, each one whole turn of a caller: mono, 16 bit, 16 kHz.",
        )
    turns = []
    for path in found:
        try:
            wav = parse_wav(path.read_bytes())
        except WavError as error:
            raise ConfigError(f"{path.name} is no WAV file ({error})", field=field, hint="Remove it.") from error
        if (wav.channels, wav.sample_bytes, wav.sample_rate) != (1, 2, SAMPLE_RATE):
            raise ConfigError(
                f"{path.name} is not mono, 16 bit, 16 kHz",
                field=field,
                value=f"{wav.channels} channels, {8 * wav.sample_bytes} bit, {wav.sample_rate} Hz",
                hint="Convert it, for example: sox IN.wav -r 16000 -c 1 -b 16 OUT.wav",
            )
        turns.append(SpokenTurn(path.stem, "", np.frombuffer(wav.pcm, dtype="<i2").astype(np.int16, copy=False)))
    return turns


def _phrase_ends(text: str, voice: str) -> list[tuple[int, float]]:
    """Where flite pauses between phrases: the middle sample of each pause, and its length in seconds."""
    command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", "none"]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingPartError(
            "flite cannot say where its pauses are",
            field="flite",
            value=voice,
            hint="Install flite 2.2 (apt-get install flite).",
        ) from error
    ends_s = [(phone, float(end)) for phone, _, end in (word.partition(":") for word in told)]
    return [
        (round((before + end) / 2 * SAMPLE_RATE), end - before)
        for (_, before), (phone, end) in pairwise(ends_s[1:-1])
        if phone == "pau"
    ]
