"""Finds the pauses of a turn as a session's VAD hears them, and asks a detector at each as livekit-agents would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from livekit import local_inference

from voicefleet.endpointing.policy import Pause
from voicefleet.endpointing.turns import SpokenTurn
from voicefleet.local.smart_turn import SmartTurnModel
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.render import SAMPLE_RATE

Ask = Callable[[Samples], float]
"""How sure, 0-1, that the turn is over; the samples (16 kHz) are all that was heard of it so far."""

ASKED_AFTER_S = 0.2
"""livekit-agents asks once a pause, after so much silence."""

_WINDOW = local_inference.VAD_WINDOW_SAMPLES
_SPEECH, _STILL_SPEECH = 0.5, 0.35
"""The probabilities at which livekit's VAD begins and goes on to hear speech."""


def build(name: str) -> Ask | None:
    """The detector of that name; None for the VAD, which goes by silence alone.

    Raises:
        MissingPartError: a package that it needs is not installed.
    """
    if name == "v1-mini":
        mini = local_inference.EOT()
        return lambda heard: float(mini.predict(heard[-local_inference.EOT_MAX_SAMPLES :]))
    if name == "smart-turn":
        return SmartTurnModel().predict
    return None


def pauses(turn: SpokenTurn) -> list[tuple[Pause, int]]:
    """The turn's pauses of `ASKED_AFTER_S` or longer, each with the sample at which it begins; the last is its end.

    Empty where no speech is heard.
    """
    silences = list(_silences(turn.samples))
    if not silences:
        return []
    holds = [(Pause(turn.name, False, (end - start) / SAMPLE_RATE), start) for start, end in silences[:-1]]
    long = [(pause, start) for pause, start in holds if pause.duration_s >= ASKED_AFTER_S]
    return [*long, (Pause(turn.name, True, 0.0), silences[-1][0])]


def asked(turn: SpokenTurn, ask: Ask) -> list[Pause]:
    """The turn's pauses with what the detector says at each."""
    silent = np.concatenate([turn.samples, np.zeros(SAMPLE_RATE, np.int16)])
    after = round(ASKED_AFTER_S * SAMPLE_RATE)
    return [replace(pause, sure=ask(silent[: start + after])) for pause, start in pauses(turn)]


def _silences(samples: Samples) -> Iterator[tuple[int, int]]:
    """(first sample, one past the last) of every silence after speech; the last one is that after the turn."""
    vad = local_inference.VAD()
    padded = np.concatenate([samples, np.zeros(SAMPLE_RATE, np.int16)])
    speaking, since = False, 0
    for at in range(0, padded.size - _WINDOW, _WINDOW):
        sure = vad.predict(padded[at : at + _WINDOW])
        if speaking and sure <= _STILL_SPEECH:
            speaking, since = False, at
        elif not speaking and sure >= _SPEECH:
            if since:
                yield since, at
            speaking = True
    if since and not speaking:
        yield since, padded.size
