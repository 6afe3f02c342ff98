"""Every route of the controller, described once: the OpenAPI document is made from this table, and a test fails when a
route is registered that is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from voicefleet.contract import answers
from voicefleet.contract.api import (
    CallRequest,
    CallTicket,
    CampaignRequest,
    CampaignView,
    DrainView,
    WorkerStatus,
)
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.controller.loop import DECISIONS_KEPT

Role = Literal["public", "livekit", "call", "read", "operate"]
"""Who may ask: anybody; LiveKit by its signature; keys of a role."""


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
        answers: status -> its body: a model, or a media type where it is no JSON.
        problems: statuses answered with a `Problem`, beside those that every route of its kind has (see `openapi`).
        body: what is posted; None: nothing.
    """

    method: str
    path: str
    role: Role
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    problems: tuple[int, ...] = ()
    body: type[BaseModel] | Mapping[str, Any] | None = None
    parameters: tuple[Parameter, ...] = field(default=())


_REGION = Parameter("region", "query", "Of this region alone", {"type": "string", "pattern": REGION_PATTERN.pattern})
_WORKER = Parameter("worker", "path", "Id of the worker", {"type": "string", "minLength": 1})
_TRACE = Parameter("traceparent", "header", "W3C trace context, goes on to the worker", {"type": "string"})
_EVENT = {
    "type": "object",
    "description": "An event as LiveKit sends it, signed in the header `Authorization`",
    "properties": {"event": {"type": "string"}},
}


def _limit(default: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", "As many at most", schema)


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/calls", "call", "Ask for a call", {201: CallTicket}, (503,), CallRequest, (_TRACE,)),
    Route(
        "GET",
        "/v1/calls",
        "read",
        "Calls, the oldest first, a page at a time",
        {200: answers.CallPage},
        (400, 503),
        parameters=(
            _REGION,
            _limit(answers.CALLS_A_PAGE, answers.MOST_CALLS_A_PAGE),
            Parameter("cursor", "query", "`next` of the page before", {"type": "string", "maxLength": 2048}),
        ),
    ),
    Route("GET", "/v1/regions", "read", "Regions with their workers, and who leads", {200: answers.RegionList}),
    Route(
        "GET",
        "/v1/decisions",
        "read",
        "The last decisions, the newest first",
        {200: answers.DecisionList},
        (400,),
        parameters=(_limit(100, DECISIONS_KEPT),),
    ),
    Route("GET", "/v1/history", "read", "The last half hour of every region", {200: answers.HistoryView}),
    Route("GET", "/v1/health", "read", "What is wrong where, in words", {200: answers.HealthView}),
    Route("GET", "/v1/workers/{worker}", "read", "One worker", {200: WorkerStatus}, (404, 503), parameters=(_WORKER,)),
    Route(
        "POST",
        "/v1/workers/{worker}/drain",
        "operate",
        "Have a worker hand its calls over and end",
        {202: DrainView},
        (404, 503),
        parameters=(_WORKER,),
    ),
    Route(
        "POST",
        "/v1/campaigns",
        "operate",
        "Announce calls that will come beside the usual ones",
        {201: CampaignView},
        (503,),
        CampaignRequest,
    ),
    Route("GET", "/v1/campaigns", "read", "Announced campaigns that are not over", {200: answers.CampaignList}, (503,)),
    Route("GET", "/v1/openapi.json", "read", "This document", {200: "application/json"}),
    Route("GET", "/healthz", "public", "Whether the state of every region is known", {200: answers.Healthz}),
    Route("GET", "/livez", "public", "Alive", {200: "text/plain", 503: "text/plain"}),
    Route("GET", "/readyz", "public", "Ready", {200: "text/plain", 503: "text/plain"}),
    Route("GET", "/metrics", "public", "Metrics for Prometheus", {200: "text/plain"}),
    Route("GET", "/", "public", "The page", {200: "text/html"}),
    Route("GET", "/page.css", "public", "A file of the page", {200: "text/css"}),
    Route("GET", "/page.js", "public", "A file of the page", {200: "text/javascript"}),
    Route(
        "POST",
        "/webhooks/livekit",
        "livekit",
        "LiveKit's webhooks, where its key tells the region",
        {200: "application/json"},
        (404, 503),
        _EVENT,
        (_REGION,),
    ),
    Route(
        "POST",
        "/webhooks/livekit/{region}",
        "livekit",
        "LiveKit's webhooks of one region",
        {200: "application/json"},
        (404, 503),
        _EVENT,
        (Parameter("region", "path", "The region", {"type": "string", "minLength": 1}),),
    ),
)
