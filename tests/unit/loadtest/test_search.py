"""The search for a capacity: a machine that is noisy or late does not fool it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from support.outcomes import CUT, GOOD, TURN
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.command_search import SearchOptions, assess, sentence
from voicefleet.loadtest.run import LoadRun
from voicefleet.loadtest.search import MOST_VOID, Found, GaveUp, Step, Try, decide, most_at_once
from voicefleet.loadtest.thresholds import parse_condition

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
LIMIT = 500


def searched(
    run: Callable[[int], bool | None], *, start: int = 1, most: int = 100
) -> tuple[Found | GaveUp, list[Step]]:
    steps: list[Step] = []
    for _ in range(LIMIT):
        decision = decide(steps, start=start, most=most)
        if not isinstance(decision, Try):
            return decision, steps
        assert 1 <= decision.level <= most
        steps.append(Step(decision.level, run(decision.level)))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("start", [1, 3, 40, 100])
def test_every_edge_is_found_exactly_on_a_quiet_machine(start: int) -> None:
    for capacity in range(100):
        found, steps = searched(lambda level, capacity=capacity: level <= capacity, start=start)  # type: ignore[misc]
        assert found == Found(capacity, capacity, capacity)
        assert len(steps) <= 18


def test_a_pool_that_nothing_breaks_holds_at_least_the_most_that_was_tried() -> None:
    found, steps = searched(lambda _level: True, most=24)
    assert found == Found(24, 24, None)
    assert [step.level for step in steps] == [1, 2, 4, 8, 16, 24, 24]


def test_void_steps_are_repeated_and_not_counted() -> None:
    rng = np.random.default_rng(1)
    last_void = [0]

    def run(level: int) -> bool | None:
        if rng.random() < 0.4 and last_void[0] < MOST_VOID - 1:
            last_void[0] += 1
            return None
        last_void[0] = 0
        return level <= 13

    found, steps = searched(run)
    assert found == Found(13, 13, 13)
    assert any(step.held is None for step in steps)
    for before, after in pairwise(steps):
        assert before.held is not None or after.level == before.level


def test_a_level_that_the_machine_cannot_place_bounds_the_search() -> None:
    assert searched(lambda level: None if level > 7 else level <= 5)[0] == Found(5, 5, 5)
    assert searched(lambda level: None if level > 7 else True)[0] == Found(7, 7, None)
    assert searched(lambda level: None if level > 7 else True, start=50)[0] == Found(7, 7, None)
    assert searched(lambda _level: None)[0] == GaveUp()


def test_a_level_that_broke_by_chance_is_turned_over_by_its_repetitions() -> None:
    tries: dict[int, int] = {}

    def run(level: int) -> bool:
        tries[level] = tries.get(level, 0) + 1
        return level <= 12 and not (level == 6 and tries[level] == 1) and not (level == 2 and tries[level] == 1)

    found, _ = searched(run)
    assert isinstance(found, Found)
    assert found.capacity == 12
    assert found.low < 6, "a run with 2 calls broke"


def test_noise_around_the_edge_moves_the_answer_by_one_at_most_nearly_always() -> None:
    """A step fools: near the edge often, elsewhere one time in fifty."""
    answers = []
    for seed in range(200):
        rng = np.random.default_rng(seed)

        def run(level: int, rng: np.random.Generator = rng) -> bool:
            wrong = 0.1 if abs(level - 20.5) < 1 else 0.02
            return bool((level <= 20) != (rng.random() < wrong))

        found, _ = searched(run)
        assert isinstance(found, Found)
        assert found.low <= found.capacity
        assert found.high is None or found.capacity <= found.high
        answers.append(found.capacity)
    assert np.mean([abs(answer - 20) <= 1 for answer in answers]) > 0.97


def at(t_start_s: float, **fields: object) -> CallOutcome:
    return replace(GOOD, t_start_s=t_start_s, **fields)  # type: ignore[arg-type]


def test_calls_at_once_are_those_with_an_agent() -> None:
    assert most_at_once([at(0.0), at(1.0), at(2.0)]) == 3
    assert most_at_once([at(0.0), at(30.0)]) == 1
    assert most_at_once([at(0.0), at(0.0, wait_s=None)]) == 1
    # Waited in the room until the first call was over.
    assert most_at_once([at(0.0, ended_s=20.0), at(0.0, wait_s=21.0, ended_s=40.0)]) == 1


def judged(*calls: CallOutcome, text: str = "ttfa_p95<1.0", health: GeneratorHealth = FINE) -> tuple[bool | None, str]:
    run = LoadRun(calls, health, 30.0, {})
    step, tells = assess(len(calls), run, parse_condition(text, field="x"), 10.0)
    assert step.held == tells["held"]
    return step.held, tells["found"]


def test_a_level_holds_when_the_condition_does_no_call_failed_and_all_were_served_at_once() -> None:
    slow = replace(GOOD, turns=(replace(TURN, ttfa_s=1.2),))
    assert judged(GOOD, GOOD)[0] is True
    assert judged(slow, slow)[0] is False
    assert judged(GOOD, CUT) == (False, "1 of 2 calls failed, ttfa_p95 0.700")
    assert judged(GOOD, CUT, text="calls_failed_ratio<=50%")[0] is True
    assert judged(GOOD, at(0.0, wait_s=21.0, ended_s=40.0))[1].startswith("only 1 calls had an agent")
    assert judged(replace(GOOD, turns=()))[0] is False, "nothing was measured"
    assert judged(GOOD, CUT, health=replace(FINE, lag_p99_s=0.3))[0] is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"condition": "ttfa_p95>1.0"}, "worse"),
        ({"condition": "tfa_p95<1.0"}, "ttfa_p95"),
        ({"condition": "ttfa_p95<1.0", "at_most": 0}, "--at-most"),
        ({"condition": "ttfa_p95<1.0", "start": 200}, "--start"),
        ({"condition": "ttfa_p95<1.0", "at_least": 101}, "--at-least"),
    ],
)
def test_a_search_for_nothing(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SearchOptions(**fields)  # type: ignore[arg-type]


def test_what_was_found_is_said() -> None:
    result = {"capacity": 8, "interval": [7, 9], "condition": "ttfa_p95<1.0"}
    assert "holds 8 calls at once" in sentence(result)
    assert "up to 7 it always did, above 9 never" in sentence(result)
    assert sentence({**result, "interval": [8, None], "steps": []}).endswith("may hold more")
    assert "could not place more" in sentence({**result, "interval": [8, None], "steps": [{"held": None}]})
    assert "not known" in sentence({**result, "capacity": None})
