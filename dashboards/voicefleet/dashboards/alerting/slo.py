"""What is promised, as expressions: for each objective the rate of all events and of bad ones, and the target.

Worker metrics have their region from the scrape target, the controller's have it as a label; `cluster` is whatever the
scrape adds, or nothing. Controllers may be several: what each of them counts alone is summed, what each of them counts
whole is taken once.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.metrics import Metric, controller, worker

BY = "by (cluster, region)"


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise. `total` and `bad` are rates over 5 minutes, per region; `target` is the share of good events."""

    name: str
    title: str
    total: str
    bad: str
    target: float

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.target, 6)


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows of a burn-rate alert (Google's SRE workbook, chapter 5)."""

    long: str
    short: str
    factor: float
    hold: str
    severity: str


BURNS = (
    Burn("1h", "5m", 14.4, "2m", "critical"),
    Burn("6h", "30m", 6, "15m", "critical"),
    Burn("1d", "2h", 3, "1h", "warning"),
    Burn("3d", "6h", 1, "3h", "warning"),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
LEAST_EVENTS = 20
"""Fewer in the long window say nothing: one bad call in a quiet night is no incident."""


def seconds(window: str) -> int:
    """``6h`` -> 21600."""
    return int(window[:-1]) * {"m": 60, "h": 3600, "d": 86_400}[window[-1]]


def at_most(metric: Metric, edge: float, **labels: str) -> str:
    """Rate of events up to `edge`, one of the metric's buckets, per region."""
    assert edge in metric.buckets, f"{metric.name} has no bucket {edge}"
    # Whether a whole number is written 5 or 5.0 depends on who scraped it.
    le = f'le=~"{edge:g}|{edge:g}\\\\.0"' if edge == int(edge) else f'le="{edge:g}"'
    matchers = ",".join([*(f'{name}="{value}"' for name, value in labels.items()), le])
    return f"sum {BY} (rate({metric.name}_bucket{{{matchers}}}[5m]))"


def events(metric: Metric) -> str:
    """Rate of all events, per region."""
    return f"sum {BY} (rate({metric.name}_count[5m]))"


def _late(metric: Metric, edge: float, **labels: str) -> str:
    return f"{events(metric)} - {at_most(metric, edge, **labels)}"


_ABANDONED = f"max {BY} (rate({controller.ABANDONED.name}_total[5m]))"
_SERVED = events(worker.CALL_SETUP)

OBJECTIVES = (
    Objective(
        "ttfa_1500ms",
        "99 % of turns are answered within 1.5 s",
        events(worker.TURN_TTFA),
        _late(worker.TURN_TTFA, 1.5),
        0.99,
    ),
    Objective(
        "ttfa_800ms",
        "95 % of turns are answered within 0.8 s",
        events(worker.TURN_TTFA),
        _late(worker.TURN_TTFA, 0.8),
        0.95,
    ),
    Objective(
        "greeting",
        "99.5 % of callers are greeted within 3 s of their call reaching a worker",
        events(worker.GREETING),
        _late(worker.GREETING, 3.0, result="ok"),
        0.995,
    ),
    Objective(
        "call_setup",
        "99.5 % of calls are set up within 3 s of reaching a worker",
        events(worker.CALL_SETUP),
        _late(worker.CALL_SETUP, 3.0, result="ok"),
        0.995,
    ),
    Objective(
        "wait",
        "99.9 % of callers get an agent within 2 s",
        f"({_SERVED} + {_ABANDONED})",
        f"({_late(controller.CALL_WAIT, 2.0)} + {_ABANDONED})",
        0.999,
    ),
    Objective(
        "mos",
        "95 % of call time has an estimated MOS above 3.6",
        events(worker.MOS),
        at_most(worker.MOS, 3.6),
        0.95,
    ),
)
