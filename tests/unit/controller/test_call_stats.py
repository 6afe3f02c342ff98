"""Statistics of successive readings of the calls, and the pool's schedule through a change of clocks."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from voicefleet.contract.parsing.validation import config_error
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.pool.call_stats import CallWatch
from voicefleet.controller.pool.schedule import Shift, floor
from voicefleet.controller.settings.pool import PoolSettings

pytestmark = pytest.mark.unit


def seen(now_ms: int, *calls: tuple[str, int]) -> Snapshot:
    return Snapshot(now_ms, tuple(Call(room, joined_ms, None, None) for room, joined_ms in calls), ())


class TestCallWatch:
    def test_what_was_there_at_first_did_not_arrive_since(self) -> None:
        watch = CallWatch()
        stats = watch.look(seen(10_000, ("a", 4_000), ("b", 9_000)))
        assert stats is not None
        assert (stats.arrived, stats.ended_s) == (0, ())
        assert sorted(stats.ages_s.tolist()) == [1.0, 6.0]

    def test_arrivals_and_ends_between_two_looks(self) -> None:
        watch = CallWatch()
        watch.look(seen(10_000, ("a", 4_000)))
        stats = watch.look(seen(12_000, ("b", 11_000), ("c", 11_500)))
        assert stats is not None
        assert (stats.arrived, stats.ended_s) == (2, (8.0,))

    def test_a_room_whose_name_recurs_is_another_call(self) -> None:
        watch = CallWatch()
        watch.look(seen(10_000, ("a", 4_000)))
        stats = watch.look(seen(12_000, ("a", 11_000)))
        assert stats is not None
        assert (stats.arrived, stats.ended_s) == (1, (8.0,))

    def test_unknown_teaches_nothing_and_a_long_gap_no_durations(self) -> None:
        watch = CallWatch()
        watch.look(seen(10_000, ("a", 4_000)))
        assert watch.look(None) is None
        stats = watch.look(seen(60_000, ("b", 50_000)))
        assert stats is not None
        assert (stats.arrived, stats.ended_s) == (1, ())


def shift(days: set[int], begin: str, end: str, workers: int = 9, zone: str = "Europe/Berlin") -> Shift:
    return Shift(frozenset(days), dt.time.fromisoformat(begin), dt.time.fromisoformat(end), ZoneInfo(zone), workers)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class TestSchedule:
    def test_it_begins_when_the_clocks_there_say_so_in_winter_and_summer(self) -> None:
        morning = shift({0}, "08:00", "18:00")
        assert not morning.on(utc("2026-01-05T06:59:59"))  # a Monday, UTC + 1
        assert morning.on(utc("2026-01-05T07:00:00"))
        assert morning.on(utc("2026-07-06T06:00:00"))  # UTC + 2
        assert not morning.on(utc("2026-07-06T16:00:00"))
        assert not morning.on(utc("2026-07-07T06:00:00"))  # a Tuesday

    def test_on_the_day_the_clocks_change_no_hour_is_lost(self) -> None:
        sunday = shift({6}, "03:00", "04:00")
        assert sunday.on(utc("2026-03-29T01:30:00"))  # 02:00 became 03:00
        assert not sunday.on(utc("2026-03-29T00:30:00"))

    def test_over_midnight(self) -> None:
        night = shift({4}, "22:00", "02:00", zone="UTC")
        assert night.on(utc("2026-01-09T23:00:00"))  # a Friday
        assert night.on(utc("2026-01-10T01:59:00"))
        assert not night.on(utc("2026-01-10T22:30:00"))
        assert not night.on(utc("2026-01-09T01:00:00"))

    def test_the_floor_looks_as_far_ahead_as_a_start_takes(self) -> None:
        both = (shift({0}, "08:00", "18:00", 9, "UTC"), shift({0}, "10:00", "12:00", 20, "UTC"))
        assert floor(both, utc("2026-01-05T07:58:00"), 60) == 0
        assert floor(both, utc("2026-01-05T07:59:30"), 60) == 9
        assert floor(both, utc("2026-01-05T11:00:00"), 60) == 20
        assert floor((), utc("2026-01-05T11:00:00"), 60) == 0


def refusal(pool: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        PoolSettings.model_validate(pool)
    return str(config_error(caught.value, PoolSettings, source="x.yaml", at="p"))


class TestSettings:
    def test_modes(self) -> None:
        assert PoolSettings().spec("eu").act
        assert not PoolSettings(mode="shadow").spec("eu").act
        spec = PoolSettings(mode="fixed", fixed_workers=3, policy="predictive").spec("eu")
        assert (spec.policy, spec.fixed) == ("fixed", 3)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"mode": "fixed"}, "p.fixed_workers"),
            ({"fixed_workers": 3}, "p.fixed_workers"),
            ({"mode": "fixed", "fixed_workers": 9}, "p.fixed_workers = 9: not between"),
            ({"min_workers": 5, "max_workers": 4}, "p.min_workers = 5: more than max_workers"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, fields: dict[str, object], named: str) -> None:
        assert named in refusal(fields)

    def test_schedules_and_campaigns_are_read(self) -> None:
        pool = PoolSettings.model_validate(
            {
                "schedule": [{"days": ["mon", "sun"], "begin": "08:00", "end": "18:30", "min_workers": 2}],
                "campaigns": [{"start": "2026-12-01T09:00:00+01:00", "duration_s": 600, "calls": 300}],
            }
        )
        (found,) = pool.shifts
        assert (found.days, found.end) == (frozenset({0, 6}), dt.time(18, 30))
        (campaign,) = [campaign.record for campaign in pool.campaigns]
        assert campaign.start_ms == utc("2026-12-01T08:00:00").timestamp() * 1000
        assert (campaign.end_ms - campaign.start_ms, campaign.rate) == (600_000, 0.5)

    def test_a_campaign_that_no_pool_of_this_size_can_take_is_refused(self) -> None:
        campaign = {"start": "2026-12-01T09:00:00+01:00", "duration_s": 600, "calls": 321}  # 16.05 of 30 s
        said = refusal({"max_workers": 4, "slots": 4, "campaigns": [campaign]})
        assert "p.campaigns.0.calls = 321.0: more than 16 slots" in said

    def test_a_time_zone_that_is_none_and_too_many_workers(self) -> None:
        entry = {"days": ["mon"], "begin": "08:00", "end": "18:00", "min_workers": 2, "timezone": "Mars/Base"}
        assert "p.schedule.0.timezone = 'Mars/Base'" in refusal({"schedule": [entry]})
        entry = {**entry, "timezone": "UTC", "min_workers": 99}
        assert "p.schedule.0.min_workers = 99" in refusal({"schedule": [entry]})
