"""The log of incidents: what is noted, once, and what becomes of notes while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from structlog.testing import capture_logs

from support.virtual_time import LoopClock, run
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import Finding, Health, HealthState
from voicefleet.contract.incidents import LONGEST_TEXT, ONCE_IN_S, Incident, IncidentKind, distinct
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.health.incident_store import IncidentStore
from voicefleet.controller.health.incidents import Incidents
from voicefleet.controller.health.lost_workers import GIVEN_UP_S, LostWorkers
from voicefleet.controller.health.transitions import Transitions
from voicefleet.controller.health.watch import span
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit


class FakeStore:
    """A stream in memory."""

    def __init__(self) -> None:
        self.kept: list[Incident] = []
        self.away = False
        self.trims = 0

    async def add(self, incident: Incident) -> None:
        self._check()
        self.kept.append(incident)

    async def read(self, limit: int) -> list[Incident]:
        self._check()
        return self.kept[::-1][:limit]

    async def trim(self) -> None:
        self._check()
        self.trims += 1

    def _check(self) -> None:
        if self.away:
            raise UnknownStateError("Redis did not answer", dependency="redis")


def incident(at_s: float, subject: str = "w1", kind: str = "worker_lost", text: str = "") -> Incident:
    return Incident(round(at_s * 1000), kind, text or f"{subject} at {at_s}", subject=subject)


def test_notes_wait_for_redis_and_are_read_meanwhile() -> None:
    async def story() -> None:
        store = FakeStore()
        incidents = Incidents("eu", cast(IncidentStore, store), LoopClock(), replica="one")
        task = asyncio.ensure_future(incidents.run())
        incidents.note(IncidentKind.CANARY, "begun", subject="a")
        await asyncio.sleep(0.1)
        assert [i.text for i in store.kept] == ["begun"]
        store.away = True
        incidents.note(IncidentKind.WORKER_LOST, "w1 killed by signal 9,\n 2 calls moved", subject="w1")
        await asyncio.sleep(5.0)
        assert [i.text for i in await incidents.read(9)] == ["w1 killed by signal 9, 2 calls moved", "begun"]
        store.away = False
        await asyncio.sleep(1.5)
        assert [i.text for i in store.kept] == ["begun", "w1 killed by signal 9, 2 calls moved"]
        assert [i.replica for i in await incidents.read(1)] == ["one"]
        await cancel_and_wait([task])

    run(story())


def test_the_same_about_the_same_is_noted_once_in_a_while() -> None:
    async def story() -> None:
        incidents = Incidents("eu", None, LoopClock())
        for _ in range(3):
            incidents.note(IncidentKind.FINDING, "redis is away", subject="redis")
        incidents.note(IncidentKind.FINDING, "x" * 2 * LONGEST_TEXT, subject="full")
        assert sorted(len(i.text) for i in await incidents.read(9)) == [len("redis is away"), LONGEST_TEXT]
        await asyncio.sleep(ONCE_IN_S + 1.0)
        incidents.note(IncidentKind.FINDING, "redis is away again", subject="redis")

    with capture_logs() as logs:
        run(story())
    assert [entry["subject"] for entry in logs] == ["redis", "full", "redis"]


def test_what_two_replicas_noted_is_one_incident() -> None:
    noted = [incident(10.0), incident(11.0), incident(11.0, "w2"), incident(10.0 + ONCE_IN_S)]
    assert [(i.subject, i.at_ms) for i in distinct(noted)] == [("w1", 40_000), ("w2", 11_000), ("w1", 10_000)]


# What became of the calls of a lost worker


def calls(**holders: tuple[str, int]) -> Snapshot:
    """Room -> (worker, held since); an empty worker: nobody has it."""
    found = [
        Call(
            room, 0, None if worker else 5.0, Claim(worker, f"J-{room}-{worker}", 1, "live") if worker else None, since
        )
        for room, (worker, since) in holders.items()
    ]
    return Snapshot(0, tuple(found), ())


def test_a_killed_worker_is_told_with_what_became_of_its_calls() -> None:
    lost = LostWorkers()
    lost.ended("eu-1", "killed by signal 9", 10.0, calls(a=("eu-1", 0), b=("eu-1", 0), c=("eu-2", 0)), 10_000)
    assert lost.settled(calls(a=("eu-2", 10_900), b=("", 0), c=("eu-2", 0)), 12.0) == []
    (told,) = lost.settled(calls(a=("eu-2", 10_900), b=("eu-2", 11_400), c=("eu-2", 0)), 12.5)
    assert told.text == "eu-1 killed by signal 9, 2 calls moved in 1.4 s"
    assert lost.settled(calls(), 99.0) == []


def test_a_call_that_nobody_takes_and_one_that_ended_are_told_apart() -> None:
    lost = LostWorkers()
    lost.lost_call("eu-1", "a", "lost its jobs (not_listening)", 10.0, 10_000)
    lost.lost_call("eu-1", "b", "lost its jobs (not_listening)", 10.2, 10_200)
    assert lost.settled(calls(a=("", 0)), 12.0) == []
    (told,) = lost.settled(calls(a=("", 0)), 10.0 + GIVEN_UP_S)
    assert (told.moved, told.left, told.waiting) == (0, 1, 1)
    assert "1 call ended meanwhile, 1 call still without an agent after 15 s" in told.text


def test_a_worker_without_a_call_is_told_too_and_its_end_says_more_than_its_jobs() -> None:
    lost = LostWorkers()
    lost.lost_call("eu-1", "a", "lost its jobs (job_ended)", 10.0, 10_000)
    lost.ended("eu-1", "killed by signal 9", 10.3, None, 10_300)
    lost.ended("eu-7", "exit code 1", 10.3, calls(), 10_300)
    told = lost.settled(calls(a=("eu-2", 10_500)), 12.0)
    assert [t.text for t in told] == [
        "eu-1 killed by signal 9, 1 call moved in 0.5 s",
        "eu-7 exit code 1, it had no call",
    ]


# When a finding is noted


def finding(state: HealthState, id_: str = "redis") -> Health:
    return Health((Finding(id_, state, f"{id_} {state}", "Mend it."),))


def changes(transitions: Transitions, *looks: tuple[float, Health]) -> Sequence[tuple[str, float | None]]:
    return [
        (change.finding.cause, change.lasted_s) for now_s, health in looks for change in transitions.look(health, now_s)
    ]


def test_what_lasts_is_noted_and_when_it_is_over() -> None:
    bad, well = finding(HealthState.FAILING), Health()
    transitions = Transitions()
    assert changes(transitions, (0.0, bad), (1.0, bad)) == []
    assert changes(transitions, (2.0, bad), (60.0, bad)) == [("redis failing", None)]
    assert changes(transitions, (61.0, well), (63.0, well)) == []
    assert changes(transitions, (66.0, well), (70.0, well)) == [("redis failing", 60.0)]


def test_what_heals_by_itself_is_no_incident_and_what_gets_worse_is_another() -> None:
    mild, bad = finding(HealthState.DEGRADED), finding(HealthState.UNKNOWN)
    transitions = Transitions()
    assert changes(transitions, (0.0, mild), (9.0, mild), (10.0, Health()), (15.0, Health())) == []
    assert changes(transitions, (20.0, mild), (35.0, mild)) == [("redis degraded", None)]
    assert changes(transitions, (36.0, bad), (38.0, bad), (40.0, bad)) == [("redis unknown", None)]


def test_spans_are_told_in_their_size() -> None:
    assert [span(s) for s in (4.4, 200.0, 7_500.0)] == ["4 s", "3 min 20 s", "2 h 5 min"]
