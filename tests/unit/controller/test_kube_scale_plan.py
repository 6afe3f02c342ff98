"""What is laid over the pods that were seen, and what is written next: interrupted at every point, nothing but victims
is ended by our doing, and nothing is started twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.controller.adapters.kubernetes.deployment_view import DeploymentView, instances, rolling, trouble
from voicefleet.controller.adapters.kubernetes.pods import LOWEST_COST, Pod
from voicefleet.controller.adapters.kubernetes.scale_plan import COMES_UP_S, ScalePlan, next_scale_plan
from voicefleet.controller.ports import InstanceState

pytestmark = pytest.mark.unit

S = InstanceState
NOW_S = 10_000.0


def pod(
    name: str, *, marked: bool = False, state: InstanceState = S.RUNNING, age_s: float = 1000.0, **more: object
) -> Pod:
    base = Pod(
        name=name,
        uid=f"uid-{name}",
        created_s=NOW_S - age_s,
        state=state,
        detail="",
        terminating=state is S.STOPPING,
        finished=False,
        ended=False,
        ready=state is S.RUNNING,
        cost=LOWEST_COST if marked else 0,
        generation="1",
        ip="",
        scheduled_s=None,
        running_s=None,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def view(pods: Sequence[Pod], replicas: int, *, rolls: bool = False) -> DeploymentView:
    return DeploymentView(replicas, tuple(pods), rolls, NOW_S, NOW_S - 7.0)


A, B, C = pod("a"), pod("b"), pod("c")
MARKED = pod("b", marked=True)


def test_a_victim_is_marked_and_only_then_fewer_are_wanted() -> None:
    assert next_scale_plan(view([A, B, C], 3), 0, ["b"]) == ScalePlan(mark=("b",))
    assert next_scale_plan(view([A, MARKED, C], 3), 0, ["b"]) == ScalePlan(replicas=2)
    # Written, and Kubernetes has not done it yet; then it has.
    assert next_scale_plan(view([A, MARKED, C], 2), 0, ["b"]) == ScalePlan()
    assert next_scale_plan(view([A, pod("b", marked=True, state=S.STOPPING), C], 2), 0, ["b"]) == ScalePlan()


def test_while_pods_are_about_to_go_more_would_keep_them() -> None:
    assert next_scale_plan(view([A, MARKED, C], 2), 1, []) == ScalePlan()
    assert next_scale_plan(view([A, C], 2), 1, []) == ScalePlan(replicas=3)


def test_a_mark_that_serves_nothing_is_taken_away() -> None:
    assert next_scale_plan(view([A, MARKED, C], 3), 0, []) == ScalePlan(unmark=("b",))
    # Another one died: the marked pod is one of those that stay.
    gone = pod("a", state=S.STOPPING)
    assert next_scale_plan(view([gone, MARKED, C], 2), 0, []) == ScalePlan(unmark=("b",))


@pytest.mark.parametrize(
    ("other", "waits"),
    [
        (pod("a", ready=False), True),
        (pod("a", state=S.PENDING, age_s=5), True),
        (pod("a", state=S.STARTING, age_s=COMES_UP_S + 1), False),
        (pod("a", state=S.UNSCHEDULABLE, age_s=5), False),
        (pod("a", state=S.CRASH_LOOPING, age_s=5), False),
        (pod("a", state=S.STOPPING), False),
    ],
)
def test_a_victim_waits_while_a_pod_worth_keeping_would_be_taken(other: Pod, waits: bool) -> None:
    there = view([other, MARKED, C], 3 - (other.state is S.STOPPING))
    found = next_scale_plan(there, 0, ["b"])
    assert (found.replicas is None) is waits
    assert bool(found.waits_for) is waits
    assert next_scale_plan(there, 0, ["b"], hurry=True).replicas == there.replicas - 1


def test_a_victim_that_serves_goes_after_the_newcomer() -> None:
    assert next_scale_plan(view([A, MARKED], 2), 1, ["b"]) == ScalePlan(replicas=3)
    newcomer = pod("n", state=S.STARTING, age_s=1)
    assert next_scale_plan(view([A, MARKED, newcomer], 3), 0, ["b"]).replicas is None
    assert next_scale_plan(view([A, MARKED, pod("n", age_s=4)], 3), 0, ["b"]).replicas == 2


def test_a_victim_that_never_got_ready_goes_before_the_newcomer() -> None:
    stuck = pod("b", marked=True, state=S.STARTING, age_s=500)
    assert next_scale_plan(view([A, stuck], 2), 1, ["b"]) == ScalePlan(replicas=1)
    # That is done: now the newcomer.
    assert next_scale_plan(view([A], 1), 1, []) == ScalePlan(replicas=2)


def test_with_pods_missing_a_victim_really_goes() -> None:
    """A quota keeps the third one out: one replica less would only cancel that."""
    assert next_scale_plan(view([A, MARKED], 3), 0, ["b"]) == ScalePlan(replicas=1)


def test_victims_without_a_pod_are_none() -> None:
    assert next_scale_plan(view([A], 2), 0, ["worker/missing-1", "gone"]) == ScalePlan()


def test_a_surge_is_not_asked_for_again() -> None:
    """kubernetes#72775."""
    surge = pod("n", state=S.STARTING, generation="2", age_s=1)
    rollout = view([A, B, C, surge], 3, rolls=True)
    assert next_scale_plan(rollout, 0, []) == ScalePlan()
    assert next_scale_plan(rollout, 2, []) == ScalePlan(replicas=5)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(sorted(S)), st.integers(0, 300)), min_size=0, max_size=6),
    st.integers(0, 8),
    st.integers(0, 3),
    st.sets(st.integers(0, 5)),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_there(
    shape: list[tuple[bool, InstanceState, int]],
    replicas: int,
    start: int,
    victims: set[int],
    rolls: bool,
    hurry: bool,
) -> None:
    pods = [pod(f"p{n}", marked=marked, state=state, age_s=age) for n, (marked, state, age) in enumerate(shape)]
    there, names = view(pods, replicas, rolls=rolls), [f"p{n}" for n in sorted(victims)]
    writes = next_scale_plan(there, start, names, hurry=hurry)
    seen = {p.name for p in there.active if p.marked and p.name in names}
    assert set(writes.mark) <= set(names) - seen
    assert not set(writes.mark) & set(writes.unmark)
    if writes.replicas is not None and writes.replicas < replicas:
        assert min(len(there.active), replicas) - writes.replicas <= len(seen)
    if writes.replicas is not None and writes.replicas > replicas:
        assert writes.replicas == replicas + start
    # Interrupted and begun again, the next writer sees what was written and does not do it twice.
    marks = {**dict.fromkeys(writes.mark, LOWEST_COST), **dict.fromkeys(writes.unmark, 0)}
    after = [replace(p, cost=marks.get(p.name, p.cost)) for p in pods]
    again = next_scale_plan(view(after, replicas, rolls=rolls), start, names, hurry=hurry)
    assert not again.mark
    assert not set(again.unmark) & set(writes.unmark)


def test_what_was_asked_for_is_there_before_it_is_seen() -> None:
    found = instances(view([A], 3), "worker", (), "exceeded quota")
    assert [(i.id, i.state, i.age_s, i.detail) for i in found] == [
        ("a", S.RUNNING, 1000.0, ""),
        ("worker/missing-1", S.PENDING, 7.0, "exceeded quota"),
        ("worker/missing-2", S.PENDING, 7.0, "exceeded quota"),
    ]


def test_what_was_sent_away_is_leaving_before_it_is_seen() -> None:
    found = instances(view([A, MARKED, C], 2), "worker", (), "")
    assert {i.id: i.state for i in found} == {"a": S.RUNNING, "b": S.STOPPING, "c": S.RUNNING}


def test_another_pod_died_than_the_victim() -> None:
    found = instances(view([pod("a", state=S.STOPPING), MARKED, C], 2), "worker", (), "")
    assert {i.id: i.state for i in found} == {"a": S.STOPPING, "b": S.RUNNING, "c": S.RUNNING}


def test_a_pod_that_has_ended_is_none() -> None:
    assert instances(view([pod("a", finished=True), C], 1), "worker", (), "") == instances(
        view([C], 1), "worker", (), ""
    )


def test_an_image_on_its_way() -> None:
    fresh = pod("a", state=S.STARTING)
    assert instances(view([fresh], 1), "worker", {"a"}, "")[0].state is S.PULLING
    begun = replace(fresh, running_s=NOW_S)
    assert instances(view([begun], 1), "worker", {"a"}, "")[0].state is S.STARTING


def test_a_cause_is_said_once() -> None:
    pods = [pod(name, state=S.UNSCHEDULABLE, detail="no cpu") for name in "ab"]
    assert trouble(instances(view([*pods, C], 3), "worker", (), "")) == "2 workers unschedulable: no cpu"


@pytest.mark.parametrize(
    ("generations", "total", "updated", "wanted"),
    [("11", 2, 2, False), ("12", 3, 1, True), ("22", 2, 2, False), ("11", 2, 0, True), ("", 0, 0, False)],
)
def test_a_rollout_is_seen(generations: str, total: int, updated: int, wanted: bool) -> None:
    pods = [pod(str(n), generation=g) for n, g in enumerate(itertools.chain(generations))]
    assert rolling(pods, total=total, updated=updated) is wanted
