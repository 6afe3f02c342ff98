"""What a region's health is, by what is known of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from voicefleet.contract.health import Finding, HealthState, health_of, worst
from voicefleet.controller.health.assess import assess
from voicefleet.controller.health.observation import HealthObservation, TurnCounts, WorkerSeen
from voicefleet.controller.ports import InstanceState
from voicefleet.controller.regions.read_results import FailedRead
from voicefleet.scaling import SupplyState

pytestmark = pytest.mark.unit

READY = WorkerSeen("w1", SupplyState.READY, age_s=90.0, silent_s=0.5, live=1)
STARTING = WorkerSeen("w2", SupplyState.STARTING, age_s=4.0, silent_s=4.0, live=0)
WELL = HealthObservation(
    region="eu",
    calls_known=True,
    workers_known=True,
    wanted=1,
    max_workers=2,
    start_timeout_s=120.0,
    workers=(READY,),
    free=3,
    live=1,
    waiting=0,
    silent=0,
    turns=TurnCounts(answered=20),
)
NOW_S = 100.0


def seen(**changes: Any) -> list[tuple[str, HealthState]]:
    """Id and state of each finding, the worst first."""
    return [(f.id, f.state) for f in found(**changes)]


def found(**changes: Any) -> tuple[Finding, ...]:
    return assess(replace(WELL, **changes), NOW_S).findings


OK, DEGRADED, UNKNOWN, FAILING = HealthState


def test_a_region_where_all_is_well_is_ok_and_has_no_findings() -> None:
    health = assess(WELL, NOW_S)
    assert (health.state, health.text, health.findings) == (OK, "", ())


def test_the_worst_finding_is_the_state_and_comes_first() -> None:
    minor, major = Finding("a", DEGRADED, "slow", "Wait."), Finding("b", FAILING, "down", "Start it.")
    health = health_of([minor, major])
    assert (health.state, health.text, health.findings) == (FAILING, "down; slow", (major, minor))
    assert worst(["ok", "unknown", "degraded"]) is UNKNOWN
    assert worst([]) is OK


REDIS = FailedRead("Redis did not answer (ConnectionError)", "redis", since_s=88.0, last_s=99.0)


def test_a_dependency_that_does_not_answer_is_one_finding_however_many_reads_fail() -> None:
    later = replace(REDIS, text="Redis did not answer (TimeoutError)", since_s=90.0)
    gone = {"calls_known": False, "workers_known": False, "failed_reads": {"listing": later, "queue": REDIS}}
    (finding,) = found(**gone)
    assert (finding.id, finding.state) == ("redis", UNKNOWN)
    assert "ConnectionError" in finding.cause
    assert "for 12 s" in finding.cause
    assert "live calls go on" in finding.cause
    assert "redis_url" in finding.hint


def test_a_read_that_failed_just_now_hides_nothing_yet_and_is_told() -> None:
    assert seen(failed_reads={"queue": REDIS}) == [("redis", DEGRADED)]


def test_while_workers_are_unknown_none_of_them_is_said_to_be_missing() -> None:
    unknown = {
        "workers_known": False,
        "workers": (),
        "failed_reads": {"instances": replace(REDIS, dependency="kubernetes")},
    }
    assert seen(**unknown) == [("kubernetes", UNKNOWN)]


def test_workers_that_cannot_register_because_livekit_is_away_are_its_consequence() -> None:
    failed = {"listing": replace(REDIS, dependency="livekit")}
    assert seen(calls_known=False, workers=(), trouble="LiveKit does not answer", failed_reads=failed) == [
        ("livekit", UNKNOWN)
    ]


def test_what_was_never_read_is_unknown() -> None:
    assert seen(calls_known=False, live=None, waiting=None) == [("not_read_yet", UNKNOWN)]


def test_workers_that_do_not_start_are_told_with_their_last_error() -> None:
    trouble = "3 failed starts in a row; last: eu-3 exit code 2: no module named my_agnt"
    (finding,) = found(workers=(), trouble=trouble, free=0)
    assert (finding.id, finding.state) == ("starts_fail", FAILING)
    assert finding.cause == f"no worker is ready: {trouble}"
    assert "voicefleet check" in finding.hint


@pytest.mark.parametrize(
    ("state", "id_", "hint"),
    [
        (InstanceState.CRASH_LOOPING, "starts_fail", "voicefleet check"),
        (InstanceState.UNSCHEDULABLE, "unschedulable", "resources.requests"),
        (InstanceState.PULLING, "image", "tag"),
        (InstanceState.PENDING, "quota", "quota"),
    ],
)
def test_the_hint_goes_with_what_keeps_the_workers(state: InstanceState, id_: str, hint: str) -> None:
    stuck = WorkerSeen("w2", SupplyState.STARTING, 9.0, 9.0, 0, instance=state, detail="because")
    (finding,) = found(wanted=2, workers=(READY, stuck), trouble="1 worker so: because")
    assert (finding.id, finding.state) == (id_, DEGRADED)
    assert finding.cause == "1 of 2 workers are ready: 1 worker so: because"
    assert hint in finding.hint
    assert seen(wanted=2, workers=(READY, stuck), trouble="x", waiting=1, oldest_wait_s=12.0)[0] == (id_, FAILING)


def test_who_was_killed_needs_no_other_settings() -> None:
    (finding,) = found(
        workers=(), trouble="1 failed start in a row; last: eu-1 was killed by signal 9 after 3 s", free=0
    )
    assert "memory" in finding.hint
    assert "voicefleet check" not in finding.hint


def test_failed_starts_are_no_finding_once_all_workers_are_ready() -> None:
    assert seen(trouble="1 failed starts in a row; last: w0 killed by signal 9") == []


def test_the_first_worker_that_starts_is_not_late_before_its_time_out() -> None:
    assert seen(workers=(STARTING,), free=0) == [("no_ready_workers", DEGRADED)]
    assert seen(workers=(replace(STARTING, age_s=125.0),), free=0) == [("no_ready_workers", FAILING)]
    assert seen(workers=(), free=0) == [("no_ready_workers", FAILING)]
    assert seen(workers=(), free=0, wanted=0) == []
    assert seen(workers=(), free=0, wanted=None, managed=False) == [("no_ready_workers", FAILING)]


def test_workers_that_stand_still_are_told_by_name() -> None:
    still = replace(READY, id="w9", state=SupplyState.UNKNOWN, silent_s=5.0, live=2, calls=2)
    (finding,) = found(workers=(READY, still))
    assert (finding.id, finding.state) == ("workers_silent", DEGRADED)
    assert finding.cause == "no reports of w9 for 5 s; its 2 calls are moved"
    assert ("workers_silent", FAILING) in seen(workers=(still,))


def test_a_pool_that_is_full_says_so_before_anybody_is_refused() -> None:
    two = (READY, replace(READY, id="w2"))
    assert seen(wanted=2, workers=two, free=0) == [("full", DEGRADED)]


def test_waiting_is_failing_once_it_lasts() -> None:
    (finding,) = found(waiting=2, oldest_wait_s=4.0)
    assert (finding.state, finding.cause) == (DEGRADED, "2 callers wait for an agent, the first for 4 s")
    assert seen(waiting=1, oldest_wait_s=11.0) == [("callers_wait", FAILING)]
    (full,) = found(waiting=1, oldest_wait_s=11.0, max_workers=1)
    assert "max_workers" in full.hint


def test_silence_of_one_among_many_is_not_that_of_all() -> None:
    assert seen(silent=1, live=50) == [("silent_calls", DEGRADED)]
    assert seen(silent=1, live=2) == [("silent_calls", FAILING)]


def test_refused_callers_are_told_by_why() -> None:
    (finding,) = found(refused={"full": 51}, accepted=9)
    assert (finding.id, finding.state) == ("refused_full", FAILING)
    assert finding.cause == "51 callers were refused within the last minute (503): every slot was taken"
    assert seen(refused={"full": 1}, accepted=99) == [("refused_full", DEGRADED)]
    assert seen(refused={"limited": 7}) == [("refused_limits", DEGRADED)]
    assert seen(refused={"unavailable": 2, "failed": 1}) == [("refused_errors", FAILING)]


def test_turns_without_an_answer_name_the_stage_and_how_it_fails() -> None:
    counts = TurnCounts(0, 14, {"llm/timeout": 14, "tts/connection": 1})
    (finding,) = found(turns=counts)
    assert (finding.id, finding.state) == ("turns_fail", FAILING)
    assert finding.cause == (
        "14 of 14 turns of the last minute got no answer: the LLM did not answer in time 14 times (timeout)"
    )
    assert "llm" in finding.hint
    (finding,) = found(turns=TurnCounts(0, 9, {"other/timeout": 9}))
    assert "the agent's own code did not answer in time 9 times" in finding.cause
    assert "No provider was asked" in finding.hint
    assert seen(turns=TurnCounts(95, 5)) == [("turns_fail", DEGRADED)]
    assert seen(turns=TurnCounts(99, 1)) == []
    assert seen(turns=None) == []


def test_workers_on_a_lower_tier_are_told_with_the_reason() -> None:
    lower = replace(READY, id="w3", tier_level=2, tier_why="CPU at 97% for 3 s (limit 90%)")
    (finding,) = found(workers=(READY, replace(lower, id="w2", tier_level=1), lower))
    assert (finding.id, finding.state) == ("stepped_down", DEGRADED)
    assert finding.cause == (
        "2 of 3 workers answer on a lower tier than calls ask for: w3, 2 steps down, CPU at 97% for 3 s (limit 90%)"
    )
    assert "stepped_down" not in dict(seen(workers=(lower,), workers_known=False)), "unknown is no finding"


def test_a_provider_that_fails_while_fallbacks_answer_is_told() -> None:
    (finding,) = found(turns=TurnCounts(30, 0, {"stt/connection": 9}))
    assert (finding.id, finding.state) == ("provider_fails", DEGRADED)
    assert "callers were answered all the same" in finding.cause


def test_nobody_who_scales_is_a_finding() -> None:
    (finding,) = found(election="the API server does not answer")
    assert (finding.id, finding.state) == ("no_leader", DEGRADED)


def test_every_finding_has_one_line_and_a_way_out() -> None:
    everything = found(
        failed_reads={"queue": REDIS, "webhooks": replace(REDIS, dependency="")},
        workers=(replace(READY, state=SupplyState.UNKNOWN),),
        trouble="t",
        waiting=2,
        silent=3,
        refused={"full": 1, "limited": 1, "failed": 1},
        turns=TurnCounts(0, 9),
        election="e",
    )
    assert len(everything) >= 8
    assert len({finding.id for finding in everything}) == len(everything)
    for finding in everything:
        assert finding.cause
        assert "\n" not in finding.cause
        assert finding.hint.endswith(".")
        assert "{" not in finding.cause + finding.hint


def test_a_token_that_was_not_renewed_is_said_before_it_ends() -> None:
    (finding,) = found(access_ends_s=5400.0)
    assert (finding.id, finding.state) == ("token_ends", DEGRADED)
    assert "ends in 1.5 h" in finding.cause
    away = {"workers": FailedRead("no answer", "kubernetes", 90.0, 99.0)}
    assert "token_ends" not in {f.id for f in found(access_ends_s=0.0, failed_reads=away)}, "the refusal says it"
