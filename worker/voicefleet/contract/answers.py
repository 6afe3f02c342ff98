"""Schemas of the controller's whole answers: lists, and what stands around them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from voicefleet.contract.api import (
    CallView,
    CampaignView,
    CanaryView,
    DecisionView,
    FindingView,
    HistoryPoint,
    IncidentView,
    LeaderView,
    PastCallView,
    RegionTotal,
    RegionView,
)

CALLS_A_PAGE = 100
MOST_CALLS_A_PAGE = 1_000
PAST_CALLS_A_PAGE = 100
MOST_PAST_CALLS_A_PAGE = 1_000
INCIDENTS_A_READ = 50
MOST_INCIDENTS_A_READ = 1_000


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CallPage(_Answer):
    """Answer of `GET /v1/calls`: the oldest calls after the cursor."""

    calls: list[CallView]
    next: str | None = Field(default=None, description="The cursor of the page after this one; null: this is the last")


class PastCallPage(_Answer):
    """Answer of `GET /v1/past-calls`: calls that have ended, in the order in which they started."""

    calls: list[PastCallView]
    next: str | None = Field(default=None, description="The cursor of the page after this one; null: this is the last")
    oldest: str | None = Field(
        default=None, description="When the oldest call that is still kept started; earlier ones are forgotten"
    )


class RegionList(_Answer):
    """Answer of `GET /v1/regions`."""

    regions: list[RegionView]
    totals: list[RegionTotal] = Field(default=[], description="Of the regions with several pools")
    leader: LeaderView


class CanaryList(_Answer):
    """Answer of `GET /v1/canaries`."""

    canaries: list[CanaryView]


class DecisionList(_Answer):
    """Answer of `GET /v1/decisions`, the newest first."""

    decisions: list[DecisionView]


class HistoryView(_Answer):
    """Answer of `GET /v1/history`: a point every `every_s` seconds, the oldest first."""

    every_s: float
    regions: dict[str, list[HistoryPoint]]


class CampaignList(_Answer):
    """Answer of `GET /v1/campaigns`."""

    campaigns: list[CampaignView]


class LeaderHealth(LeaderView):
    """Who scales, and what troubles the election."""

    trouble: str = ""


class IncidentList(_Answer):
    """Answer of `GET /v1/incidents`, the newest first."""

    incidents: list[IncidentView]


State = Literal["ok", "degraded", "unknown", "failing"]


class HealthView(_Answer):
    """Answer of `GET /v1/health`: what is wrong where, in words."""

    status: State = Field(description="That of the worst region")
    regions: dict[str, str] = Field(description="Region -> ok, or what is wrong with it")
    findings: dict[str, list[FindingView]] = Field(description="Region -> the same, one by one, each with its way out")
    leader: LeaderHealth


class Healthz(_Answer):
    """Answer of `GET /healthz`. It is public, so it says nothing else."""

    status: State
