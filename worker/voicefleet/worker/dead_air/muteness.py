"""Decides whether the agent is heard while it speaks. Pure: readings of its track in, since when it is mute out.

The agent is mute when it spoke for `MUTE_S`, at once or in several goes, and in all that time its track carried no
voice: the sound for it was zeros, or no packets left; or for `STARVED_S`, where there was no sound for it. Muteness
begins with the first such second; with a reading a second it is found within 6 s of speaking.
"""

from __future__ import annotations

from dataclasses import dataclass

MUTE_S = 2.5
"""No voice is silent for so long in the middle of its words."""
STARVED_S = 5.5
"""The same while nothing waits to be sent: a slow LLM may think between two sentences, and has its own limit of 5 s."""
_VOICE_ENERGY_PER_S = 1e-7
"""About -70 dBFS: far below any voice, above dithered silence."""
_VOICE_PACKETS_PER_S, _QUIET_PACKETS_PER_S = 12.0, 6.0
"""A voice takes 50 packets. Silence, which is not sent (DTX), takes about five all the same."""
_SHORTEST_S, _LONGEST_S = 0.1, 2.0
"""Of speech in an interval, and of an interval: after a long silence a reading is a first one."""


@dataclass(frozen=True, slots=True)
class TrackReading:
    """Totals of the agent's own track so far: the energy given to it, the packets that left."""

    energy: float
    packets: int
    waits: bool = True
    """Sound waits to be sent."""


class MutenessDetector:
    """Follows one agent. Times are monotonic seconds, handed in."""

    def __init__(self) -> None:
        self._speaks_since_s: float | None = None
        self._spoken_s = 0.0
        self._before: TrackReading | None = None
        self._before_s = 0.0
        self._began_s: float | None = None
        self._unheard_s = self._lost_s = 0.0

    @property
    def mute_since_s(self) -> float | None:
        """When the muteness began; None: the agent is heard, or has not spoken enough to say."""
        return self._began_s if self._lost_s >= MUTE_S or self._unheard_s >= STARVED_S else None

    def speaks(self, now: float, yes: bool) -> None:
        """The agent speaks, or stops."""
        if self._speaks_since_s is not None:
            self._spoken_s += now - self._speaks_since_s
        self._speaks_since_s = now if yes else None

    def silenced(self) -> None:
        """We keep it from being heard ourselves: nothing of before counts."""
        self._before = None
        self._heard()

    def reading(self, now: float, track: TrackReading | None) -> None:
        """The state of its track; None: it has none of its own, or nobody knows."""
        self.speaks(now, self._speaks_since_s is not None)
        spoken_s, self._spoken_s = self._spoken_s, 0.0
        before, interval_s = self._before, now - self._before_s
        self._before, self._before_s = track, now
        if track is None:
            self._heard()
        elif before is not None and spoken_s >= _SHORTEST_S and interval_s <= _LONGEST_S:
            if _carried(before, track, spoken_s, interval_s):
                self._heard()
                return
            if self._began_s is None:
                self._began_s = now - spoken_s
            self._unheard_s += spoken_s
            self._lost_s += spoken_s if before.waits or track.waits else 0.0

    def _heard(self) -> None:
        self._began_s, self._unheard_s, self._lost_s = None, 0.0, 0.0


def _carried(before: TrackReading, now: TrackReading, spoken_s: float, interval_s: float) -> bool:
    # Totals that fell are a new track's.
    energy = now.energy - before.energy if now.energy >= before.energy else now.energy
    packets = now.packets - before.packets if now.packets >= before.packets else now.packets
    quiet_s = max(0.0, interval_s - spoken_s)
    least = _VOICE_PACKETS_PER_S * spoken_s + _QUIET_PACKETS_PER_S * quiet_s
    return energy >= _VOICE_ENERGY_PER_S * spoken_s and packets >= least
