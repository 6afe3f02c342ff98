"""The counts of a soak, what counts as growth, and the faults that a seed draws."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from support.outcomes import APOLOGISED, CUT, FAILED, GOOD, LOST, SILENT, UNHEARD
from support.terminal import terminal, text_of
from voicefleet.chaos.measure import Run
from voicefleet.chaos.soak.command import show
from voicefleet.chaos.soak.growth import Series, growth
from voicefleet.chaos.soak.invariants import ClaimTotals, call_totals, turn_totals, violations
from voicefleet.chaos.soak.plan import FAULTS, SoakOptions, rounds
from voicefleet.chaos.soak.run import Soak
from voicefleet.contract.errors import ConfigError

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(7)


def a_run(*outcomes: object, placed: int | None = None, void: bool = False) -> Run:
    return Run(1, 1.0, tuple(outcomes), len(outcomes) if placed is None else placed, void=void)  # type: ignore[arg-type]


def test_every_call_is_in_one_class() -> None:
    totals = call_totals([a_run(GOOD, APOLOGISED, SILENT, CUT, UNHEARD, FAILED, placed=7), a_run(GOOD, void=True)])
    assert totals == {"placed": 8, "well": 2, "silent": 2, "cut": 1, "failed": 1, "never_ended": 1, "void": 1}
    assert totals["placed"] == sum(count for name, count in totals.items() if name != "placed")


def test_every_question_is_in_one_class() -> None:
    unexplained = replace(GOOD, turns=(LOST,))
    totals = turn_totals([a_run(GOOD, SILENT, unexplained, APOLOGISED)])
    assert totals == {"asked": 7, "answered": 3, "apologised": 2, "in_bad_calls": 1, "unexplained": 1}
    assert totals["asked"] == sum(count for name, count in totals.items() if name != "asked")


def test_good_totals_violate_nothing_and_bad_ones_say_each() -> None:
    assert violations(call_totals([a_run(GOOD)]), turn_totals([a_run(GOOD)]), 0) == []
    runs = [a_run(SILENT, CUT, FAILED, replace(GOOD, turns=(LOST,)), placed=5)]
    said = " ".join(violations(call_totals(runs), turn_totals(runs), 1))
    for word in ("heard nothing", "lost the agent", "failed", "never came", "unanswered", "spoke at once"):
        assert word in said


def test_claim_totals_add_up_or_say_what_does_not() -> None:
    closed = {"opened": 5, "released": 1, "handed_over": 1, "recovered": 1, "finished": 1}
    assert ClaimTotals(closed, held=1).problems(idle=False) == []
    assert ClaimTotals(closed, held=1).problems(idle=True) == ["1 claims still held with no call left"]
    assert ClaimTotals(closed, held=0).problems(idle=False) == ["5 claims opened, but 4 closed and 0 held"]
    assert ClaimTotals({}, held=0).problems(idle=True) == []


def a_series(values: list[float], allowance: float = 2.0) -> Series:
    return Series("worker memory", "MiB", allowance, tuple(values))


def test_a_steady_leak_is_growth_in_any_noise_smaller_than_it() -> None:
    leak = [100.0 + 1.5 * i + float(RNG.normal(0, 1.0)) for i in range(20)]
    found = growth(a_series(leak))
    assert found.grew
    assert "worker memory grew from" in found.sentence()


def test_noise_and_a_step_back_are_no_growth() -> None:
    assert growth(a_series([100.0 + float(RNG.normal(0, 10.0)) for _ in range(20)])).grew is False
    assert growth(a_series([100.0, 130.0, 130.0, 110.0, 105.0, 120.0, 104.0, 103.0])).grew is False


def test_what_is_made_once_at_the_first_call_is_no_growth() -> None:
    assert growth(a_series([50.0, *[100.0] * 9])).grew is False


def test_too_few_samples_are_unknown_not_good() -> None:
    assert growth(a_series([1.0, 50.0, 100.0, 150.0])).grew is None


def test_a_seed_draws_every_fault_once_before_any_comes_again() -> None:
    drawn = list(islice(rounds(SoakOptions(seed=3)), 2 * len(FAULTS)))
    first, second = drawn[: len(FAULTS)], drawn[len(FAULTS) :]
    assert {s.id for s, _ in first} == {s.id for s, _ in second} == {s.id for s in FAULTS}
    assert len({seed for _, seed in drawn}) == len(drawn)
    assert drawn == list(islice(rounds(SoakOptions(seed=3)), 2 * len(FAULTS)))
    assert [s.id for s, _ in drawn] != [s.id for s, _ in islice(rounds(SoakOptions(seed=4)), 2 * len(FAULTS))]


def test_a_quick_soak_has_fewer_calls() -> None:
    scenario, _ = next(rounds(SoakOptions(quick=True)))
    assert (scenario.live, scenario.answers) == (2, 1)
    assert SoakOptions(quick=True).length_min == 1.0


@pytest.mark.parametrize("bad", [{"minutes": 0.0}, {"minutes": float("nan")}, {"seed": -1}])
def test_options_out_of_bounds_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SoakOptions(**bad)  # type: ignore[arg-type]


def test_the_printed_result_fits_80_columns() -> None:
    soak = Soak()
    soak.runs.append(a_run(GOOD))
    soak.scenarios.append("worker-kill9")
    for _ in range(10):
        soak.gauges.process("controller", os.getpid())
    console = terminal()
    show({**soak.result(), "wall_s": 60.0, "seed": 1}, console)
    text = text_of(console)
    assert "calls: 1 placed, 1 well" in text
    assert "controller" in text
    assert "1 rounds, 60.0 s, seed 1: good" in text
