"""Whether a canary is promoted, rolled back or watched on, and what its calls' logs tell of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from voicefleet.contract.call_log import CallLog
from voicefleet.controller.canary.decide import ALPHA, Decision, Evidence, Objective, Share, decide, tail
from voicefleet.controller.canary.figures import Figures, figures_of

pytestmark = pytest.mark.unit

GOOD = Objective("turns without an answer", 0.05, Share(1, 100), Share(2, 900))
DONE = Evidence(elapsed_s=600, calls=50, objectives=(GOOD,), min_calls=50, duration_s=600)


def verdict(*objectives: Objective, **changes: Any) -> tuple[Decision, str]:
    found = decide(dataclasses.replace(DONE, objectives=objectives or DONE.objectives, **changes))
    return found.decision, found.reason


def of(canary: Share, stable: Share | None = None, most_ratio: float = 0.05) -> Objective:
    return dataclasses.replace(GOOD, most_ratio=most_ratio, canary=canary, stable=stable or Share(0, 100))


def test_a_canary_that_held_all_its_objectives_is_promoted() -> None:
    assert verdict() == (Decision.PROMOTE, "all objectives held over 50 calls and 600 s")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"calls": 49}, "49 of 50 calls, 600 of 600 s"), ({"elapsed_s": 599}, "50 of 50 calls, 599 of 600 s")],
)
def test_it_waits_for_its_calls_and_its_time(changes: dict[str, Any], said: str) -> None:
    assert verdict(**changes) == (Decision.WAIT, said)


def test_it_is_not_promoted_on_what_nobody_saw() -> None:
    assert verdict(of(Share(0, 0)))[0] is Decision.WAIT


@pytest.mark.parametrize(("bad", "total"), [(3, 3), (4, 8), (12, 50)])
def test_it_is_rolled_back_at_once_when_it_surely_misses_an_objective(bad: int, total: int) -> None:
    decision, reason = verdict(of(Share(bad, total)), calls=1, elapsed_s=5)
    assert decision is Decision.ROLL_BACK
    assert reason.startswith(f"{bad} of {total} turns without an answer")
    assert "allowed 5.0%" in reason
    assert reason.endswith("the stable version: 0 of 100")


@pytest.mark.parametrize(("bad", "total"), [(1, 1), (1, 2), (2, 20), (6, 100)])
def test_bad_luck_alone_does_not_roll_it_back(bad: int, total: int) -> None:
    assert verdict(of(Share(bad, total)), calls=1)[0] is Decision.WAIT


def test_with_an_objective_of_none_one_is_enough() -> None:
    assert verdict(of(Share(1, 500), most_ratio=0.0), calls=1)[0] is Decision.ROLL_BACK


def test_what_the_stable_version_suffers_too_is_not_its_fault() -> None:
    both = of(Share(50, 100), Share(450, 900))
    assert verdict(both, calls=1)[0] is Decision.WAIT
    decision, reason = verdict(both)
    assert decision is Decision.WAIT
    assert reason.startswith("the stable version misses it as well")


def test_one_that_is_surely_worse_than_an_ailing_stable_version_is_rolled_back() -> None:
    assert verdict(of(Share(90, 100), Share(450, 900)), calls=1)[0] is Decision.ROLL_BACK


def test_at_the_end_the_share_itself_decides() -> None:
    assert verdict(of(Share(6, 100)))[0] is Decision.ROLL_BACK
    assert verdict(of(Share(5, 100)))[0] is Decision.PROMOTE


def test_workers_that_do_not_start_roll_it_back_and_a_slow_start_does_not() -> None:
    assert verdict(calls=0, not_ready_s=20, start_error="exit code 2")[0] is Decision.WAIT
    assert verdict(calls=0, not_ready_s=300)[0] is Decision.WAIT
    decision, reason = verdict(calls=0, not_ready_s=31, start_error="3 failed starts in a row; last: exit code 2")
    assert (decision, reason) == (
        Decision.ROLL_BACK,
        "no worker of it was ready for 31 s: 3 failed starts in a row; last: exit code 2",
    )


def test_the_chance_of_so_many_bad_ones_is_the_binomial_tail() -> None:
    for bad, total, ratio in ((3, 3, 0.05), (4, 8, 0.05), (12, 50, 0.1)):
        exact = sum(math.comb(total, k) * ratio**k * (1 - ratio) ** (total - k) for k in range(bad, total + 1))
        assert tail(bad, total, ratio) == pytest.approx(exact)
    assert tail(900, 100_000, 0.005) < ALPHA
    assert tail(0, 0, 0.05) == 1.0


Fact = tuple[str, dict[str, Any]]


def log(*facts: Fact, **fields: str) -> CallLog:
    made = tuple({"e": kind, "t": at, **more} for at, (kind, more) in enumerate(facts, 1))
    return CallLog("RM_1", "eu-sales-v2", {"room": "r", "opened_ms": "0", **fields}, made)


ANSWERED: Fact = ("answered", {})
LOST: Fact = ("lost", {})
RECOVERED: Fact = ("recovered", {})
TURN: Fact = ("turn", {"outcome": "completed", "ttfa_s": 0.8})


def test_a_call_tells_of_its_turns() -> None:
    slow, none = ("turn", {"outcome": "completed", "ttfa_s": 2.5}), ("turn", {"outcome": "error"})
    over = ("turn", {"outcome": "session_closed"})
    found = figures_of(log(ANSWERED, TURN, slow, none, over), ttfa_s=2.0)
    assert found == Figures(calls=1, turns=3, errors=1, slow=1, answered=2)


def test_a_call_that_has_just_begun_tells_nothing() -> None:
    assert figures_of(log(ANSWERED), ttfa_s=2.0) == Figures()
    assert figures_of(log(ANSWERED), ttfa_s=2.0, over=True) == Figures(calls=1)


def test_silence_and_the_loss_of_an_agent_count_once_a_call() -> None:
    silence: Fact = ("silence", {})
    assert figures_of(log(ANSWERED, silence, silence), ttfa_s=2.0) == Figures(calls=1, silent=1)
    assert figures_of(log(ANSWERED, LOST, RECOVERED, LOST), ttfa_s=2.0) == Figures(calls=1, crashed=1)
    assert figures_of(log(), ttfa_s=2.0, over=True, failed=True) == Figures(calls=1, crashed=1)


def test_what_was_before_a_move_is_the_other_versions() -> None:
    before = (ANSWERED, ("turn", {"outcome": "error"}), LOST)
    moved = log(*before, ("other_version", {}), RECOVERED, TURN, moved_ms="4")
    assert figures_of(moved, ttfa_s=2.0, over=True) == Figures(calls=1, turns=1, answered=1)
    again = log(*before, ("other_version", {}), RECOVERED, RECOVERED, moved_ms="4")
    assert figures_of(again, ttfa_s=2.0, over=True).crashed == 1


def test_figures_add_up_and_are_kept_as_counts() -> None:
    one = Figures(calls=1, turns=2, errors=1)
    kept = {name: str(count) for name, count in (one + one).to_counts().items()}
    assert Figures.of_counts({**kept, "of_a_newer_release": "7"}) == Figures(calls=2, turns=4, errors=2)
