"""What is promised, as expressions: for each objective the rate of all events and of bad ones, and the target.

Worker metrics have their region from the scrape target, the controller's have it as a label; `cluster` is whatever the
scrape adds, or nothing. Controllers may be several: what each of them counts alone is summed, what each of them counts
whole is taken once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicefleet.contract.metrics import Metric, controller, worker
from voicefleet.contract.responses import BAD_RESPONSES

BY = "by (cluster, region)"
Rate = Callable[[str], str]
"""A rate of events, per region, over a window such as ``5m``."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: `target` is the share of good events."""

    name: str
    title: str
    total: Rate
    bad: Rate
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
LEAST_EVENTS, LEAST_BAD = 20, 10
"""Fewer of all, or fewer bad ones, in the long window say nothing: one bad call in a quiet night is no incident."""
MANY_BAD = 15
"""Bad events in the short window, from which on a minute without one says that it is over."""


def seconds(window: str) -> int:
    """``6h`` -> 21600."""
    return int(window[:-1]) * {"m": 60, "h": 3600, "d": 86_400}[window[-1]]


def at_most(metric: Metric, edge: float, **labels: str) -> Rate:
    """Events up to `edge`, one of the metric's buckets."""
    assert edge in metric.buckets, f"{metric.name} has no bucket {edge}"
    # Whether a whole number is written 5 or 5.0 depends on who scraped it.
    le = f'le=~"{edge:g}|{edge:g}\\\\.0"' if edge == int(edge) else f'le="{edge:g}"'
    matchers = ",".join([*(f'{name}="{value}"' for name, value in labels.items()), le])
    return lambda window: f"sum {BY} (rate({metric.name}_bucket{{{matchers}}}[{window}]))"


def events(metric: Metric) -> Rate:
    """All events of a histogram."""
    return lambda window: f"sum {BY} (rate({metric.name}_count[{window}]))"


def counted(metric: Metric, matchers: str = "", *, by: str = "sum") -> Rate:
    """Events of a counter; `by`: max where every replica counts them all."""
    selected = f"{{{matchers}}}" if matchers else ""
    return lambda window: f"{by} {BY} (rate({metric.name}_total{selected}[{window}]))"


def plus(*rates: Rate) -> Rate:
    """Their sum."""
    return lambda window: f"({' + '.join(rate(window) for rate in rates)})"


def _late(metric: Metric, edge: float, **labels: str) -> Rate:
    in_time = at_most(metric, edge, **labels)
    return lambda window: f"({events(metric)(window)} - {in_time(window)})"


_ABANDONED = counted(controller.ABANDONED, by="max")
_UNANSWERED = counted(worker.TURNS, 'outcome="error"')
"""Turns that got an apology, or nothing: they have no TTFA, and count with those that had a late one."""

OBJECTIVES = (
    Objective(
        "ttfa_1500ms",
        "99 % of turns are answered within 1.5 s",
        plus(events(worker.TURN_TTFA), _UNANSWERED),
        plus(_late(worker.TURN_TTFA, 1.5), _UNANSWERED),
        0.99,
    ),
    Objective(
        "ttfa_800ms",
        "95 % of turns are answered within 0.8 s",
        plus(events(worker.TURN_TTFA), _UNANSWERED),
        plus(_late(worker.TURN_TTFA, 0.8), _UNANSWERED),
        0.95,
    ),
    Objective(
        "answer",
        "99.5 % of turns get an answer, whole, and no apology instead",
        counted(worker.TURNS, 'outcome!="session_closed"'),
        plus(_UNANSWERED, counted(worker.APOLOGIES, 'reason="cut_short"')),
        0.995,
    ),
    Objective(
        "response",
        "95 % of answers are of use: not asked for again, not hung up on, not missing",
        counted(worker.RESPONSES),
        counted(worker.RESPONSES, f'result=~"{"|".join(sorted(BAD_RESPONSES))}"'),
        0.95,
    ),
    Objective(
        "greeting",
        "99.5 % of callers are greeted within 3 s of their call reaching a worker, and not by an apology",
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
        plus(events(worker.CALL_SETUP), _ABANDONED),
        plus(_late(controller.CALL_WAIT, 2.0), _ABANDONED),
        0.999,
    ),
    Objective(
        "admission",
        "99.9 % of requests for a call get a ticket",
        counted(controller.CALL_REQUESTS),
        counted(controller.CALL_REQUESTS, 'result!~"ticket|dialled"'),
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
