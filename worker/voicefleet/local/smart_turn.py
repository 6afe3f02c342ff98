"""Smart Turn, Pipecat's model that hears whether a turn is over, as a turn detector of a livekit session.

The model reads up to 8 s of the turn, about 40 ms of a core each time; livekit-agents asks it once a pause, after 0.2 s
of silence. Its weights come inside `pipecat-ai`, the code around them from `smart-turn-livekit`. The stream is that of
livekit, which resamples and cancels as for its own detector: these classes are private to the pinned livekit-agents.
"""

from __future__ import annotations

import asyncio
import importlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from livekit.agents import utils
from livekit.agents.inference.eot.base import TurnDetectorOptions, _BaseStreamingTurnDetector
from livekit.agents.inference.eot.base import _BaseStreamingTurnDetectorStream as _Stream
from livekit.agents.inference.eot.languages import ThresholdOptions
from livekit.agents.inference.eot.transports import _LocalTransport
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions

from voicefleet.contract.errors import MissingPartError

SAMPLE_RATE = 16_000
WINDOW_S = 8
DEFAULT_THRESHOLD = 0.5
_WEIGHTS = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
_PACKAGES = {
    "smart_turn_livekit": "smart-turn-livekit==0.4.0",
    "pipecat": "pipecat-ai==1.14.0",
    "onnxruntime": "onnxruntime",
}


def require_smart_turn(field: str) -> Path:
    """The model's weights; nothing is loaded.

    Raises:
        MissingPartError: a package is not installed; it names `field` and the package.
    """
    for module, package in _PACKAGES.items():
        if find_spec(module) is None:
            raise MissingPartError(
                f"Smart Turn needs the package {package.partition('==')[0]}, which is not installed",
                field=field,
                value="smart-turn",
                # Of pipecat-ai only the weights are used, and it depends on dozens of packages.
                hint=f"Install it (pip install --no-deps {package}), or use v1-mini.",
            )
    spec = find_spec("pipecat")
    folders = spec.submodule_search_locations if spec is not None else None
    found = [path for folder in folders or () if (path := Path(folder, _WEIGHTS)).is_file()]
    if not found:
        raise MissingPartError(
            "this version of pipecat-ai does not carry the weights of Smart Turn v3.2",
            field=field,
            value="smart-turn",
            hint=f"Install {_PACKAGES['pipecat']}, or use v1-mini.",
        )
    return found[0]


class SmartTurnModel:
    """The model itself. One instance may be shared by all calls of a process; `predict` releases the GIL while it runs.

    Raises:
        MissingPartError: a package is not installed.
    """

    def __init__(self) -> None:
        weights = require_smart_turn("turn_detection")
        self._model: Any = importlib.import_module("smart_turn_livekit.core").SmartTurn(model_path=weights)

    def predict(self, pcm: npt.NDArray[np.int16]) -> float:
        """How sure the model is, 0-1, that the turn is over; `pcm` is mono at 16 kHz and ends in the pause."""
        return float(self._model.probability(pcm.astype(np.float32) / 32768, SAMPLE_RATE))


@cache
def smart_turn_model() -> SmartTurnModel:
    """The model of this process."""
    return SmartTurnModel()


class SmartTurnDetector(_BaseStreamingTurnDetector):
    """For `turn_handling["turn_detection"]` of a session: below `threshold` the session waits for its longer delay."""

    def __init__(self, *, threshold: float = DEFAULT_THRESHOLD) -> None:
        thresholds = ThresholdOptions("turn-detector-v1-mini", threshold, NOT_GIVEN)
        super().__init__(opts=TurnDetectorOptions(sample_rate=SAMPLE_RATE, thresholds=thresholds))
        self._shared = smart_turn_model()

    @property
    def model(self) -> Any:
        return "smart-turn-v3.2"

    @property
    def provider(self) -> str:
        return "pipecat"

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> _Stream:
        return _Stream(detector=self, opts=self._opts, transport=_Transport(self._opts, self._shared))


class _Transport(_LocalTransport):
    """livekit's, which asks a model in a thread, with a longer memory and our model."""

    def __init__(self, opts: TurnDetectorOptions, model: SmartTurnModel) -> None:
        # Not the parent's, which would load livekit's own model (108 MB).
        self._opts = opts
        self._buf = utils.AudioArrayBuffer(buffer_size=WINDOW_S * SAMPLE_RATE, sample_rate=SAMPLE_RATE)
        self._eot: Any = model
        self._stream_ref = None
        self._tasks: set[asyncio.Task[Any]] = set()
