"""The settings of a region's pool. A field added here is a value of the chart too: `chart.values_table` and
`chart.values_schema` make it one. A field that the scaling needs has the same name in `contract.pools.PoolSpec`."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field, WithJsonSchema, field_validator, model_validator

from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.schedule import DAYS, Shift
from voicefleet.controller.settings.section import Section
from voicefleet.scaling.policies import DEFAULT, POLICIES, SELECTABLE

if TYPE_CHECKING:
    _PolicyName = str
else:
    _PolicyName = Literal[SELECTABLE]

SHORT_CALL_S = 30.0
"""Calls that people make last longer."""
_MOST_WORKERS = 100_000

_TimeOfDay = Annotated[dt.time, WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"})]
_Moment = Annotated[
    AwareDatetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})$",
        }
    ),
]


class ShiftSettings(Section):
    """Least workers at a time of the week."""

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(min_length=1)] = Field(
        description="Days on which it begins."
    )
    begin: _TimeOfDay = Field(description="Time of day at which it begins.")
    end: _TimeOfDay = Field(description="Time of day at which it ends; at or before `begin`: on the next day.")
    timezone: Annotated[str, Field(min_length=1)] = Field(default="UTC", description="Time zone of its times.")
    min_workers: Annotated[int, Field(ge=0, le=_MOST_WORKERS)] = Field(description="Least workers while it lasts.")

    @field_validator("timezone")
    @classmethod
    def _exists(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise refused("no such time zone", value=timezone, hint="Give e.g. Europe/Berlin.") from error
        return timezone

    @property
    def shift(self) -> Shift:
        days = frozenset(DAYS.index(day) for day in self.days)
        return Shift(days, self.begin, self.end, ZoneInfo(self.timezone), self.min_workers)


class CampaignSettings(Section):
    """An announced rise of the rate of calls."""

    start: _Moment = Field(description="When it begins, with its offset from UTC.")
    duration_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = Field(description="How long it lasts, seconds.")
    calls: Annotated[float, Field(gt=0)] = Field(description="Additional calls, spread over its duration.")

    @property
    def record(self) -> CampaignRecord:
        """On the wall clock, in milliseconds."""
        start_ms = round(self.start.timestamp() * 1000)
        return CampaignRecord(start_ms, start_ms + round(self.duration_s * 1000), self.calls / self.duration_s)


class PoolSettings(Section):
    min_workers: Annotated[int, Field(ge=0)] = Field(default=1, description="Never fewer workers than this.")
    max_workers: Annotated[int, Field(ge=0, le=_MOST_WORKERS)] = Field(
        default=4, description="Never more workers than this."
    )
    slots: Annotated[int, Field(ge=1, le=200)] = Field(default=4, description="Calls that one worker serves at once.")
    policy: _PolicyName = Field(
        default=DEFAULT,
        description=" ".join(f"{name}: {POLICIES[name].summary}" for name in SELECTABLE),
    )
    wait_ratio: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.001, description="Share of calls that may find every slot taken (predictive)."
    )
    mode: Literal["auto", "shadow", "fixed"] = Field(
        default="auto", description="auto; shadow: decide, show it, and change nothing; fixed: keep `fixed_workers`."
    )
    fixed_workers: Annotated[int, Field(ge=0, le=_MOST_WORKERS)] | None = Field(
        default=None, description="Workers to keep in mode fixed, and in no other."
    )
    buffer: Annotated[int, Field(ge=0)] = Field(
        default=2, description="Free slots to keep ready, beyond the calls there are (buffer)."
    )
    scale_down_delay_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=300.0,
        description="A worker is given up only when it was not needed for so long, seconds (buffer; predictive decides "
        "that by its forecast).",
    )
    schedule: tuple[ShiftSettings, ...] = Field(
        default=(),
        description='Least workers at times of the week: [{days: [mon, tue], begin: "08:00", end: "18:00", '
        "timezone: Europe/Berlin, min_workers: 5}].",
    )
    campaigns: tuple[CampaignSettings, ...] = Field(
        default=(),
        description='Calls that will come beside the usual ones: [{start: "2026-12-01T09:00:00+01:00", '
        "duration_s: 900, calls: 2000}].",
    )
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=120.0, description="A worker that has not registered after this is started anew, seconds."
    )

    price_per_worker_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="What one worker costs in an hour, for the cost in `voicefleet status`, on the page and on the "
        "fleet dashboard; default: none is shown.",
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        default=None, description="The currency of that price, three letters of ISO 4217 such as EUR."
    )

    def spec(self, region: str) -> PoolSpec:
        """What the scaling of `region` needs of this."""
        same = {f.name for f in dataclasses.fields(PoolSpec)} & set(type(self).model_fields) - {"policy"}
        return PoolSpec(
            region=region,
            policy="fixed" if self.mode == "fixed" else self.policy,
            fixed=self.fixed_workers or 0,
            act=self.mode != "shadow",
            **{name: getattr(self, name) for name in same},
        )

    @property
    def shifts(self) -> tuple[Shift, ...]:
        return tuple(shift.shift for shift in self.schedule)

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        at_most = f"more than max_workers ({self.max_workers})"
        lower = "Lower it, or raise max_workers."
        if self.min_workers > self.max_workers:
            raise refused(at_most, field="min_workers", value=self.min_workers, hint=lower)
        for place, shift in enumerate(self.schedule):
            if shift.min_workers > self.max_workers:
                raise refused(at_most, field=f"schedule.{place}.min_workers", value=shift.min_workers, hint=lower)
        return self

    @model_validator(mode="after")
    def _fixed_belongs_to_its_mode(self) -> Self:
        if (self.mode == "fixed") != (self.fixed_workers is not None):
            raise refused(
                "is wanted by mode fixed, and by no other",
                field="fixed_workers",
                value=self.fixed_workers,
                hint="Give both `mode: fixed` and fixed_workers, or neither.",
            )
        if self.fixed_workers is not None and not self.min_workers <= self.fixed_workers <= self.max_workers:
            raise refused(
                f"not between min_workers ({self.min_workers}) and max_workers ({self.max_workers})",
                field="fixed_workers",
                value=self.fixed_workers,
                hint="Move it between them, or widen them.",
            )
        return self

    @model_validator(mode="after")
    def _price_has_a_currency(self) -> Self:
        if self.price_per_worker_hour is not None and self.currency is None:
            raise refused(
                "is missing, and price_per_worker_hour is given",
                field="currency",
                hint="Give three letters of ISO 4217, such as EUR.",
            )
        if self.currency is not None and self.price_per_worker_hour is None:
            raise refused(
                "is given without price_per_worker_hour",
                field="currency",
                value=self.currency,
                hint="Give the price of a worker too, or neither.",
            )
        return self

    @model_validator(mode="after")
    def _campaigns_fit(self) -> Self:
        """A campaign whose calls, however short, this pool cannot take is a mistake."""
        most = self.max_workers * self.slots
        for place, campaign in enumerate(self.campaigns):
            if campaign.record.concurrent_calls(SHORT_CALL_S) > most:
                raise refused(
                    f"more than {most} slots ({self.max_workers} workers of {self.slots}) can take",
                    field=f"campaigns.{place}.calls",
                    value=campaign.calls,
                    hint="Lower it, or raise max_workers.",
                )
        return self
