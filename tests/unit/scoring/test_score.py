"""The scores of a configuration, and comparisons of two, on records drawn by hand or made with a known truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from voicefleet.contract.errors import UsageError
from voicefleet.scoring.compare import Verdict, compare
from voicefleet.scoring.cost import WorkerSize
from voicefleet.scoring.pareto import distinct, front
from voicefleet.scoring.replies import HeardReply
from voicefleet.scoring.score import UNANSWERED_S, pass_hat_k, score
from voicefleet.tasks.record import CallerSpeech, CheckResult, SlotResult, SpeechKind, TaskRecord

pytestmark = pytest.mark.unit


def call(
    task: str = "t",
    *,
    good: bool = True,
    response_s: float | None = 0.6,
    cut_in: bool = False,
    config: str = "fast",
    trial: int = 0,
) -> TaskRecord:
    answer = () if response_s is None else ((5.0 + response_s, 9.0 + response_s),)
    return TaskRecord(
        task,
        "book",
        "tuning",
        config,
        1,
        trial=trial,
        duration_s=30.0,
        agent=((0.5, 2.0), *(((3.9, 4.3),) if cut_in else ()), *answer),
        caller=(CallerSpeech(SpeechKind.TURN, "For two.", 3.0, 5.0),),
        checks=(CheckResult("calls.book", good, "" if good else "never called"),),
        worker_cpu_s=6.0,
        worker_memory_bytes=300,
        generator_lag_s=0.01,
    )


def made(config: str, success: float, ttfa_s: float, seed: int, tasks: int = 120) -> Iterator[TaskRecord]:
    """One call of each task, which is as hard for every configuration."""
    hard = np.random.default_rng(0).normal(0, 0.15, size=tasks)
    rng = np.random.default_rng(seed)
    for n in range(tasks):
        yield call(
            f"t{n}",
            good=bool(rng.random() < success + hard[n]),
            response_s=float(rng.lognormal(np.log(ttfa_s), 0.1)),
            config=config,
        )


def test_the_json_has_what_the_report_of_a_sweep_needs() -> None:
    calls = [call("a"), call("b", good=False, cut_in=True), replace(call("c"), error="connect: refused")]
    found = json.loads(json.dumps(score(calls, worker=WorkerSize(cores=2, price_per_hour=0.42)).to_json()))
    assert found["name"] == "fast"
    assert found["success"] == 0.5
    assert found["success_ci"][0] < 0.5 < found["success_ci"][1]
    assert found["cut_in_ratio"] == 0.5
    assert found["ttfa_p50_s"] == found["ttfa_p95_s"] == 0.6
    assert found["cpu_s_per_call_min"] == 12.0
    assert found["calls_per_worker"] == 7
    assert found["price_per_call_min"] == 0.001
    assert (found["pass_k"], found["slot_f1"], found["selectivity"], found["reply_wer"]) == (None, None, None, None)
    assert found["counts"]["calls"] == 2
    assert found["counts"]["failed_calls"] == 1


def test_an_unanswered_turn_counts_in_ttfa_and_not_in_the_mean_of_answers() -> None:
    found = score([call("a"), call("b", response_s=None)])
    assert found.ttfa_p95_s.value is not None
    assert found.ttfa_p95_s.value > 0.9 * UNANSWERED_S
    assert found.response_mean_s == pytest.approx(0.6)
    assert found.response_rate.value == 0.5


def test_times_of_a_caller_that_lagged_are_its_own() -> None:
    found = score([call("a"), replace(call("b", response_s=3.0), generator_lag_s=0.4)])
    assert (found.calls, found.late) == (2, 1)
    assert found.ttfa_p95_s.value == pytest.approx(0.6)


def test_nothing_played_is_unknown() -> None:
    assert set(score([]).figures().values()) == {None}


def test_pass_k_is_the_chance_that_all_k_succeed() -> None:
    assert pass_hat_k([[True] * 3, [True, True, False], [True]], 3) == 0.5
    assert pass_hat_k([[True, True, False, False]], 2) == pytest.approx(1 / 6)
    assert pass_hat_k([[True]], 3) is None


def test_slot_f1_counts_a_wrong_value_as_missed_and_as_false() -> None:
    slots = (SlotResult("b.day", "monday", "monday"), SlotResult("b.people", "4", "5"), SlotResult("b.name", "x", None))
    found = score([replace(call(), slots=slots, extra_slots=(("b.time", "19:00"),))])
    # 1 right; 3 wanted; 3 given: 2 * 1 / 6
    assert found.slot_f1.value == pytest.approx(1 / 3)


def test_reply_wer_is_of_all_words() -> None:
    heard = (HeardReply("a", "Booked for two at 7.", "booked for two at seven"), HeardReply("b", "Bye.", "buy it"))
    assert score([call()], heard=heard).reply_wer.value == pytest.approx(2 / 6)


def test_a_call_that_needs_more_than_a_worker_fits_not_once() -> None:
    assert WorkerSize(cores=1).calls(50.0) == 0
    assert WorkerSize(cores=1, price_per_hour=1).price_per_call_min(0) is None
    with pytest.raises(UsageError, match=r"busy_ratio = 1\.5"):
        WorkerSize(busy_ratio=1.5)


def test_a_paired_difference_sees_what_two_intervals_do_not() -> None:
    """The same tasks are hard for both: both intervals of success overlap, the difference's excludes zero."""
    ours = [call(f"t{n}", good=n % 2 == 0 or n % 20 == 1, response_s=0.5) for n in range(60)]
    theirs = [call(f"t{n}", good=n % 2 == 0 and n % 20 != 0, response_s=1.2) for n in range(60)]
    a, b = score(ours).success, score(theirs).success
    assert a.lo is not None
    assert b.hi is not None
    assert a.lo < b.hi
    found = compare(ours, theirs)
    assert found.success.verdict is Verdict.BETTER
    assert found.ttfa_p50_ratio.estimate.value == pytest.approx(0.5 / 1.2)
    assert found.ttfa_p50_ratio.verdict is Verdict.BETTER
    assert found.cut_in.verdict is Verdict.UNDECIDED
    assert found.selectivity.estimate.value is None
    assert json.dumps(found.to_json())


def test_two_that_played_no_task_in_common_cannot_be_compared() -> None:
    found = compare([call("a")], [call("b")])
    assert found.tasks == 0
    assert found.ttfa_p50_ratio.estimate.value is None
    assert found.success.verdict is Verdict.UNDECIDED


def test_the_front_is_of_those_that_nobody_beats() -> None:
    configs = {
        "fast": list(made("fast", 0.3, 0.5, 1)),
        "middle": list(made("middle", 0.6, 0.9, 2)),
        "good": list(made("good", 0.95, 1.6, 3)),
        "bad": list(made("bad", 0.3, 1.7, 4)),
        "silent": [replace(call("t1"), error="connect: refused", config="silent")],
    }
    found = front(configs)
    assert {name for name, place in found.items() if place.on_front} == {"fast", "middle", "good"}
    assert min(found[name].share for name in ("fast", "middle", "good")) > 0.9
    assert found["bad"].share < 0.05
    assert distinct([score(records) for records in configs.values()]) == ("fast", "middle", "good")


def test_equals_are_no_row_of_choices() -> None:
    same = [score(list(made(name, 0.6, 0.8, seed))) for seed, name in enumerate("abc")]
    assert len(distinct(same)) == 1
    assert distinct([]) == ()
