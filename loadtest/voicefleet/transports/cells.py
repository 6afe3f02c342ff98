"""Which arm is tried under which conditions, and with which seeds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voicefleet.netlab.conditions import Conditions
from voicefleet.transports.arms import Arm
from voicefleet.transports.options import LabOptions

_RATE_QUEUE = 20
"""Packets, where the rate is limited: a short queue, or every arm would only be late."""
_EXTRA_ARMS = ("udp", "webrtc-udp", "webrtc-udp-nored")
"""Those that the questions about jitter and rate are asked of."""
_MODEL_ARM = "tcp-bbr"
_MODEL_SEEDS = 3
"""Runs of the arm that the model of head-of-line blocking is checked with, at least."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm under one set of conditions: a row of the result."""

    arm: Arm
    rtt_ms: float
    loss: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    rate_kbps: float | None = None

    @property
    def conditions(self) -> Conditions:
        """Of the link, the same both ways."""
        queue = _RATE_QUEUE if self.rate_kbps is not None else Conditions().queue
        return Conditions(
            delay_ms=self.rtt_ms / 2,
            jitter_ms=self.jitter_ms,
            loss=self.loss,
            reorder=self.reorder,
            rate_kbps=self.rate_kbps,
            queue=queue,
        )

    def describe(self) -> str:
        """In a few words."""
        words = [self.arm.id, f"RTT {self.rtt_ms:g} ms", f"loss {self.loss:.1%}"]
        if self.jitter_ms:
            words.append(f"jitter {self.jitter_ms:g} ms")
        if self.reorder:
            words.append(f"reordering {self.reorder:.0%}")
        if self.rate_kbps is not None:
            words.append(f"{self.rate_kbps:g} kbit/s")
        return ", ".join(words)


def cells(options: LabOptions) -> list[Cell]:
    """All of a run, arm by arm."""
    made = []
    for arm in options.arms:
        made += [Cell(arm, rtt, loss) for rtt in options.rtts_ms for loss in options.losses]
        if arm.id in _EXTRA_ARMS:
            made += _extra(arm, options)
    return made


def seeds_of(cell: Cell, options: LabOptions) -> Iterable[int]:
    """Seeds of a cell's runs."""
    count = options.seeds
    if cell.arm.id == _MODEL_ARM and cell.loss:
        count = max(count, _MODEL_SEEDS)
    return range(1, count + 1)


def _extra(arm: Arm, options: LabOptions) -> Iterator[Cell]:
    rtt = options.rtts_ms[0]
    for jitter_ms in options.jitters_ms:
        if jitter_ms <= rtt / 2:
            yield Cell(arm, rtt, jitter_ms=jitter_ms)
    if rtt:
        for reorder in options.reorders:
            yield Cell(arm, rtt, reorder=reorder)
    for rate_kbps in options.rates_kbps:
        yield Cell(arm, rtt, rate_kbps=rate_kbps)
