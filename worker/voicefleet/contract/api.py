"""Schemas of the controller's HTTP API, version 1."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from voicefleet.contract.calls import (
    LANGUAGE_PATTERN,
    MAX_METADATA_BYTES,
    MAX_PRIORITY,
    ORDER_FIELDS,
    TIER_PATTERN,
    CallOrder,
)
from voicefleet.contract.decisions import DecisionInputs
from voicefleet.contract.dial_api import DialRequest
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.placement import (
    COUNTRY_PATTERN,
    MOST_ROUND_TRIPS,
    Alternative,
    PlacementView,
    RoundTrip,
)
from voicefleet.contract.schemas import Schema, plain

AGENT_PATTERN = r"^[^\s\x00-\x1f]{1,64}$"


class _Order(Schema):
    """What a call is ordered with."""

    tier: Annotated[str, Field(pattern=TIER_PATTERN.pattern)] | None = Field(
        default=None, description="Speed/quality setting of the pipeline; the worker's default when left out"
    )
    metadata: Annotated[str, Field(max_length=MAX_METADATA_BYTES)] = Field(
        default="", description="Passed to the agent as it is; never logged"
    )
    language: Annotated[str, Field(pattern=LANGUAGE_PATTERN.pattern)] | None = Field(
        default=None, description="BCP 47 tag of the language that the caller speaks, for the agent, such as `de-CH`"
    )

    def order(self, traceparent: str = "") -> CallOrder:
        """What the call is ordered with: all fields of an order that a request has, and the trace of the request."""
        asked = {name: getattr(self, name) or "" for name in ORDER_FIELDS if name in type(self).model_fields}
        return CallOrder(**asked, traceparent=traceparent)


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError("not an IP address") from error
    return text


class CallRequest(_Order):
    """Body of `POST /v1/calls`."""

    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] | None = Field(
        default=None,
        description="The region of the call; when left out it is placed by what the next four say, else where the most "
        "slots are free",
    )
    round_trips: Annotated[tuple[RoundTrip, ...], Field(max_length=MOST_ROUND_TRIPS)] | None = Field(
        default=None, description="Round trips that the caller measured with the probes of `GET /v1/probes`"
    )
    address: Annotated[str, Field(max_length=64), AfterValidator(_address)] | None = Field(
        default=None,
        description="The caller's IP address, for the controller's table of networks; never kept or logged",
    )
    country: Annotated[str, Field(pattern=COUNTRY_PATTERN)] | None = Field(
        default=None, description="The country that the caller is in, ISO 3166-1 alpha-2, for the controller's table"
    )
    residency: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] | None = Field(
        default=None,
        description="Data-residency group that the call must not leave; it is refused rather than placed elsewhere",
    )
    agent: Annotated[str, Field(pattern=AGENT_PATTERN)] | None = Field(
        default=None, description="The agent, of a region that has several; by the key, else the default when left out"
    )
    identity: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain)] | None = Field(
        default=None, description="The caller's identity in the room; made up when left out"
    )
    data: bool = Field(
        default=False,
        description="The caller may send data to the room (chat, files, RPC) beside its microphone's audio",
    )
    priority: Annotated[int, Field(ge=0, le=MAX_PRIORITY)] = Field(
        default=0, description="Among waiting calls the higher one is served first; each level is worth 10 s of waiting"
    )
    dial: DialRequest | None = Field(
        default=None, description="Call a number; then nobody gets a ticket. `identity` and `data` do not apply"
    )


class AgentRequest(_Order):
    """Body of `POST /v1/rooms/{room}/agent`; what is left out stays as the call was ordered."""

    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] | None = Field(
        default=None, description="Where the room is; needed only where rooms in several regions have its name"
    )
    agent: Annotated[str, Field(pattern=AGENT_PATTERN)] | None = Field(
        default=None, description="The agent, of a region that has several; the call's own, else the default"
    )


class AgentRequested(Schema):
    """Answer of `POST /v1/rooms/{room}/agent`."""

    room: str
    region: str
    state: str = Field(description="requested: an agent comes once a slot is free; accepted or live: one has the call")


class RejoinRequest(Schema):
    """Body of `POST /v1/calls/{room}/ticket`."""

    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] | None = Field(
        default=None, description="The call's region; needed only where calls in several regions have its name"
    )
    identity: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain)] | None = Field(
        default=None, description="The identity that the first ticket was for: it replaces itself; else one more caller"
    )
    data: bool = Field(
        default=False,
        description="The caller may send data to the room (chat, files, RPC) beside its microphone's audio",
    )


class CallTicket(Schema):
    """Answer of `POST /v1/calls`: all a LiveKit client needs to join. `token` is a secret: no repr shows it."""

    url: str = Field(description="Address of the region's LiveKit, for the client's `connect`")
    token: str = Field(repr=False, description="Lets this caller join for a minute, with a microphone alone; a secret")
    room: str = Field(description="The room, which the join makes; names the call in every other route")
    region: str = Field(description="Where the call is")
    identity: str = Field(default="", description="The caller's identity in the room")
    agent: str = Field(default="", description="Of a region with several agents: the one that serves the call")
    version: str = Field(default="", description="Of an agent with several versions: the one that the call begins with")
    placement: PlacementView | None = Field(
        default=None, description="Of a fleet with several regions: why the call is in this one"
    )
    alternatives: tuple[Alternative, ...] = Field(
        default=(),
        description="Regions that could take the call as well, the best first: where to go on when `url` "
        "cannot be reached",
    )


class WorkerView(Schema):
    """One worker in `GET /v1/regions`."""

    id: str
    state: str
    slots: int
    live: int = Field(
        description="Calls and job processes that it last reported; one that ends has its slot a bit longer"
    )
    calls: int | None = Field(
        default=None,
        description="Calls that are its own now: with `moving` they are the region's `live`; null: unknown",
    )
    age_s: float | None
    pid: int = 0
    instance: str = Field(
        default="",
        description="What runs it: pending, unschedulable, pulling, starting, running, crash_looping or stopping",
    )
    detail: str = Field(default="", description="Why it does not run, if that is known")


class WorkerStatus(Schema):
    """Answer of `GET /v1/workers/{id}`."""

    worker: str
    region: str
    state: str = Field(description="starting, ready, draining, stopping or unknown")
    slots: int
    live: int = Field(description="Calls it still has, as far as it last said or its claims tell")
    leaving: bool = Field(description="It was told to drain and end")


class DrainView(Schema):
    """Answer of `POST /v1/workers/{id}/drain`."""

    worker: str
    region: str
    live: int = Field(description="Calls that are to move to other workers")


class FindingView(Schema):
    """One thing that is wrong with a region."""

    id: str = Field(description="The same word as long as it is the same thing, such as no_ready_workers")
    state: str = Field(description="degraded, unknown or failing")
    cause: str = Field(description="What is wrong and why, in one line")
    hint: str = Field(description="What to do about it")


class IncidentView(Schema):
    """Something that happened, in `GET /v1/incidents`."""

    at: str = Field(description="Wall-clock time, ISO 8601, UTC")
    region: str
    kind: str = Field(description="What kind of thing, such as worker_lost, finding (begins) or over (ends)")
    state: str = Field(description="How bad it is: ok, degraded, unknown or failing")
    text: str = Field(description="What happened, in one line")
    subject: str = Field(default="", description="What it is about: a worker, a finding's id, an agent")
    lasted_s: float | None = Field(default=None, description="For how long it went on, when it is over")
    replica: str = Field(default="", description="The controller that noticed it")


class RegionView(Schema):
    """One region in `GET /v1/regions`, or one pool of a region with `agents`. Counts are null when they are unknown."""

    region: str = Field(description="The pool's name; that of a region without `agents` is the region's own")
    place: str = Field(default="", description="The region that it belongs to")
    agent: str = Field(default="", description="Empty: the region has no `agents`")
    version: str = Field(default="", description="Empty: the agent has no `versions`")
    weight: int | None = Field(default=None, description="Share of the agent's new calls now, percent")
    status: str = Field(description="ok, degraded, unknown or failing")
    reason: str = Field(default="", description="What is wrong, the worst first; empty when all is well")
    findings: list[FindingView] = Field(default=[], description="The same, one by one, each with its way out")
    min_workers: int
    max_workers: int
    slots_per_worker: int
    desired_workers: int | None
    starting: int | None
    ready: int | None
    draining: int | None
    slots: int | None
    live: int | None
    waiting: int | None
    set_aside: int | None = Field(
        default=None, description="Calls that want no agent: released ones, and those that a neighbour serves"
    )
    silent: int | None = Field(
        default=None, description="Calls whose caller has waited for a voice for more than 10 s, as workers report"
    )
    moving: int | None = Field(
        default=None, description="Calls, of those in `live`, whose worker is gone: they are given to others"
    )
    refused: int = Field(
        default=0, description="Callers whom the replica that answers refused in the last 5 minutes (503 and 429)"
    )
    cost_per_hour: float | None = Field(
        default=None, description="What the workers that run now cost in an hour; null: no price is given, or unknown"
    )
    currency: str = Field(default="", description="Of that cost, ISO 4217")
    workers: list[WorkerView] = Field(description="The first of them, as many as an answer may hold")
    more_workers: int = Field(default=0, description="Workers that are not in `workers`")


class RegionTotal(Schema):
    """A region with several pools in `GET /v1/regions`: their sums, null when one of them is unknown."""

    region: str
    status: str = Field(description="The worst of its pools'")
    pools: list[str]
    desired_workers: int | None
    ready: int | None
    slots: int | None
    live: int | None
    waiting: int | None
    silent: int | None
    refused: int | None


class ObjectiveView(Schema):
    """One objective of a canary: how often each version was bad, and how often it may be."""

    name: str
    most_ratio: float
    canary_bad: int
    canary_total: int
    stable_bad: int
    stable_total: int


class ComparisonView(Schema):
    """How two tiers do beside each other, in a canary of tiers. Shares of calls, canary less stable."""

    judge: str = Field(description="Which calls are good: responses or tasks, see the settings")
    canary_good: int
    canary_total: int
    stable_good: int
    stable_total: int
    difference: float = Field(description="As counted")
    low: float = Field(description="The true difference is above this")
    high: float = Field(description="and below this, with a certainty of 1 - `error_ratio`, whenever one looks")
    error_ratio: float


class CanaryView(Schema):
    """One canary in `GET /v1/canaries`: a version of an agent, or a tier."""

    region: str
    agent: str
    kind: str = Field(default="version", description="version, or tier: then `version` and `stable` are tiers")
    version: str
    stable: str = Field(description="The version or the tier beside it")
    pool: str
    state: str = Field(description="running, promoted or rolled_back; unknown: this replica could not read it yet")
    weight: int = Field(description="Its share of the new calls now, percent")
    reason: str = Field(default="", description="Why it was promoted or rolled back, or what is still to come")
    began_at: str = Field(default="", description="Wall-clock time, ISO 8601, UTC")
    decided_at: str = ""
    calls: int | None = Field(default=None, description="That it had; null: not known to this replica")
    min_calls: int = Field(default=0, description="Of a version: that it must have had")
    duration_s: float = Field(default=0.0, description="Of a version: for which it must have held its objectives")
    objectives: list[ObjectiveView] = Field(default=[], description="As the leader counted last; empty on the others")
    comparison: ComparisonView | None = Field(
        default=None, description="Of a tier: as the leader reckoned last; null on the others"
    )


class LeaderView(Schema):
    """Who scales, in `GET /v1/regions`."""

    replica: str = Field(description="The replica that answers")
    leads: bool
    holder: str = Field(description="The replica that leads, as far as this one knows; empty: nobody")


class CallView(Schema):
    """One call in `GET /v1/calls`."""

    room: str
    region: str
    state: str = Field(
        description="joining, waiting, accepted, live, released (its agent left on purpose, nobody is sent there) or "
        "neighbour (an agent of a worker outside the fleet serves it)"
    )
    reason: str = Field(default="", description="Why a released call is released, such as session_closed")
    since_s: float = Field(description="Since its caller joined")
    waiting_s: float | None = Field(
        default=None, description="How long it has waited for an agent: since it was joined, or lost the one it had"
    )
    worker: str = ""
    epoch: int = 0


class PastCallView(Schema):
    """One call in `GET /v1/past-calls`. `GET /v1/calls/{call}` has all of it."""

    call: str = Field(description="Id of the call")
    room: str
    region: str
    started_at: str = Field(description="Wall-clock time, ISO 8601, UTC")
    duration_s: float
    waited_s: float | None = Field(description="From its start to the first agent; null: none ever came")
    reason: str = Field(description="Why it ended")
    tier: str = ""
    key: str = Field(default="", description="Name of the API key that asked for the call; empty: it came without")
    trace_id: str = ""
    turns: int = 0
    apologies: int = 0
    dead_air_s: float = Field(default=0.0, description="Its longest silence of 3 s and more; 0: there was none")
    why: str = Field(default="", description="Why that one was")


class CampaignRequest(Schema):
    """Body of `POST /v1/campaigns`: calls that will come beside the usual ones."""

    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)]
    starts_in_s: Annotated[float, Field(ge=0, le=31 * 86_400)] = Field(
        default=0.0, description="Seconds from now to its first call"
    )
    duration_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = Field(description="Seconds over which the calls come")
    calls: Annotated[float, Field(gt=0, le=10_000_000)] = Field(description="Additional calls in all")


class CampaignView(Schema):
    """A campaign that is not over, in `GET /v1/campaigns` and the answer to `POST /v1/campaigns`."""

    id: str
    region: str
    starts_in_s: float = Field(description="Below 0: it runs")
    ends_in_s: float
    calls_per_s: float
    key: str = Field(default="", description="Name of the API key that announced it")


class DecisionView(Schema):
    """One decision in `GET /v1/decisions`."""

    region: str
    at: str = Field(description="Wall-clock time, ISO 8601, UTC")
    desired: int | None
    reason: str
    detail: str
    shadow: bool = Field(
        default=False, description="Nothing was done about it: this replica did not lead, or the pool's mode is shadow"
    )
    inputs: DecisionInputs


class HistoryPoint(Schema):
    """A region at one moment, in `GET /v1/history`. Null: not known then; TTFA is of the last minute."""

    at: str = Field(description="Wall-clock time, ISO 8601, UTC")
    desired: int | None
    ready: int | None
    live: int | None
    waiting: int | None
    silent: int | None
    ttfa_p50_s: float | None
    ttfa_p95_s: float | None


class Problem(Schema):
    """Body of every answer that is not 2xx."""

    error: str
    field: str = ""
    hint: str = ""
