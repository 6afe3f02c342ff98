"""A pool's part of the settings file, turned into frozen values."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.schedule import DAYS, Shift
from voicefleet.controller.settings.schema import PoolFields

SHORT_CALL_S = 30.0
"""Calls that people make last longer."""


def pool_spec(at: str, region: str, pool: PoolFields) -> PoolSpec:
    """The pool's bounds and policy. Raises `ConfigError` for bounds that contradict each other."""
    if pool.min_workers > pool.max_workers:
        raise ConfigError(
            f"more than max_workers ({pool.max_workers})",
            field=f"{at}.min_workers",
            value=pool.min_workers,
            hint="Lower it, or raise max_workers.",
        )
    return PoolSpec(
        region=region,
        min_workers=pool.min_workers,
        max_workers=pool.max_workers,
        slots=pool.slots,
        buffer=pool.buffer,
        scale_down_delay_s=pool.scale_down_delay_s,
        policy="fixed" if pool.mode == "fixed" else pool.policy,
        wait_ratio=pool.wait_ratio,
        fixed=_fixed(at, pool),
        act=pool.mode != "shadow",
    )


def _fixed(at: str, pool: PoolFields) -> int:
    if (pool.mode == "fixed") != (pool.fixed_workers is not None):
        raise ConfigError(
            "is wanted by mode fixed, and by no other",
            field=f"{at}.fixed_workers",
            value=pool.fixed_workers,
            hint="Give both `mode: fixed` and fixed_workers, or neither.",
        )
    if pool.fixed_workers is None:
        return 0
    if not pool.min_workers <= pool.fixed_workers <= pool.max_workers:
        raise ConfigError(
            f"not between min_workers ({pool.min_workers}) and max_workers ({pool.max_workers})",
            field=f"{at}.fixed_workers",
            value=pool.fixed_workers,
            hint="Move it between them, or widen them.",
        )
    return pool.fixed_workers


def shifts(at: str, pool: PoolFields) -> tuple[Shift, ...]:
    """The schedule. Raises `ConfigError` for a time zone that is none, or more workers than are allowed."""
    found = []
    for place, shift in enumerate(pool.schedule):
        field = f"{at}.schedule.{place}"
        try:
            zone = ZoneInfo(shift.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                "no such time zone", field=f"{field}.timezone", value=shift.timezone, hint="Give e.g. Europe/Berlin."
            ) from error
        if shift.min_workers > pool.max_workers:
            raise ConfigError(
                f"more than max_workers ({pool.max_workers})",
                field=f"{field}.min_workers",
                value=shift.min_workers,
                hint="Lower it, or raise max_workers.",
            )
        days = frozenset(DAYS.index(day) for day in shift.days)
        found.append(Shift(days, shift.begin, shift.end, zone, shift.min_workers))
    return tuple(found)


def campaigns(at: str, pool: PoolFields) -> tuple[CampaignRecord, ...]:
    """The announced campaigns, on the wall clock in milliseconds. Raises `ConfigError` for one that a pool of this size
    cannot take, however short its calls are."""
    room = pool.max_workers * pool.slots
    for place, c in enumerate(pool.campaigns):
        if c.calls / c.duration_s * min(SHORT_CALL_S, c.duration_s) > room:
            raise ConfigError(
                f"more than {room} slots ({pool.max_workers} workers of {pool.slots}) can take",
                field=f"{at}.campaigns.{place}.calls",
                value=c.calls,
                hint="Lower it, or raise max_workers.",
            )
    return tuple(
        CampaignRecord(
            start_ms := round(c.start.timestamp() * 1000), start_ms + round(c.duration_s * 1000), c.calls / c.duration_s
        )
        for c in pool.campaigns
    )
