"""What Redis keeps of a call, and the `CallSummary` made from it. Pure.

A hash (`Keys.call_log`) says where the call stands; a list (`Keys.call_facts`) holds what happened, in order. The Lua
scripts of claims and callers write both, in the same move that changes the claim, so they are there whichever process
dies. The job adds turns and the like; if it dies before its last ones, they are missing, and nothing else is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from voicefleet.contract.call_events import (
    AgentPart,
    CallState,
    CallSummary,
    CallTurn,
    EndReason,
    TimelineEntry,
    iso_time,
)
from voicefleet.contract.call_silences import silences

LOG_TTL_MS = 86_400_000
"""For which the log of a call is kept without a change."""

MOST_NOTES = 50
"""Of one kind (waits, dispatches) that the controllers add to one call."""

MOST_FACTS = 1_000
"""Of one call; turns beyond are counted only."""

MOST_EVENTS = 200_000
"""That wait for being told in one region, about 400 bytes each; beyond, the oldest are lost."""

ENDS_AFTER_MS = 20_000
"""A call is over when it has had neither a caller nor an agent for so long."""

FLUSH_MS = 2_000
"""After the end of a room, for the last words of its job."""


_END_REASONS = frozenset(reason.value for reason in EndReason)


@dataclass(frozen=True, slots=True)
class CallLog:
    """What Redis has of one call."""

    call: str
    region: str
    log: Mapping[str, str]
    facts: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, call: str, region: str, log: Mapping[str, str], facts: Iterable[str]) -> CallLog | None:
        """None: there is no such call (any more). A fact that cannot be read is left out."""
        return cls(call, region, log, tuple(_read(facts))) if "room" in log and "opened_ms" in log else None

    @property
    def room(self) -> str:
        return self.log["room"]

    @property
    def key(self) -> str:
        """Name of the API key whose call it is; empty: it came without one."""
        return self.log.get("key", "")

    @property
    def ended_ms(self) -> int:
        """When the call ended, or surely has: the room was closed, or the last one left. 0: it goes on."""
        return int(self.log.get("ended_ms") or 0)

    def end_ms(self) -> int:
        """The time of the end of a call that is over and not closed yet."""
        log = self.log
        found = log.get("left_ms") or log.get("over_ms") or log.get("lost_ms") or log["opened_ms"]
        return int(found)

    def end_reason(self) -> EndReason:
        """Why a call that is over ended."""
        log, given = self.log, self.log.get("reason", "")
        if given != EndReason.ROOM_CLOSED and given in _END_REASONS:
            return EndReason(given)
        if not any(fact["e"] == "caller" for fact in self.facts):
            return EndReason.NO_CALLER
        if "left_ms" in log:
            return EndReason.CALLER_LEFT if "answered" in log else EndReason.ABANDONED
        return EndReason.ROOM_CLOSED if given else EndReason.ROOM_LOST


def _read(texts: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for text in texts:
        try:
            fact = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(fact, dict) and isinstance(fact.get("e"), str) and isinstance(fact.get("t"), int | float):
            yield fact


def summarize(call: CallLog, now_ms: int, *, over: bool = False) -> CallSummary:
    """The call as it stands at `now_ms`, on Redis's clock.

    Args:
        over: it has ended, and only its log does not say so yet.
    """
    log, opened_ms = call.log, int(call.log["opened_ms"])
    ended_ms = call.ended_ms or (call.end_ms() if over else 0)
    until_ms = max(ended_ms or now_ms, opened_ms)

    def since(ms: float) -> float:
        return round(max(0.0, (ms - opened_ms) / 1000), 3)

    parts = _parts(call.facts, since, since(ended_ms) if ended_ms else None)
    turns = [_turn(fact, since) for fact in call.facts if fact["e"] == "turn"]
    greeting = next((f.get("seconds") for f in call.facts if f["e"] == "greeting"), None)
    return CallSummary(
        call=call.call,
        room=call.room,
        region=call.region,
        state=_state(call, bool(ended_ms)),
        reason=_reason(call, bool(ended_ms)),
        started_at=iso_time(opened_ms),
        ended_at=iso_time(ended_ms) if ended_ms else None,
        duration_s=since(until_ms),
        waited_s=parts[0].from_s if parts else None,
        served_s=round(sum((since(until_ms) if p.until_s is None else p.until_s) - p.from_s for p in parts), 3),
        greeting_s=greeting if isinstance(greeting, int | float) else None,
        tier=log.get("tier", ""),
        language=log.get("language", ""),
        key=call.key,
        placement=next((str(f.get("why", "")) for f in call.facts if f["e"] == "caller"), ""),
        agents=parts,
        turns=turns,
        interruptions=sum(f["e"] == "interruption" and f.get("kind") == "barge_in" for f in call.facts),
        apologies=_count(call.facts, "apology"),
        silences=_count(call.facts, "silence"),
        more_facts=int(log.get("more_facts") or 0),
        trace_id=log.get("trace", ""),
        dead_air=silences(
            call.facts,
            since,
            region=call.region,
            ended_s=since(ended_ms) if ended_ms else None,
            now_s=since(until_ms),
        ),
        timeline=_timeline(call, since, since(ended_ms) if ended_ms else None),
    )


def _timeline(call: CallLog, since: Callable[[float], float], ended_s: float | None) -> list[TimelineEntry]:
    found = [TimelineEntry(at_s=since(fact["t"]), what=fact["e"], detail=_detail(fact)) for fact in call.facts]
    if ended_s is not None:
        found.append(TimelineEntry(at_s=ended_s, what="ended", detail=_reason(call, True)))
    # What a job tells comes a moment after what it tells of.
    return sorted(found, key=lambda entry: entry.at_s)


def _count(facts: Iterable[Mapping[str, Any]], kind: str) -> int:
    return sum(fact["e"] == kind for fact in facts)


def _state(call: CallLog, ended: bool) -> CallState:
    if ended:
        return CallState.ENDED
    if "job" in call.log:
        return CallState.SERVED
    return CallState.RELEASED if "released" in call.log else CallState.WAITING


def _reason(call: CallLog, ended: bool) -> str:
    if ended:
        return call.end_reason().value
    released = [str(fact.get("reason", "")) for fact in call.facts if fact["e"] == "released"]
    return released[-1] if released and "released" in call.log else ""


_BEGINS = frozenset({"answered", "moved", "recovered"})
_ENDS = frozenset({"left", "lost", "expired", "released"})


def _parts(
    facts: Iterable[Mapping[str, Any]], since: Callable[[float], float], ended_s: float | None
) -> list[AgentPart]:
    parts: list[AgentPart] = []

    def end(at_s: float, how: str) -> None:
        if parts and parts[-1].until_s is None:
            # A job says its last words after the room's end.
            at_s = at_s if ended_s is None else max(parts[-1].from_s, min(at_s, ended_s))
            parts[-1] = parts[-1].model_copy(update={"until_s": at_s, "end": how})

    for fact in facts:
        kind, at_s = fact["e"], since(fact["t"])
        if kind in _BEGINS:
            end(at_s, "moved" if kind == "moved" else "lost")
            parts.append(
                AgentPart(worker=str(fact.get("worker", "")), epoch=int(fact.get("epoch") or 0), how=kind, from_s=at_s)
            )
        elif kind in _ENDS:
            end(at_s, kind)
    if ended_s is not None:
        end(ended_s, "ended")
    return parts


def _turn(fact: Mapping[str, Any], since: Callable[[float], float]) -> CallTurn:
    stages, ttfa = fact.get("stages"), fact.get("ttfa_s")
    return CallTurn(
        at_s=since(fact["t"]),
        epoch=int(fact.get("epoch") or 0),
        outcome=str(fact.get("outcome", "")),
        ttfa_s=ttfa if isinstance(ttfa, int | float) else None,
        stages=in_order(stages) if isinstance(stages, dict) else {},
    )


_STAGES = ("eou", "stt", "callback", "llm_ttft", "tts_ttfb", "playback")


def in_order(stages: Mapping[str, Any]) -> dict[str, float]:
    """A turn's stages as they follow each other; those that this release does not know come last."""
    known = [name for name in _STAGES if name in stages]
    return {str(name): float(stages[name]) for name in (*known, *(name for name in stages if name not in _STAGES))}


def _detail(fact: Mapping[str, Any]) -> str:
    """What else a fact says, in a few words."""
    match fact["e"]:
        case "answered" | "moved" | "recovered":
            gap = f", {_seconds(fact, 'gap_ms', 1000)} without" if fact.get("gap_ms") else ""
            old = f" from {fact['from_worker']}" if fact.get("from_worker") else ""
            return f"{fact.get('worker', '')}{old} (epoch {fact.get('epoch', 0)}{gap})"
        case "waiting" | "dispatched" | "lost" | "expired" | "left":
            return _state_of_things(fact)
        case "turn":
            ttfa = fact.get("ttfa_s")
            stages = fact.get("stages")
            said = [str(fact.get("outcome", ""))]
            said += [f"TTFA {1000 * ttfa:.0f} ms"] if isinstance(ttfa, int | float) else []
            if isinstance(stages, dict) and stages:
                said.append(" ".join(f"{name} {1000 * s:.0f}" for name, s in in_order(stages).items()))
            return ", ".join(said)
        case "greeting":
            said_by = ", an apology" if fact.get("result") == "apology" else ""
            return f"after {_seconds(fact, 'seconds')}{said_by}"
        case "voice_back" | "silence_over":
            return f"after {_seconds(fact, 'seconds')}" if fact.get("seconds") else ""
        case "apology" if fact.get("waited_s"):
            return f"{fact.get('reason', '')}, after {_seconds(fact, 'waited_s')}"
        case "interruption":
            return str(fact.get("kind", ""))
        case "tier_drawn":
            return str(fact.get("tier", ""))
        case "response":
            return str(fact.get("result", "")).replace("_", " ")
        case "task":
            return ": ".join(filter(None, (str(fact.get("task", "")), str(fact.get("result", "")))))
        case "caller":
            return str(fact.get("why", ""))
        case "released" | "apology" | "provider_failure" | "fallback" | "tier":
            return str(fact.get("reason", ""))
        case _:
            return ""


def _state_of_things(fact: Mapping[str, Any]) -> str:
    """What a controller saw of a call without an agent."""
    match fact["e"]:
        case "waiting":
            numbers = ", ".join(f"{name} {fact[name]}" for name in ("live", "slots", "starting") if name in fact)
            return ": ".join(filter(None, (str(fact.get("why", "")), numbers)))
        case "dispatched":
            return f"attempt {fact.get('attempt', 0)}"
    why = str(fact.get("why", "")).replace("_", " ")
    since = f"last sign of life {_seconds(fact, 'silent_ms', 1000)} before" if fact.get("silent_ms") else ""
    return ", ".join(filter(None, (why, since)))


def _seconds(fact: Mapping[str, Any], name: str, of: int = 1) -> str:
    value = fact.get(name)
    return f"{value / of:.1f} s" if isinstance(value, int | float) else "? s"
