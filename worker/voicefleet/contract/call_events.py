"""Call events: what a team's billing, CRM or analytics is told of each call, as signed webhooks.

    call.started -> call.answered -> [call.moved | call.recovered | call.released]... -> call.ended

An event comes once or more often, always with the same id: whoever receives it keeps the ids and drops repeats.
Events of one call come in order. They say nothing of what was said, and name no participant; a room's name is the
front end's.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from voicefleet.contract.dial_api import DialView


class EventType(enum.StrEnum):
    """What an event tells."""

    STARTED = "call.started"
    """A caller joined, or an agent where it comes first."""
    ANSWERED = "call.answered"
    """An agent has the call; once more after a release, if somebody asked for one, and for a caller who is back."""
    MOVED = "call.moved"
    """An agent handed it over to one of another worker."""
    RECOVERED = "call.recovered"
    """Its agent was lost, and another one has it."""
    RELEASED = "call.released"
    """The agent ended its part on purpose; the call may go on without one."""
    ENDED = "call.ended"
    """It is over. The data is a `CallSummary` without its timeline and its silences."""


class CallState(enum.StrEnum):
    """Where a call stands."""

    ORDERED = "ordered"
    """A ticket was given, and nobody has joined with it yet."""
    WAITING = "waiting"
    """No agent has it, and one is wanted."""
    SERVED = "served"
    RELEASED = "released"
    """Its agent left on purpose; nobody is sent there."""
    ENDED = "ended"


class EndReason(enum.StrEnum):
    """Why a call ended."""

    CALLER_LEFT = "caller_left"
    ABANDONED = "abandoned"
    """The caller left before an agent came."""
    ROOM_CLOSED = "room_closed"
    """LiveKit closed its room, and did not say that the caller had left."""
    ROOM_DELETED = "room_deleted"
    """Its room was deleted with the caller in it, by the agent or the team."""
    REQUESTED = "requested"
    """`DELETE /v1/calls/{room}`."""
    MAX_DURATION = "max_duration"
    REFUSED = "refused"
    """The ticket was used again, or its key had all the calls that it may have."""
    ROOM_LOST = "room_lost"
    """LiveKit does not have its room any more, and did not say that it is over."""
    NO_CALLER = "no_caller"
    """No caller ever came."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AgentPart(_Part):
    """One agent's part of a call. Times are seconds since the call started."""

    worker: str
    epoch: int = Field(description="Its place among those who had the call; each next one is higher")
    how: str = Field(description="answered, moved or recovered")
    from_s: float
    until_s: float | None = Field(default=None, description="Null: it has the call")
    end: str = Field(default="", description="moved, lost, expired, left, released or ended; empty: it has the call")


class CallTurn(_Part):
    """One turn of the caller, and its answer."""

    at_s: float = Field(description="When it was over, seconds since the call started")
    epoch: int
    outcome: str = Field(description="completed, interrupted, error or session_closed")
    ttfa_s: float | None = Field(default=None, description="End of the caller's turn to the agent's first audio")
    stages: dict[str, float] = Field(default_factory=dict, description="Stage of the pipeline -> seconds")


class Silence(_Part):
    """A time in which the caller heard nobody. Times are seconds since the call started."""

    from_s: float
    until_s: float | None = Field(description="Null: it lasts")
    lasted_s: float
    why: str = Field(description="In words, as far as what was noted of the call tells")
    hint: str = Field(default="", description="Where to look, or what to change")


class TimelineEntry(_Part):
    """One line of a call's timeline."""

    at_s: float
    what: str
    detail: str = ""


class CallSummary(_Part):
    """A call, whole: while it lasts (`GET /v1/calls/{room}`) and after it (`call.ended`, an agent's `on_call_end`)."""

    call: str = Field(description="Id of the call: the sid of its room, and a number where that room had several")
    room: str
    region: str
    state: CallState
    reason: str = Field(default="", description="Why it ended, or why its agent released it")
    started_at: str | None = Field(default=None, description="Wall-clock time, ISO 8601, UTC; null: nobody joined yet")
    ended_at: str | None = None
    duration_s: float = Field(default=0.0, description="From its start to its end, or until now")
    waited_s: float | None = Field(default=None, description="From its start to the first agent; null: none came yet")
    served_s: float = Field(default=0.0, description="Time for which it had an agent")
    greeting_s: float | None = Field(default=None, description="First agent's start to its first audio")
    tier: str = ""
    language: str = ""
    key: str = Field(default="", description="Name of the API key that asked for the call; empty: it came without")
    placement: str = Field(default="", description="Why it is in its region, where there are several")
    dial: DialView | None = Field(default=None, description="Of a call that calls a number; not in `call.ended`")
    agents: list[AgentPart] = Field(default_factory=list)
    turns: list[CallTurn] = Field(default_factory=list)
    interruptions: int = Field(default=0, description="Times the caller spoke into the agent's voice")
    apologies: int = 0
    silences: int = Field(default=0, description="Times the caller waited for a voice for more than 10 s")
    more_facts: int = Field(default=0, description="Turns and the like that were too many to keep")
    trace_id: str = Field(default="", description="W3C trace id, as in log lines and traces; empty: not known")
    dead_air: list[Silence] = Field(
        default_factory=list, description="Silences of 3 s and more, each with its reason; not in `call.ended`"
    )
    timeline: list[TimelineEntry] = Field(
        default_factory=list, description="What happened, in order; not in `call.ended`"
    )


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One event. `data` is JSON as it is sent, beside `call` and `region`."""

    id: str
    type: EventType
    call: str
    region: str
    at_ms: int
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """What is sent: the same bytes each time."""
        data = {"call": self.call, "region": self.region, **self.data}
        sent = {"type": self.type.value, "timestamp": iso_time(self.at_ms), "data": data}
        return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()


def iso_time(ms: float) -> str:
    """Unix milliseconds as ISO 8601, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SECRET_PREFIX = "whsec_"
SECRET_LEAST_BYTES = 16


def secret_keys(text: str) -> tuple[bytes, ...]:
    """The signing keys in a secret: ``whsec_BASE64``, or several with spaces between them while one is replaced.

    Raises:
        ValueError: there is none, or one is not of this form, or shorter than 16 bytes.
    """
    keys = []
    for word in text.split():
        if not word.startswith(SECRET_PREFIX):
            raise ValueError("it does not begin with whsec_")
        key = base64.b64decode(word.removeprefix(SECRET_PREFIX), validate=True)
        if len(key) < SECRET_LEAST_BYTES:
            raise ValueError(f"it has less than {SECRET_LEAST_BYTES} bytes")
        keys.append(key)
    if not keys:
        raise ValueError("it is empty")
    return tuple(keys)


def signed_headers(keys: Sequence[bytes], id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 of ``id.timestamp.body`` with each key.

    Args:
        at_s: Unix time of this attempt; a receiver refuses one that is minutes off.
    """
    content = b".".join((id.encode(), str(at_s).encode(), body))
    signatures = (base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
