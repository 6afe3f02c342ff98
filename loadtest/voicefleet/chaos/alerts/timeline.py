"""What Alertmanager showed at each look -> which alerts fired, when and for how long -> the verdict. Pure.

Times are seconds on one monotonic clock. An alert that Alertmanager inhibits pages nobody: it is `muted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

CRITICAL = "critical"
RESOLVED_WITHIN_S = 60.0
GROUP_WAIT_S = 30.0
"""Alertmanager's `group_wait`: an alert that is not inhibited any more, and over before that, is told to nobody."""
_OWN = frozenset({"alertname", "severity", "region", "cluster", "class"})


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alert as Alertmanager has it; `told` are the labels that say which of its kind, such as ``redis``, and `text`
    is its description when it was seen first."""

    name: str
    severity: str
    region: str
    told: str
    muted: bool
    text: str = field(default="", compare=False)

    @property
    def shown(self) -> str:
        """``DependencyDown{redis}``, without the prefix that all have."""
        return self.name.removeprefix("Voicefleet") + (f"{{{self.told}}}" if self.told else "")


@dataclass(frozen=True, slots=True)
class Look:
    """All alerts that fired at one moment."""

    at_s: float
    alarms: frozenset[Alarm]


@dataclass(frozen=True, slots=True)
class Span:
    """An alert from the look that showed it first to the first one that did not; None: it fires still."""

    alarm: Alarm
    began_s: float
    ended_s: float | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fault must set off.

    Args:
        first: the alert that must come first, without its prefix; empty: none may come.
        within_s: from the fault to that alert.
        told: what it must name, in a label or in its description, such as ``redis``.
        also: alerts that may come beside it, because they are true and say more.
        most_starts: workers that any region may start until the remedy; None: as many as its pool needs.
    """

    first: str = ""
    within_s: float = 0.0
    told: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    most_starts: int | None = None


def alarm(entry: Mapping[str, Any]) -> Alarm:
    """From an alert as Alertmanager's API v2 gives it."""
    labels: Mapping[str, str] = entry["labels"]
    told = ",".join(value for name, value in sorted(labels.items()) if name not in _OWN)
    return Alarm(
        labels["alertname"],
        labels.get("severity", ""),
        labels.get("region", ""),
        told,
        bool(entry["status"]["inhibitedBy"]),
        entry.get("annotations", {}).get("description", ""),
    )


def spans(looks: Iterable[Look], regions: Sequence[str]) -> list[Span]:
    """Every alert of `regions`, and of no region, in the order they came. What Alertmanager mutes later, or not any
    more, is a span of its own: while it is not muted, it pages."""
    began: dict[Alarm, float] = {}
    unmuted: set[Alarm] = set()
    found: list[Span] = []
    for look in looks:
        here = {a for a in look.alarms if a.region in ("", *regions)}
        gone, new = began.keys() - here, here - began.keys()
        # What inhibited it is over, and so is it within the wait before Alertmanager tells anybody.
        unmuted |= {a for a in new if not a.muted and replace(a, muted=True) in gone}
        for over in gone:
            span = Span(over, began.pop(over), look.at_s)
            if not (over in unmuted and look.at_s - span.began_s < GROUP_WAIT_S):
                found.append(span)
            unmuted.discard(over)
        began |= dict.fromkeys(new, look.at_s)
    found += [Span(left, since_s, None) for left, since_s in began.items()]
    return sorted(found, key=lambda span: (span.began_s, span.alarm.name))


def verdict(
    found: Sequence[Span], expected: Expected, *, injected_s: float, mended_s: float, starts: int = 0
) -> dict[str, Any]:
    """The JSON of one fault; `starts` of workers until its remedy, in the region that had most.

    Returns:
        ``{first, known_after_s, fired: [{alert, severity, muted, after_s, lasted_s}], false_critical, unexpected,
        resolved_after_s, starts, problems, passed}``; seconds from the fault, `resolved_after_s` from its remedy. None:
        it did not come, or fires still.
    """
    pages = [span for span in found if not span.alarm.muted]
    first = pages[0] if pages else None
    wanted = (expected.first, *expected.also)
    strange = [span for span in pages if not _is(span.alarm, wanted)]
    false_critical = [span for span in strange if span.alarm.severity == CRITICAL]
    known_s = None if first is None else first.began_s - injected_s
    ends = [span.ended_s for span in pages]
    left = [span.alarm.shown for span in pages if span.ended_s is None]
    ended = [end for end in ends if end is not None]
    resolved_s = None if left or not ended else max(0.0, max(ended) - mended_s)
    problems = [
        *_first_problems(first, known_s, expected),
        *(f"{span.alarm.severity} that is not true or says nothing new: {span.alarm.shown}" for span in strange),
    ]
    if left:
        problems.append(f"fires still: {', '.join(left)}")
    elif resolved_s is not None and resolved_s > RESOLVED_WITHIN_S:
        problems.append(f"resolved {resolved_s:.0f} s after the remedy, not within {RESOLVED_WITHIN_S:.0f} s")
    if expected.most_starts is not None and starts > expected.most_starts:
        problems.append(f"a pool started {starts} workers before the remedy, at most {expected.most_starts} wanted")
    return {
        "first": first.alarm.shown if first else None,
        "known_after_s": _rounded(known_s),
        "fired": [_told(span, injected_s) for span in found],
        "false_critical": sorted({span.alarm.shown for span in false_critical}),
        "unexpected": sorted({span.alarm.shown for span in strange}),
        "resolved_after_s": _rounded(resolved_s),
        "starts": starts,
        "problems": problems,
        "passed": not problems,
    }


def _is(alarm_: Alarm, names: Iterable[str]) -> bool:
    return alarm_.name.removeprefix("Voicefleet") in names


def _first_problems(first: Span | None, known_s: float | None, expected: Expected) -> list[str]:
    if not expected.first:
        return []
    if first is None or known_s is None:
        return [f"nobody was told; {expected.first} should have come within {expected.within_s:.0f} s"]
    problems = []
    if not _is(first.alarm, (expected.first,)):
        problems.append(f"{first.alarm.shown} came first, not {expected.first}")
    for word in expected.told:
        if word not in f"{first.alarm.told} {first.alarm.text}".lower():
            problems.append(f"{first.alarm.shown} does not name {word}")
    if known_s > expected.within_s:
        problems.append(f"{first.alarm.shown} after {known_s:.0f} s, not within {expected.within_s:.0f} s")
    return problems


def _told(span: Span, injected_s: float) -> dict[str, Any]:
    return {
        "alert": span.alarm.shown,
        "severity": span.alarm.severity,
        "muted": span.alarm.muted,
        "after_s": _rounded(span.began_s - injected_s),
        "lasted_s": None if span.ended_s is None else _rounded(span.ended_s - span.began_s),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
