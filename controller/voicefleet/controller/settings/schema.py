"""The shape of the settings file, as pydantic checks it. `settings` turns it into frozen values."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from voicefleet.scaling.policies import DEFAULT, SELECTABLE

if TYPE_CHECKING:
    PolicyName = str
else:
    PolicyName = Literal[SELECTABLE]

Auth = Literal["bearer", "none"]
OnExit = Literal["stop", "leave"]
Rooms = Literal["ordered", "all"]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsFields(_Model):
    requests_per_minute: Annotated[int, Field(ge=1)] = 600
    concurrent_calls: Annotated[int, Field(ge=0)] = 0
    max_call_duration_s: Annotated[float, Field(ge=0)] = 3600.0
    unused_tickets_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    campaigns: Annotated[int, Field(ge=1, le=1000)] = 20


class LiveKitFields(_Model):
    url: str
    api_url: str | None = None
    api_key: Annotated[str, Field(min_length=1)] | None = None
    api_key_env: str | None = None
    api_secret_env: str | None = None
    api_secret_file: Path | None = None


class ShiftFields(_Model):
    """Least workers at a time of the week."""

    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)]
    begin: dt.time
    end: dt.time
    timezone: str = "UTC"
    min_workers: Annotated[int, Field(ge=0, le=100_000)]


class CampaignFields(_Model):
    """An announced rise of the rate: `calls` more calls, spread over `duration_s` from `start` on."""

    start: AwareDatetime
    duration_s: Annotated[float, Field(gt=0, le=7 * 86_400)]
    calls: Annotated[float, Field(gt=0)]


class PoolFields(_Model):
    min_workers: Annotated[int, Field(ge=0)] = 1
    max_workers: Annotated[int, Field(ge=0, le=100_000)] = 4
    slots: Annotated[int, Field(ge=1, le=200)] = 4
    buffer: Annotated[int, Field(ge=0)] = 2
    scale_down_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    policy: PolicyName = DEFAULT
    mode: Literal["auto", "shadow", "fixed"] = "auto"
    fixed_workers: Annotated[int, Field(ge=0, le=100_000)] | None = None
    wait_ratio: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
    schedule: list[ShiftFields] = []
    campaigns: list[CampaignFields] = []


class ProcessFields(_Model):
    command: Annotated[list[str], Field(min_length=1)]
    env: dict[str, str] = {}
    state_dir: Path
    log_dir: Path
    on_exit: OnExit = "stop"
    stop_timeout_s: Annotated[float, Field(ge=0, le=7200)] = 10.0


class KubernetesFields(_Model):
    namespace: KubernetesName
    deployment: KubernetesName
    context: Annotated[str, Field(min_length=1)] | None = None
    kubeconfig: Path | None = None


class LeaseFields(_Model):
    namespace: KubernetesName
    name: KubernetesName
    duration_s: Annotated[int, Field(ge=2, le=600)] = 5
    renew_deadline_s: Annotated[float, Field(gt=0)] = 3.5
    retry_s: Annotated[float, Field(ge=0.1)] = 1.0
    context: Annotated[str, Field(min_length=1)] | None = None
    kubeconfig: Path | None = None


class WaitingMessageFields(_Model):
    after_s: Annotated[float, Field(ge=0, le=60)] = 4.0
    every_s: Annotated[float, Field(ge=2, le=3600)] = 12.0
    audio: Path | None = None
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class RegionFields(_Model):
    livekit: LiveKitFields
    agent_name: Annotated[str, Field(min_length=1, max_length=64)] = "voicefleet"
    rooms: Rooms = "ordered"
    pool: PoolFields = PoolFields()
    process: ProcessFields | None = None
    kubernetes: KubernetesFields | None = None
    waiting_message: WaitingMessageFields | None = None
    handoff: bool = True


class SettingsFile(_Model):
    redis_url_env: str | None = None
    redis_url: str | None = None
    redis_ca_file: Path | None = None
    listen: str = "127.0.0.1:8080"
    auth: Auth = "bearer"
    api_keys_env: str | None = None
    api_keys_file: Path | None = None
    trusted_proxies: list[str] = []
    limits: LimitsFields = LimitsFields()
    regions: Annotated[dict[str, RegionFields], Field(min_length=1)]
    kubernetes_lease: LeaseFields | None = None
    owner: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")] | None = None
    tick_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    listing_s: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    waiting_grace_s: Annotated[float, Field(ge=0, le=60)] = 1.0
