"""What is said: the callers' clips one after another, the same for every arm of a seed."""

from __future__ import annotations

import numpy as np

from voicefleet.speech.clips import load_utterances
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.protocols.frames import FRAME_SAMPLES, SAMPLE_RATE

_PAUSE_S = 0.6
"""As long as people pause between sentences; a pause that is not sent (DTX) has to last to be noticed."""


def speech(seed: int, seconds: float) -> Samples:
    """Speech of whole frames, int16 mono at 16 kHz; other seeds begin with other clips and voices."""
    clips = [u for u in load_utterances() if u.sample_rate == SAMPLE_RATE]
    order = np.random.default_rng(seed).permutation(len(clips))
    wanted = int(seconds * SAMPLE_RATE) // FRAME_SAMPLES * FRAME_SAMPLES
    pause = np.zeros(int(_PAUSE_S * SAMPLE_RATE), dtype=np.int16)
    parts: list[Samples] = []
    length = 0
    while length < wanted:
        for index in order:
            clip = clips[index]
            spoken = clip.samples[clip.speech_start_sample : clip.speech_end_sample]
            parts += [spoken, pause]
            length += spoken.size + pause.size
    return np.concatenate(parts)[:wanted]
