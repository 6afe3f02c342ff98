"""Who is suspect and who is dead, and when so many are that it must be our fault."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.contract.claims import RENEWAL_OVERDUE_MS, Claim
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.calls.liveness import WELL, Health, Reason, Verdict, evaluate, fault_of_ours
from voicefleet.controller.pool.worker_store import Reported

pytestmark = pytest.mark.unit

NOW = 1_000_000
CLAIM = Claim("w1", "J", 3, "live", renewed_ms=NOW - 500)
SUSPECT = Verdict(Health.SUSPECT, Reason.NOT_RENEWED)
GONE = Verdict(Health.DEAD, Reason.WORKER_ENDED)


def report(jobs: list[str] | None, *, at_ms: int = NOW - 100, silent_s: float = 0.1) -> Reported:
    return Reported(WorkerReport("w1", "eu", "ready", 4, 1, 0, uptime_s=9.0, jobs=jobs), silent_s, None, at_ms)


def verdict(
    claim: Claim = CLAIM,
    *,
    listening: bool = True,
    held_for_ms: int = 5_000,
    said: Reported | None = None,
    departed: bool = False,
) -> Verdict:
    overdue = NOW - claim.renewed_ms > RENEWAL_OVERDUE_MS
    return evaluate(
        claim, overdue=overdue, held_for_ms=held_for_ms, listening=listening, report=said, departed=departed
    )


def test_a_job_that_renews_and_listens_is_well_whatever_its_worker_says() -> None:
    for said in (None, report(None), report([]), report(["J"])):
        assert verdict(said=said) == WELL


def test_renewals_that_stop_make_suspect_and_never_dead() -> None:
    late = dataclasses.replace(CLAIM, renewed_ms=NOW - 2_501)
    assert verdict(dataclasses.replace(CLAIM, renewed_ms=NOW - 2_500)) == WELL
    for said in (None, report([]), report(["J"])):
        assert verdict(late, said=said) == SUSPECT


def test_without_a_listener_the_worker_decides_or_livekit_is_asked() -> None:
    suspect = Verdict(Health.SUSPECT, Reason.NOT_LISTENING)
    assert verdict(listening=False, said=report([])) == Verdict(Health.DEAD, Reason.JOB_ENDED)
    assert verdict(listening=False, held_for_ms=999, said=report([])) == WELL
    assert verdict(listening=False) == suspect
    assert verdict(listening=False, said=report(["J"])) == suspect
    assert verdict(listening=False, said=report(None)) == suspect  # an older worker does not tell
    assert verdict(listening=False, said=report([], at_ms=CLAIM.renewed_ms)) == suspect  # said before its last sign
    assert verdict(listening=False, said=report([], silent_s=3.1)) == suspect


def test_trouble_that_a_job_reports_itself() -> None:
    assert verdict(dataclasses.replace(CLAIM, trouble="media")) == Verdict(Health.SUSPECT, Reason.TROUBLE)


def test_the_end_of_the_worker_is_enough() -> None:
    for claim in (CLAIM, dataclasses.replace(CLAIM, state="accepted", renewed_ms=0)):
        assert verdict(claim, departed=True) == GONE


@given(st.booleans(), st.integers(0, 20_000))
def test_claims_that_say_nothing_of_renewals_are_left_to_their_end(listening: bool, held_for_ms: int) -> None:
    for claim in (
        dataclasses.replace(CLAIM, state="accepted", renewed_ms=0),
        dataclasses.replace(CLAIM, renewed_ms=0),
    ):
        assert verdict(claim, listening=listening, held_for_ms=held_for_ms, said=report([])) == WELL


def test_more_than_half_of_the_workers_is_a_fault_of_ours() -> None:
    assert not fault_of_ours([])
    assert not fault_of_ours([("a", SUSPECT)])  # one worker alone says nothing
    assert not fault_of_ours([("a", SUSPECT), ("b", WELL)])
    assert fault_of_ours([("a", SUSPECT), ("b", SUSPECT)])
    assert fault_of_ours([("a", SUSPECT), ("b", SUSPECT), ("c", WELL)])
    assert not fault_of_ours([("a", SUSPECT), ("a", WELL), ("b", SUSPECT)])  # a worker with one good call is well
    assert not fault_of_ours([("a", SUSPECT), ("b", SUSPECT), ("c", GONE)])  # there is a cause
    dead = Verdict(Health.DEAD, Reason.JOB_ENDED)
    assert not fault_of_ours([("a", dead), ("b", dead)])  # known, not suspected


def test_a_job_that_is_sure_to_be_of_no_use_is_unfit_and_counts_for_no_fault_of_ours() -> None:
    for trouble in ("deaf", "mute"):
        found = verdict(dataclasses.replace(CLAIM, trouble=trouble), said=report(["J"]))
        assert found == Verdict(Health.UNFIT, Reason(trouble))
        assert not fault_of_ours([("w1", found), ("w2", found)])
