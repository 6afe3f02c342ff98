"""Schemas of the controller's whole answers: lists, and what stands around them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from voicefleet.contract.api import (
    CallView,
    CampaignView,
    CanaryView,
    DecisionView,
    HistoryPoint,
    LeaderView,
    RegionView,
)

CALLS_A_PAGE = 100
MOST_CALLS_A_PAGE = 1_000


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CallPage(_Answer):
    """Answer of `GET /v1/calls`: the oldest calls after the cursor."""

    calls: list[CallView]
    next: str | None = Field(default=None, description="The cursor of the page after this one; null: this is the last")


class RegionList(_Answer):
    """Answer of `GET /v1/regions`."""

    regions: list[RegionView]
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


class HealthView(_Answer):
    """Answer of `GET /v1/health`: what is wrong where, in words."""

    status: Literal["ok", "unknown"]
    regions: dict[str, str] = Field(description="Region -> ok, or what is wrong with it")
    leader: LeaderHealth


class Healthz(_Answer):
    """Answer of `GET /healthz`. It is public, so it says nothing else."""

    status: Literal["ok", "unknown"]
