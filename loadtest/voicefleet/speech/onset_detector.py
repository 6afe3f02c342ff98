"""Finds where speech begins and ends in a stream of PCM, to the sample.

Pure: no clock and no I/O. The caller feeds int16 samples with the monotonic time of the first one and
gets events back. The onset is *backdated* to the first voiced sample, so the 60 ms that it takes to be
sure (speech, not a click) are not part of the measured time.

    QUIET --loud hop--> RISING --60 ms voiced--> SPEAKING --hangover_s of quiet--> QUIET
                          |  gap > max_gap_s  |                 (event SpeechEnd)
                          +------> QUIET <----+    (event Onset on entering SPEAKING)

A hop (5 ms) is loud when its RMS reaches `threshold_dbfs`. The threshold is fixed, not adaptive: agent
tracks are synthetic speech over digital silence or comfort noise far below it, and an adaptive floor
would move the onset between runs. Dithered or coded silence up to about -55 dBFS is ignored.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError

Samples = NDArray[np.int16]

_FULL_SCALE = 32768.0
_MIN_LOUD_SHARE = 0.75
"""Share of a rise that must be loud: pitch pulses leave holes, a train of clicks leaves more."""


@dataclass(frozen=True, slots=True)
class OnsetSettings:
    """What counts as speech.

    Attributes:
        sample_rate: Hz, a multiple of 200 (a hop is 5 ms).
        threshold_dbfs: RMS of a hop, relative to full scale, from which it is loud.
        min_voiced_s: sustained speech before an onset is believed.
        max_gap_s: longest quiet hole inside those `min_voiced_s` (between pitch pulses, plosives).
        hangover_s: quiet after which speech has ended; it delays the event, never its time.
    """

    sample_rate: int = 16_000
    threshold_dbfs: float = -50.0
    min_voiced_s: float = 0.060
    max_gap_s: float = 0.020
    hangover_s: float = 0.200

    def __post_init__(self) -> None:
        if self.sample_rate < 8000 or self.sample_rate % 200:
            raise ConfigError(
                "the detector needs whole hops of 5 ms",
                field="sample_rate",
                value=self.sample_rate,
                hint="Use 8000, 16000, 24000 or 48000 Hz.",
            )
        if self.hangover_s < self.max_gap_s:
            raise ConfigError(
                "the hangover is shorter than a hole inside speech",
                field="hangover_s",
                value=self.hangover_s,
                hint=f"Use at least {self.max_gap_s} s.",
            )


class OnsetState(enum.Enum):
    """The detector's state."""

    QUIET = "quiet"
    RISING = "rising"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech began: `t_s` is the time, `sample` the stream index, of the first voiced sample."""

    t_s: float
    sample: int


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """Speech ended: `t_s` and `sample` are one past the last voiced sample (hangover not included)."""

    t_s: float
    sample: int


SpeechEvent = Onset | SpeechEnd


class OnsetDetector:
    """Streaming detector for one track. Feed it every sample, in order; frames may have any length.

    Error of the event times, beyond that of the `t_s` fed in: onset and end within one hop (5 ms) on
    clean speech; a soft onset (a fricative below the threshold) is heard where it becomes loud.
    """

    def __init__(self, settings: OnsetSettings | None = None) -> None:
        self._s = settings or OnsetSettings()
        rate = self._s.sample_rate
        self._hop = rate // 200
        self._rms = _FULL_SCALE * 10 ** (self._s.threshold_dbfs / 20)
        # The peak of a sine at the threshold: single samples of noise below it stay below this.
        self._peak = self._rms * 2**0.5
        self._rest: Samples = np.zeros(0, dtype=np.int16)
        self._fed = 0  # stream index of the first sample in _rest
        self._before: Samples = np.zeros(self._hop, dtype=np.int16)
        self._state = OnsetState.QUIET
        self._onset: Onset | None = None
        self._rise_start = 0  # stream index of the first loud hop of the current rise
        self._loud_hops = 0
        self._voiced_end = SpeechEnd(t_s=0.0, sample=0)

    @property
    def state(self) -> OnsetState:
        """What the detector believes after the samples fed so far."""
        return self._state

    @property
    def voiced_until_s(self) -> float | None:
        """Time one past the last voiced sample of the current speech, None unless SPEAKING."""
        return self._voiced_end.t_s if self._state is OnsetState.SPEAKING else None

    def feed(self, samples: Samples, t_s: float) -> list[SpeechEvent]:
        """Take the next samples of the stream.

        Args:
            samples: shape ``(n,)``, int16, mono, at the settings' rate.
            t_s: monotonic time at which ``samples[0]`` is heard, seconds.

        Returns:
            the events these samples made certain, in order (usually none).
        """
        rate, hop = self._s.sample_rate, self._hop
        start_s = t_s - self._rest.size / rate
        pcm = np.concatenate((self._rest, samples)) if self._rest.size else samples
        count = pcm.size // hop
        hops = pcm[: count * hop].reshape(count, hop)
        self._rest = pcm[count * hop :].copy()
        wide = hops.astype(np.float32)
        loud = np.sqrt(np.einsum("ij,ij->i", wide, wide) / hop) >= self._rms
        if self._state is OnsetState.QUIET and not loud.any():
            # Nearly all hops of a call are quiet: skip the loop, only keep the hop before an onset.
            self._fed += count * hop
            if count:
                self._before = hops[-1].copy()
            return []
        events: list[SpeechEvent] = []
        for i in range(count):
            self._step(hops[i], bool(loud[i]), start_s + i * hop / rate, events)
            self._before = hops[i]
            self._fed += hop
        self._before = self._before.copy()
        return events

    def close(self) -> list[SpeechEvent]:
        """The stream is over: speech that goes on ends at its last voiced sample."""
        speaking = self._state is OnsetState.SPEAKING
        self._state = OnsetState.QUIET
        return [self._voiced_end] if speaking else []

    def _step(self, hop: Samples, loud: bool, t_s: float, events: list[SpeechEvent]) -> None:
        rate = self._s.sample_rate
        end = self._fed + self._hop
        if loud:
            last = int(np.flatnonzero(np.abs(hop.astype(np.int32)) >= self._rms)[-1])
            self._voiced_end = SpeechEnd(t_s + (last + 1) / rate, self._fed + last + 1)
            if self._state is OnsetState.QUIET:
                self._state = OnsetState.RISING
                self._onset = self._first_voiced(hop, t_s)
                self._rise_start = self._fed
                self._loud_hops = 0
            self._loud_hops += 1
            if self._state is OnsetState.RISING and self._sustained(end):
                self._state = OnsetState.SPEAKING
                assert self._onset is not None
                events.append(self._onset)
            return
        quiet_s = (end - self._voiced_end.sample) / rate
        if self._state is OnsetState.RISING and quiet_s > self._s.max_gap_s:
            self._state = OnsetState.QUIET
        elif self._state is OnsetState.SPEAKING and quiet_s >= self._s.hangover_s:
            self._state = OnsetState.QUIET
            events.append(self._voiced_end)

    def _sustained(self, end: int) -> bool:
        span_s = (end - self._rise_start) / self._s.sample_rate
        loud_s = self._loud_hops * self._hop / self._s.sample_rate
        return span_s >= self._s.min_voiced_s and loud_s >= _MIN_LOUD_SHARE * span_s

    def _first_voiced(self, hop: Samples, t_s: float) -> Onset:
        """Backdate within the first loud hop and the one before it, whose end may already be voiced."""
        both = np.abs(np.concatenate((self._before, hop)).astype(np.int32))
        over = np.flatnonzero(both >= self._peak)
        # A hop at the threshold has a peak of at least its RMS, maybe below _peak: then take its start.
        offset = (int(over[0]) if over.size else self._hop) - self._hop
        return Onset(t_s + offset / self._s.sample_rate, self._fed + offset)


def voiced_span(samples: Samples, settings: OnsetSettings | None = None) -> tuple[int, int] | None:
    """First voiced sample and one past the last voiced sample of a whole clip, None if all is quiet."""
    detector = OnsetDetector(settings)
    rate = (settings or OnsetSettings()).sample_rate
    # Whole hops only are judged: pad the tail so that the last samples count.
    padded = np.concatenate((samples, np.zeros(rate // 200, dtype=np.int16)))
    events = detector.feed(padded, 0.0) + detector.close()
    if not events:
        return None
    return events[0].sample, events[-1].sample
