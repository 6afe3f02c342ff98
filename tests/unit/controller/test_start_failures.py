"""Failed starts of worker processes: how often one is tried, what is said, and what ends it. In virtual time."""

from __future__ import annotations

import itertools

import pytest

from voicefleet.controller.adapters.processes.start_failures import RESTARTS, StartFailures

pytestmark = pytest.mark.unit


def starts_in(total_s: float, *, lives_s: float, registers: bool = False, tick_s: float = 2.0) -> list[float]:
    """When workers were started that each end after `lives_s`, by a controller that asks for one every tick."""
    failures, began, at_s = StartFailures(), [0.0], 0.0
    while at_s < total_s:
        at_s += tick_s
        if at_s < (ends_s := began[-1] + lives_s):
            continue
        if failures.at_s < ends_s and len(began) > 0 and failures.at_s < began[-1]:
            if registers:
                failures = failures.registered(began[-1])
            failures = failures.failed("eu-1 exited with 2 after 3 s", ends_s)
        failures = failures.at(at_s)
        if failures.wait_s(at_s) == 0:
            began.append(at_s)
    return began


def test_a_worker_that_cannot_start_is_tried_ever_less_often() -> None:
    began = starts_in(600, lives_s=3.0)
    gaps = [after - before for before, after in itertools.pairwise(began)]
    assert gaps[:6] == sorted(gaps[:6])
    assert gaps[-1] >= RESTARTS.longest_wait_s
    assert len(began) <= 20, "120 in 160 s were too many"


def test_one_that_registers_and_then_dies_is_a_crash_loop_too() -> None:
    began = starts_in(600, lives_s=20.0, registers=True)
    assert began[-1] - began[-2] >= RESTARTS.longest_wait_s + 20.0


def test_what_is_said_while_it_loops() -> None:
    failures = StartFailures()
    assert (failures.told(0.0), failures.looping) == ("", False)
    failures = failures.failed("eu-1 exited with 2 after 1 s: no module my_agnt", 10.0)
    assert failures.told(10.0) == (
        "1 failed start in a row, next in 1 s; last: eu-1 exited with 2 after 1 s: no module my_agnt"
    )
    assert not failures.looping, "one failure is no loop"
    failures = failures.failed("eu-2 exited with 2 after 1 s", 20.0)
    assert failures.looping
    assert failures.told(30.0) == "2 failed starts in a row; last: eu-2 exited with 2 after 1 s"


def test_an_older_worker_says_nothing_and_a_new_one_ends_the_complaint() -> None:
    failures = StartFailures().failed("a", 100.0).failed("b", 110.0)
    assert failures.registered(99.0).looping, "it was there before: perhaps with another agent"
    well = failures.registered(113.0)
    assert (well.looping, well.told(114.0)) == (False, "")
    again = well.failed("c", 120.0)
    assert again.wait_s(120.0) == 4.0, "it goes on from there"
    assert again.told(120.0).startswith("3 failed starts")


def test_failures_are_forgotten_when_nothing_failed_for_as_long_as_a_worker_takes_to_prove_itself() -> None:
    failures = StartFailures().failed("a", 100.0).failed("b", 110.0)
    assert failures.at(171.9) == failures
    assert failures.at(172.0) == StartFailures()
