"""The generator's own health: stalls weigh by their length, and a late generator's figures are void."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from support.outcomes import GOOD, SILENT, TURN
from support.terminal import terminal, text_of
from voicefleet.callers.health import GeneratorHealth, HealthMeter
from voicefleet.loadtest.command_loadtest import show
from voicefleet.loadtest.result import build_result

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)


class LateClock:
    """Sleeps that end late, by the next of `lags_s`; then never."""

    def __init__(self, *lags_s: float) -> None:
        self.now = 0.0
        self.lags_s = list(lags_s)
        self.all_slept = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        if not self.lags_s:
            self.all_slept.set()
            await asyncio.Event().wait()
        self.now += seconds + self.lags_s.pop(0)


async def health_after(*lags_s: float) -> GeneratorHealth:
    clock = LateClock(*lags_s)
    async with HealthMeter(clock, cpu_s=lambda: clock.now / 2) as meter:
        await clock.all_slept.wait()
    return meter.health()


async def test_a_punctual_generator() -> None:
    health = await health_after(*[0.001] * 99, 0.01)
    assert health.lag_max_s == pytest.approx(0.01)
    assert not health.void
    assert 0 < health.cpu_share <= 0.5


async def test_one_long_stall_is_not_lost_among_many_looks() -> None:
    # 100 punctual looks and one stall of 5 s: as many looks were due in it as before.
    health = await health_after(*[0.0] * 100, 5.0)
    assert health.lag_max_s == pytest.approx(5.0)
    assert health.lag_p99_s is not None
    assert health.lag_p99_s > 4.8
    assert health.void


def test_before_the_first_look_the_lag_is_unknown() -> None:
    health = HealthMeter(cpu_s=lambda: 0.0).health()
    assert (health.lag_p99_s, health.lag_max_s, health.void) == (None, None, False)


def test_a_good_run_and_its_json() -> None:
    cut_in = replace(GOOD, turns=(replace(TURN, ttfa_s=None, cut_in=True),), lag_s=0.3)
    result = build_result([GOOD, cut_in], FINE, 12.34)
    assert (result["verdict"], result["shortcomings"], result["turns_cut_in"]) == ("good", [], 1)
    assert result["generator"] == {
        "lag_p99_s": 0.02,
        "lag_max_s": 0.1,
        "cpu_share": 0.4,
        "pacing_p99_s": None,
        "pacing_max_s": None,
        "pacing_known": True,
        "start_lag_max_s": 0.3,
    }
    assert result["calls"]["offered"] == 2


def test_a_bad_run_and_a_void_one() -> None:
    assert build_result([GOOD, SILENT], FINE, 1.0)["verdict"] == "bad"
    void = build_result([GOOD, SILENT], replace(FINE, lag_p99_s=0.26), 1.0)
    assert void["verdict"] == "void"
    assert void["shortcomings"][0].startswith("void: this machine was too busy")
    assert build_result([GOOD], replace(FINE, lag_p99_s=0.25), 1.0)["verdict"] == "good"


def test_a_call_that_failed_after_its_greeting_is_no_good_run() -> None:
    broken = replace(GOOD, turns=(), error="call: RuntimeError('audio')")
    result = build_result([broken], FINE, 1.0)
    assert (result["calls"]["answered"], result["verdict"]) == (1, "bad")
    assert "RuntimeError" in result["shortcomings"][0]


def test_the_result_fits_80_columns() -> None:
    console = terminal()
    show(build_result([GOOD, SILENT], FINE, 12.34), console)
    text = text_of(console)
    assert "longest" in text
    assert "1 of 2 callers heard nothing for more than 10 s (silent)" in text
