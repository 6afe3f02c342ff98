"""An outbound call: what was ordered, how its dial goes, and what each outcome leads to. Pure.

    queued --an agent is there--> dialling --> ringing --> answered
       ^                             |            |
       '--retry, after its pause--- busy | no_answer | failed

A dial's participant has a name of its own for each attempt, and is looked for before anything is done again: a number
is never dialled twice in one attempt, whichever controller dies when.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from voicefleet.contract.calls import CallRecord

DIAL_TTL_MS = 86_400_000
"""What became of a dial is known for a day."""

NUMBER_PATTERN = r"^\+?[0-9]{2,15}$"
TRUNK_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
HEADER_PATTERN = r"^[Xx]-[A-Za-z0-9-]{1,60}$"
MAX_HEADERS = 16
MAX_HEADER_LENGTH = 256
LEAST_RING_S, MOST_RING_S = 5, 80
"""LiveKit's own longest is 80 s."""
MOST_ATTEMPTS = 5

OUTBOUND = "outbound"
"""Field of a dispatch's metadata: the agent waits for the callee's answer before it speaks."""

CALL_STATUS = "sip.callStatus"
DIALLED_NUMBER = "sip.trunkPhoneNumber"
"""LiveKit's attribute of who called in: the number that they dialled."""
"""Participant attribute that LiveKit's SIP service sets."""
INBOUND_RULE = "sip.ruleID"
"""The same: the rule that let an inbound call in."""
ACTIVE, RINGING_STATUS, HANGUP = "active", "ringing", "hangup"
NOT_ANSWERED = frozenset({"dialing", RINGING_STATUS, "automation", HANGUP})
"""Statuses of somebody who does not hear us: not yet, or not any more."""


class DialState(enum.StrEnum):
    """Where a dial is."""

    QUEUED = "queued"
    """It waits for its time, for the trunk or for an agent."""
    DIALLING = "dialling"
    RINGING = "ringing"
    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"

    @property
    def pending(self) -> bool:
        """The callee may yet answer: an agent is wanted, although nobody is there."""
        return self in (DialState.QUEUED, DialState.DIALLING, DialState.RINGING)

    @property
    def under_way(self) -> bool:
        """The number is being dialled."""
        return self in (DialState.DIALLING, DialState.RINGING)


UNANSWERED = (DialState.BUSY, DialState.NO_ANSWER, DialState.FAILED)


@dataclass(frozen=True, slots=True)
class DialOrder:
    """Whom to call and how. Numbers and headers are personal data: never logged, never labels."""

    trunk: str
    """Id of LiveKit's outbound trunk."""
    to: str = field(default="", repr=False)
    caller_number: str = field(default="", repr=False)
    """The number that the callee sees; empty: one of the trunk's."""
    ring_timeout_s: int = 30
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    wait_s: float = 300.0
    """So long it may wait for the trunk and an agent, in one attempt."""
    attempts: int = 1
    retry_on: tuple[str, ...] = ()
    retry_pause_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, with SIP's own words for it where it said any."""

    state: DialState
    sip_status_code: int = 0
    sip_status: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Dial:
    """One outbound call, as Redis keeps it. Times are milliseconds of Redis's clock."""

    call: CallRecord
    order: DialOrder
    state: str = DialState.QUEUED.value
    attempt: int = 1
    rev: int = 0
    """Raised by each change; whoever changes it says which it saw."""
    due_ms: int = 0
    """When it is looked at next."""
    since_ms: int = 0
    """When this attempt began to wait; while the number is dialled: when that began; answered: when it was."""
    admitted: bool = False
    """It has a place on its trunk, its room is there and an agent is wanted."""
    owner: str = ""
    """The replica that dials, until `owned_until_ms`: another one carries on after that."""
    owned_until_ms: int = 0
    seen: bool = False
    """The callee's participant was in the room."""
    closing: bool = False
    """The attempt is over, and its room is still to be closed."""
    done: bool = False
    """It was answered, and the call is over."""
    sip_status_code: int = 0
    sip_status: str = ""
    detail: str = ""

    @property
    def room(self) -> str:
        return self.call.room

    @property
    def callee(self) -> str:
        """Identity of the callee's participant in this attempt."""
        return f"callee-{self.attempt}"

    @property
    def active(self) -> bool:
        """Something is left to be done."""
        return self.closing or not (self.done or DialState(self.state) in UNANSWERED)

    def over(self, outcome: Outcome, now_ms: int) -> Dial:
        """This dial once its attempt has ended so; an attempt that is left begins after its pause."""
        ended = replace(
            self,
            closing=True,
            admitted=False,
            owner="",
            owned_until_ms=0,
            seen=False,
            due_ms=now_ms,
            sip_status_code=outcome.sip_status_code,
            sip_status=outcome.sip_status,
            detail=outcome.detail,
        )
        if outcome.state in self.order.retry_on and self.attempt < self.order.attempts:
            again_ms = now_ms + round(self.order.retry_pause_s * 1000)
            return replace(ended, state=DialState.QUEUED.value, attempt=self.attempt + 1, since_ms=again_ms)
        return replace(ended, state=outcome.state.value, since_ms=now_ms)


_BUSY = frozenset({486, 600, 603})
_NO_ANSWER = frozenset({408, 480, 487})


def outcome_of(code: int, status: str, reason: str) -> Outcome:
    """What a refused dial is: by SIP's status code, or LiveKit's `reason` where SIP said nothing (code 0)."""
    if code in _BUSY:
        state = DialState.BUSY
    elif code in _NO_ANSWER or (not code and reason == "deadline_exceeded"):
        state = DialState.NO_ANSWER
    else:
        state = DialState.FAILED
    return Outcome(state, code, status, reason)


def hears(attributes: Mapping[str, str]) -> bool:
    """Whether a phone with these participant attributes hears what is said. An inbound call is answered by LiveKit when
    somebody listens to it, so that one counts from the beginning."""
    return INBOUND_RULE in attributes or attributes.get(CALL_STATUS, "") not in NOT_ANSWERED


def allowed(to: str, prefixes: tuple[str, ...]) -> bool:
    """Whether the number `to` may be dialled where these `prefixes` may; none: any number."""
    return not prefixes or to.startswith(prefixes)
