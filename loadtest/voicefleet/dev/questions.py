"""What the caller of `voicefleet dev` says: the recorded questions, sentences spoken by flite, or WAV files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voicefleet.callers.swarm import SwarmSettings, script
from voicefleet.speech.clips import Utterance, load_utterances
from voicefleet.speech.recordings import recording
from voicefleet.speech.render import SAMPLE_RATE, polish, speak

VOICE = "slt"


def questions(say: Sequence[str], turns: int) -> tuple[Utterance, ...]:
    """The utterances of one call: those of `say`, else `turns` of the recorded ones.

    Raises:
        ConfigError: a file is no WAV that can be played, or silent.
        MissingPartError: there is no flite for a sentence.
    """
    if not say:
        return script(0, SwarmSettings(turns=turns), load_utterances())
    return tuple(_recorded(Path(words)) if words.lower().endswith(".wav") else _spoken(words) for words in say)


def _spoken(text: str) -> Utterance:
    samples, start, end = polish(speak(text, VOICE))
    return Utterance("", text, VOICE, SAMPLE_RATE, start, end, samples)


def _recorded(path: Path) -> Utterance:
    return recording(path, field="--say", hint="Give a sentence, or a mono 16-bit WAV file.")
