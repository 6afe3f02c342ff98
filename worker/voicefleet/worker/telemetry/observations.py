"""What a job process reports about its call: one frozen value a kind, and the one codec that both ends use.

A new kind takes its class here, its metric in `contract.metrics.worker`, and the line of code that sends it. The kind
is counted by its `metric`: a label of the metric is the field of the same name (`agent` is the worker's own), a
histogram observes `seconds`. What more a kind means has a method in `telemetry.metrics`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from voicefleet.contract.metrics import Metric
from voicefleet.contract.metrics import worker as catalogue
from voicefleet.contract.spans import SpanRecord

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

KINDS: dict[str, type[Observation]] = {}
"""Every kind of observation, by the name it has on the wire."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Something that happened in a call. It never carries what was said."""

    metric: ClassVar[Metric | None] = None
    """What counts it; None: only a method of `telemetry.metrics` does."""

    def __init_subclass__(cls) -> None:
        KINDS[cls.__name__] = cls


@dataclass(frozen=True, slots=True)
class Setup(Observation):
    """Job given to this worker to the agent hearing the room; `result`: ok or failed."""

    metric = catalogue.CALL_SETUP
    result: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Greeting(Observation):
    """Job given to this worker to the agent's first audio; `result`: ok, apology or silent."""

    metric = catalogue.GREETING
    result: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class StageTiming:
    """How long one stage of the pipeline took of a turn."""

    stage: str
    provider: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Turn(Observation):
    """A turn of the caller is over. `trace` is the id of the call's trace, for exemplars; empty: none. `spoke_s`: the
    agent's first audio to this report; None: not known."""

    metric = catalogue.TURNS
    tier: str
    outcome: str
    ttfa_s: Seconds | None = None
    stages: tuple[StageTiming, ...] = ()
    trace: str = ""
    spoke_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Response(Observation):
    """It is known how an answer went down with the caller; `result`: a `contract.responses.ResponseResult`."""

    metric = catalogue.RESPONSES
    tier: str
    result: str


@dataclass(frozen=True, slots=True)
class TaskReported(Observation):
    """The agent reports how it went with what the caller wanted; `result`: a `contract.responses.TaskResult`. `task`:
    the team's own word for it, for the call's log alone."""

    metric = catalogue.TASKS
    tier: str
    result: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Interruption(Observation):
    """The caller spoke into the agent's voice: a barge_in, a backchannel, or false (it was no speech).

    `stop_s`: the caller's onset to the agent's silence; None where the agent spoke on.
    """

    metric = catalogue.INTERRUPTIONS
    kind: str
    stop_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class DeadAir(Observation):
    """The caller has waited too long for a voice (`silent`), or does not any more."""

    silent: bool


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of an RTP interval."""

    loss_ratio: Ratio
    jitter_s: Seconds
    mos: Annotated[float, Field(ge=1, le=5)]


@dataclass(frozen=True, slots=True)
class RtpInterval(Observation):
    """What happened on the media path between two readings. A direction is None when nothing is known of it."""

    inbound: Direction | None
    outbound: Direction | None
    rtt_s: Seconds | None
    samples: Count
    concealed: Count


@dataclass(frozen=True, slots=True)
class ProviderFailure(Observation):
    """A request to a provider failed."""

    metric = catalogue.PROVIDER_FAILURES
    stage: str
    kind: str


@dataclass(frozen=True, slots=True)
class Fallback(Observation):
    """A provider was given up for the next of its stage."""

    metric = catalogue.FALLBACKS
    stage: str


@dataclass(frozen=True, slots=True)
class TierChanged(Observation):
    """The call is served by another tier of the ladder; `result`: start, between_turns or failed. `why`: in words."""

    metric = catalogue.TIER_CHANGES
    result: str
    tier: str
    instead_of: str
    why: str


@dataclass(frozen=True, slots=True)
class ApologySpoken(Observation):
    """A recorded clip was played because nothing else came in time. `waited_s`: the caller's wait for it; None: not
    known."""

    metric = catalogue.APOLOGIES
    reason: str
    waited_s: Seconds | None = dataclasses.field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TranscriptLost(Observation):
    """A part of the call's transcript is lost."""

    metric = catalogue.TRANSCRIPT_LOST
    reason: str


@dataclass(frozen=True, slots=True)
class HookFailed(Observation):
    """A part of the team's own code raised, or took too long; the call goes on without it."""

    metric = catalogue.HOOK_FAILURES
    hook: str


@dataclass(frozen=True, slots=True)
class Resumed(Observation):
    """The call was taken over from another agent."""

    metric = catalogue.RESUMED
    why: str


@dataclass(frozen=True, slots=True)
class HandoffHeld(Observation):
    """A handoff waits for the call's work (`result`: waited), or went ahead at the drain's limit (cut)."""

    metric = catalogue.HANDOFFS_HELD
    kind: str
    result: str


@dataclass(frozen=True, slots=True)
class Span(Observation):
    """A span of the call's trace has ended."""

    record: SpanRecord


@dataclass(frozen=True, slots=True)
class CallEnded(Observation):
    """The call is over for this job."""

    metric = catalogue.CALLS
    result: str


@dataclass(frozen=True, slots=True)
class CallReleased(Observation):
    """The agent's part in the call ended on purpose; `reason`: a `contract.aside.ReleaseReason`."""

    metric = catalogue.CALLS_RELEASED
    reason: str


def encode(observation: Observation) -> bytes:
    """One line: the kind, a space, the fields as JSON."""
    fields = json.dumps(dataclasses.asdict(observation), separators=(",", ":"))
    return f"{type(observation).__name__} {fields}\n".encode()


def decode(line: bytes) -> Observation:
    """The observation of `line`. Raises `ValueError`: of no known kind, or a field is missing or wrong."""
    name, _, fields = line.partition(b" ")
    kind = name.decode("ascii", "replace")
    if kind not in KINDS:
        raise ValueError("not a kind of observation")
    try:
        observation: Observation = _adapter(kind).validate_json(fields, strict=True)
    except ValidationError as error:
        raise ValueError(f"not a {kind}") from error
    return observation


@functools.cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    # Made when needed: a job process only encodes.
    return TypeAdapter(KINDS[kind])
