"""What one run gave, out of the files of its two ends and the readings of its link. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voicefleet.netlab.readings import HEALTHY_MS, Readings
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.analysis import align
from voicefleet.transports.cells import Cell
from voicefleet.transports.material import speech
from voicefleet.transports.protocols.frames import FRAME_S, SAMPLE_RATE

Floats = NDArray[np.float64]
Series = Sequence[tuple[float, Readings]]

_FRAME_MS = FRAME_S * 1000
_DECODER_RATE = 48_000
_HOLE_S = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class Ear:
    """What one of the two ears got.

    Attributes:
        at_s, delay_ms: mouth-to-ear delay over the time of speech, frame by frame, or window by window for WebRTC;
            NaN: never came, or was not recognised.
        said: samples said to it; `heard`: what it heard of them, for WebRTC; empty for the others, whose ear is `pcm`
            (frames as they came) and a playout.
        lost_ratio: of packets or frames.
        concealed_ratio: of samples, as WebRTC's decoder counts; None for the others.
        holes: of 60 ms or more, as WebRTC's decoder counts; 0 for the others.
        statistics: readings of WebRTC's own statistics at this ear's end.
    """

    at_s: Floats
    delay_ms: Floats
    said: Samples
    heard: Samples
    pcm: Samples
    lost_ratio: float
    concealed_ratio: float | None = None
    holes: int = 0
    statistics: tuple[Mapping[str, Any], ...] = ()
    worker: tuple[Mapping[str, Any], ...] = ()
    said_at_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One run. `ears`: the caller's, which hears over the link's way down, and the agent's."""

    cell: Cell
    seed: int
    seconds: float
    caller: Ear
    agent: Ear
    connect_ms: float | None
    first_audio_ms: float | None
    bytes_per_s: float
    error_p99_ms: float | None
    pacer_p99_ms: float
    retransmits: int
    segments: int
    readings: Series = field(default=())

    @property
    def ears(self) -> tuple[Ear, Ear]:
        return self.caller, self.agent

    @property
    def void(self) -> bool:
        """Whether the machine was too busy for the figures to be the network's."""
        return max(self.error_p99_ms or 0.0, self.pacer_p99_ms) > HEALTHY_MS


def read_trial(
    cell: Cell,
    seed: int,
    seconds: float,
    ends: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    readings: Series,
) -> Trial:
    """Put it together. `ends` and `arrays` are by role, as `endpoint` and `webrtc` write them."""
    make = _webrtc_ear if cell.arm.webrtc else _frame_ear
    caller = make(2 * seed + 1, seconds, ends["caller"], ends["agent"], arrays["caller"])
    agent = make(2 * seed, seconds, ends["agent"], ends["caller"], arrays["agent"])
    return Trial(
        cell,
        seed,
        seconds,
        caller,
        agent,
        ends["caller"]["connect_ms"],
        ends["caller"]["first_audio_ms"],
        # The agent hears what the caller says, which goes up.
        bytes_per_s=(_bytes_per_s(readings, "up", agent, seconds) + _bytes_per_s(readings, "down", caller, seconds))
        / 2,
        error_p99_ms=readings[-1][1].error_p99_ms,
        pacer_p99_ms=max(end["pacer"]["p99_ms"] or 0.0 for end in ends.values()),
        retransmits=sum(end.get("retransmits", 0) for end in ends.values()),
        segments=sum(end.get("segments", 0) for end in ends.values()),
        readings=readings,
    )


def _frame_ear(
    hears: int, seconds: float, own: Mapping[str, Any], other: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Ear:
    # The delay of a frame is that of its first sample, spoken a frame before it was complete.
    delay_ms = 1000 * (arrays["arrived_s"] - arrays["spoken_s"]) + _FRAME_MS
    count = delay_ms.size
    known = np.flatnonzero(~np.isnan(delay_ms))
    began_s = arrays["spoken_s"][known[0]] - (known[0] + 1) * FRAME_S if known.size else np.nan
    return Ear(
        at_s=np.arange(count) * FRAME_S,
        delay_ms=delay_ms,
        said=speech(hears, seconds),
        heard=np.zeros(0, dtype=np.int16),
        pcm=arrays["pcm"],
        lost_ratio=1 - known.size / count,
        said_at_s=float(began_s),
    )


def _webrtc_ear(
    hears: int, seconds: float, own: Mapping[str, Any], other: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Ear:
    said, said_s = speech(hears, seconds), float(other["said_s"])
    stream = align.heard(arrays["heard"], arrays["heard_at_s"], SAMPLE_RATE)
    at_s, delay_ms = align.delays(said, said_s, stream, SAMPLE_RATE)
    usual_s = float(np.nanmedian(delay_ms)) / 1000 if np.any(~np.isnan(delay_ms)) else 0.0
    during = [r for r in own["statistics"] if said_s <= r["t_s"] <= said_s + seconds + 1 and "samples" in r]
    concealed = lost = None
    holes = 0
    if len(during) >= 2:
        first, last = during[0], during[-1]
        concealed = float(last["concealed"] - first["concealed"])
        concealed /= max(1, last["samples"] - first["samples"])
        gone, came = last["in_lost"] - first["in_lost"], last["in_received"] - first["in_received"]
        lost = max(0.0, gone / max(1, gone + came))
        holes = sum(_holes(before, after) for before, after in pairwise(during))
    return Ear(
        at_s=at_s,
        delay_ms=delay_ms,
        said=said,
        heard=align.from_moment(stream, said_s + usual_s, said.size),
        pcm=np.zeros((0, 0), dtype=np.int16),
        lost_ratio=lost if lost is not None else float("nan"),
        concealed_ratio=concealed,
        holes=holes,
        statistics=tuple(own["statistics"]),
        worker=tuple(own["worker"]),
        said_at_s=said_s,
    )


def _holes(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """Concealments between two readings, if they were long ones on average: WebRTC does not tell the length of each."""
    events = int(after["concealments"] - before["concealments"])
    length_s = (after["concealed"] - before["concealed"]) / _DECODER_RATE
    return events if events and length_s / events >= _HOLE_S else 0


def _bytes_per_s(readings: Series, way: Literal["up", "down"], ear: Ear, seconds: float) -> float:
    """Bytes offered to the link one way while the ear was spoken to, acknowledgements of the other way among them."""
    if np.isnan(ear.said_at_s) or len(readings) < 2:
        return float("nan")
    times = [t_s for t_s, _ in readings]
    totals = [getattr(r, way).offered_bytes for _, r in readings]
    begin, end = np.interp([ear.said_at_s, ear.said_at_s + seconds], times, totals)
    return float((end - begin) / seconds)
