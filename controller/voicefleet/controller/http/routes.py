"""Every route of the controller, described once, with the roles that it asks for.

Whoever adds a route adds it here: the controller does not start with one that is missing. The OpenAPI document is made
from this table, and `tests/security/test_authorization_matrix.py` walks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel

from voicefleet.contract import answers
from voicefleet.contract.api import (
    AgentRequest,
    AgentRequested,
    CallRequest,
    CallTicket,
    CampaignRequest,
    CampaignView,
    DrainView,
    RejoinRequest,
    WorkerStatus,
)
from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.dial_api import DialView
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.placement import ProbeList
from voicefleet.controller.http.auth.keys import Role
from voicefleet.controller.pool.reconciler import DECISIONS_KEPT

PUBLIC: tuple[Role, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a route; those in the path are required."""

    name: str
    where: Literal["path", "query", "header"]
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Args:
        path: as aiohttp's router has it, with ``{names}``.
        roles: any one of them will do; empty: no key is asked for.
        answers: status -> its body: a model, a media type where it is no JSON, or empty where there is none.
        problems: statuses answered with a `Problem`, beside those that every route of its kind has (see `openapi`).
        body: what is posted; None: nothing.
        signed: LiveKit asks, and its signature stands for a key.
        reasons: status -> what it means here, where the general words for it (see `openapi`) do not say enough.
        headers: of the first of `answers` -> what each is.
    """

    method: str
    path: str
    roles: tuple[Role, ...]
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    problems: tuple[int, ...] = ()
    body: type[BaseModel] | Mapping[str, Any] | None = None
    parameters: tuple[Parameter, ...] = field(default=())
    signed: bool = False
    reasons: Mapping[int, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


_REGION = Parameter("region", "query", "Of this region alone", {"type": "string", "pattern": REGION_PATTERN.pattern})
_WORKER = Parameter("worker", "path", "Id of the worker", {"type": "string", "minLength": 1})
_TRACE = Parameter("traceparent", "header", "W3C trace context, goes on to the worker", {"type": "string"})
_AGAIN = Parameter(
    "Idempotency-Key",
    "header",
    "With `dial`: the same one again is the same call, not another one",
    {"type": "string", "minLength": 1, "maxLength": 256},
)
_EVENT = {
    "type": "object",
    "description": "An event as LiveKit sends it, signed in the header `Authorization`",
    "properties": {"event": {"type": "string"}},
}


def _limit(default: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", "As many at most", schema)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/calls",
        (Role.CALL,),
        "Ask for a call",
        {201: CallTicket, 202: DialView},
        (503,),
        CallRequest,
        (_TRACE, _AGAIN),
        reasons={
            201: "A ticket: the caller may join with it for a minute",
            202: "With `dial`: the number will be called; `GET /v1/calls/{room}` tells how that goes",
            400: "A field is wrong; `field` names it, and `hint` says what is right",
            403: "The key lacks the role `call`, is not for this region, or may not dial this number; or the region is "
            "outside of the call's residency group",
            429: "The key's own limits: too many requests a minute, too many calls at once, or too many tickets that "
            "nobody joined with. Come back after `Retry-After`",
            503: "Every slot that there may be has a call, in the call's residency group where it has one; or, for a "
            "key with `concurrent_calls`, its calls cannot be counted now. Come back after `Retry-After`, or ask "
            "another region",
        },
        headers={"traceparent": "W3C trace context of the call: the same trace id is in its log lines and its spans"},
    ),
    Route(
        "GET",
        "/v1/probes",
        (Role.CALL,),
        "What a caller fetches to measure how near each region is, for `round_trips` of `POST /v1/calls`",
        {200: ProbeList},
        (503,),
    ),
    Route(
        "POST",
        "/v1/rooms/{room}/agent",
        (Role.CALL, Role.OPERATE),
        "Ask for an agent in a room that is there already",
        {202: AgentRequested},
        (400, 404, 503),
        AgentRequest,
        (Parameter("room", "path", "The room", {"type": "string", "minLength": 1}),),
    ),
    Route(
        "POST",
        "/v1/calls/{room}/ticket",
        (Role.CALL,),
        "Ask for another ticket for a call of one's own that goes on, for a page that reloads",
        {201: CallTicket},
        (404, 503),
        RejoinRequest,
        (Parameter("room", "path", "The call's room", {"type": "string", "minLength": 1}),),
    ),
    Route(
        "POST",
        "/v1/calls/{room}/agent",
        (Role.CALL, Role.OPERATE),
        "Ask for an agent again in a call that its agent left on purpose",
        {202: AgentRequested},
        (400, 404, 503),
        AgentRequest,
        (Parameter("room", "path", "The call's room", {"type": "string", "minLength": 1}),),
    ),
    Route(
        "DELETE",
        "/v1/calls/{room}",
        (Role.CALL, Role.OPERATE),
        "End a call: one's own, or any with operate",
        {204: ""},
        (400, 404, 503),
        parameters=(Parameter("room", "path", "The call's room", {"type": "string", "minLength": 1}), _REGION),
    ),
    Route(
        "GET",
        "/v1/calls/{room}",
        (Role.CALL, Role.READ),
        "One call, whole, by its room or its id: one's own, or any with read. While it lasts, and for days after",
        {200: CallSummary},
        (400, 404, 503),
        parameters=(Parameter("room", "path", "The call's room", {"type": "string", "minLength": 1}), _REGION),
    ),
    Route(
        "GET",
        "/v1/calls",
        (Role.READ,),
        "Calls, the oldest first, a page at a time",
        {200: answers.CallPage},
        (400, 503),
        parameters=(
            _REGION,
            _limit(answers.CALLS_A_PAGE, answers.MOST_CALLS_A_PAGE),
            Parameter("cursor", "query", "`next` of the page before", {"type": "string", "maxLength": 2048}),
        ),
    ),
    Route(
        "GET",
        "/v1/past-calls",
        (Role.READ,),
        "Calls that have ended, by when they started, a page at a time; kept for days",
        {200: answers.PastCallPage},
        (400, 503),
        parameters=(
            _REGION,
            Parameter("from", "query", "That started then or later: ISO 8601, UTC without a zone", {"type": "string"}),
            Parameter("to", "query", "That started before", {"type": "string"}),
            Parameter("room", "query", "In a room of this name", {"type": "string"}),
            Parameter(
                "dead_air_s",
                "query",
                "With a silence of so many seconds, 3 or more",
                {"type": "number", "minimum": 0, "maximum": 86_400},
            ),
            _limit(answers.PAST_CALLS_A_PAGE, answers.MOST_PAST_CALLS_A_PAGE),
            Parameter("cursor", "query", "`next` of the page before", {"type": "string", "maxLength": 4096}),
        ),
    ),
    Route("GET", "/v1/regions", (Role.READ,), "Regions with their workers, and who leads", {200: answers.RegionList}),
    Route(
        "GET",
        "/v1/canaries",
        (Role.READ,),
        "Versions of agents that are tried out, and how they do beside the stable ones",
        {200: answers.CanaryList},
    ),
    Route(
        "GET",
        "/v1/decisions",
        (Role.READ,),
        "The last decisions, the newest first",
        {200: answers.DecisionList},
        (400,),
        parameters=(_limit(100, DECISIONS_KEPT),),
    ),
    Route("GET", "/v1/history", (Role.READ,), "The last half hour of every region", {200: answers.HistoryView}),
    Route("GET", "/v1/health", (Role.READ,), "What is wrong where, in words", {200: answers.HealthView}),
    Route(
        "GET",
        "/v1/incidents",
        (Role.READ,),
        "What happened in the last days, the newest first",
        {200: answers.IncidentList},
        (400,),
        parameters=(_REGION, _limit(answers.INCIDENTS_A_READ, answers.MOST_INCIDENTS_A_READ)),
    ),
    Route(
        "GET",
        "/v1/workers/{worker}",
        (Role.READ,),
        "One worker",
        {200: WorkerStatus},
        (404, 503),
        parameters=(_WORKER,),
    ),
    Route(
        "POST",
        "/v1/workers/{worker}/drain",
        (Role.OPERATE,),
        "Have a worker hand its calls over and end",
        {202: DrainView},
        (404, 503),
        parameters=(_WORKER,),
    ),
    Route(
        "POST",
        "/v1/campaigns",
        (Role.OPERATE,),
        "Announce calls that will come beside the usual ones",
        {201: CampaignView},
        (409, 503),
        CampaignRequest,
    ),
    Route(
        "DELETE",
        "/v1/campaigns/{id}",
        (Role.OPERATE,),
        "Take a campaign back",
        {204: ""},
        (404, 503),
        parameters=(Parameter("id", "path", "Id of the campaign", {"type": "string", "minLength": 1}),),
    ),
    Route(
        "GET",
        "/v1/campaigns",
        (Role.READ,),
        "Announced campaigns that are not over",
        {200: answers.CampaignList},
        (503,),
    ),
    Route("GET", "/v1/openapi.json", (Role.READ,), "This document", {200: "application/json"}),
    Route("GET", "/healthz", PUBLIC, "Whether the state of every region is known", {200: answers.Healthz}),
    Route("GET", "/livez", PUBLIC, "Alive", {200: "text/plain", 503: "text/plain"}),
    Route("GET", "/readyz", PUBLIC, "Ready", {200: "text/plain", 503: "text/plain"}),
    Route("GET", "/metrics", PUBLIC, "Metrics for Prometheus", {200: "text/plain"}),
    Route("GET", "/", PUBLIC, "The page", {200: "text/html"}),
    Route("GET", "/page.css", PUBLIC, "A file of the page", {200: "text/css"}),
    Route("GET", "/page.js", PUBLIC, "A file of the page", {200: "text/javascript"}),
    Route("GET", "/call.js", PUBLIC, "A file of the page", {200: "text/javascript"}),
    Route("GET", "/runbooks", PUBLIC, "What to do about each alert", {200: "text/html"}),
    Route(
        "POST",
        "/webhooks/livekit",
        PUBLIC,
        "LiveKit's webhooks, where its key tells the region",
        {200: "application/json"},
        (404, 503),
        _EVENT,
        (_REGION,),
        signed=True,
    ),
    Route(
        "POST",
        "/webhooks/livekit/{region}",
        PUBLIC,
        "LiveKit's webhooks of one region",
        {200: "application/json"},
        (404, 503),
        _EVENT,
        (Parameter("region", "path", "The region", {"type": "string", "minLength": 1}),),
        signed=True,
    ),
)
_BY_PLACE = {(route.method, route.path): route for route in ROUTES}


def route_of(request: web.Request) -> Route | None:
    """The entry of the route that `request` goes to; None when it goes to none."""
    resource = request.match_info.route.resource
    return None if resource is None else entry(request.method, resource.canonical)


def entry(method: str, path: str) -> Route | None:
    """What the table says of a route; a HEAD is a GET."""
    return _BY_PLACE.get(("GET" if method == "HEAD" else method, path))


def require_entries(app: web.Application) -> None:
    """Raises `RuntimeError` when `app` has a route that is not in the table: nobody knows who may use it."""
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else "?"
        if entry(route.method, path) is None:
            raise RuntimeError(f"{route.method} {path} has no entry in voicefleet.controller.http.routes")
