"""PESQ (ITU-T P.862.2, wideband) of what was heard against what was said, where the package is installed."""

from __future__ import annotations

import importlib.util

import numpy as np

from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.protocols.frames import SAMPLE_RATE

_LONGEST_S = 12.0
"""The measure is made for sentences: what comes after so long is left out."""


def available() -> bool:
    """Whether PESQ can be told at all: its package is built from C, which needs a compiler."""
    return importlib.util.find_spec("pesq") is not None


def score(said: Samples, heard: Samples) -> float | None:
    """MOS-LQO, about 1 to 4.6; None where PESQ is not installed, or finds no speech in what was heard."""
    if not available() or not np.any(heard):
        return None
    from pesq import NoUtterancesError, PesqError, pesq  # type: ignore[import-untyped,import-not-found,unused-ignore]

    count = int(_LONGEST_S * SAMPLE_RATE)
    try:
        return float(pesq(SAMPLE_RATE, said[:count], heard[:count], "wb"))
    except (NoUtterancesError, PesqError, ValueError):
        return None
