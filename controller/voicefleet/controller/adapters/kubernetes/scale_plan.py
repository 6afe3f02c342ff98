"""The next writes to a Deployment that end the chosen pods and create the missing ones. Pure.

Kubernetes picks the pod to go by itself: one that is not ready before one that is, then the lowest deletion cost. So a
victim is marked first, the number of replicas is lowered once the mark was seen, and only while no other pod would be
taken instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from voicefleet.controller.adapters.kubernetes.deployment_view import DeploymentView
from voicefleet.controller.adapters.kubernetes.pods import Pod
from voicefleet.controller.ports import InstanceState

COMES_UP_S = 120.0
"""A pod that is younger may still get ready."""
_HOPELESS = frozenset({InstanceState.UNSCHEDULABLE, InstanceState.CRASH_LOOPING})


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """Pods to give the lowest deletion cost, pods to take it from, and a new number of replicas (None: as it is)."""

    mark: tuple[str, ...] = ()
    unmark: tuple[str, ...] = ()
    replicas: int | None = None
    waits_for: str = ""
    """Why victims stay for now."""


def next_scale_plan(view: DeploymentView, start: int, victims: Collection[str], *, hurry: bool = False) -> ScalePlan:
    """The writes for now. Called again, it goes on from what the cluster shows.

    Args:
        start: pods to have on top.
        victims: names of pods to be ended. One that was only asked for, and has no pod yet, is none.
        hurry: lower the replicas even if Kubernetes may take another pod that is not ready.

    Invariants:
        - replicas are lowered by no more than the victims that were seen marked, and never in the same write raised;
          when pods are missing, so far that a victim goes: a lower number would only be one less to make;
        - a victim that serves goes after those that are to come, one that does not goes before: else Kubernetes would
          end the newcomer;
        - replicas are computed from what the Deployment is to have, never from the pods that are there: during a
          rollout there are more;
        - a mark that serves no decision any more is taken away.
    """
    going = view.going
    here = {pod.name: pod for pod in view.active}
    chosen = [here[name] for name in dict.fromkeys(victims) if name in here and name not in going]
    names = {pod.name for pod in chosen}
    mark = tuple(pod.name for pod in chosen if not pod.marked)
    unmark = tuple(pod.name for pod in view.active if pod.marked and pod.name not in names | going)
    seen = [pod for pod in chosen if pod.marked and (start <= 0 or not pod.ready)]
    instead = [] if hurry else _taken_instead(view, names | going)
    if seen and not instead:
        return ScalePlan(mark, unmark, max(0, min(view.replicas, len(view.active)) - len(seen)))
    waits_for = f"{instead[0].name} is not ready, and would be ended instead" if chosen and instead else ""
    # While pods are about to go, more replicas would keep them.
    raised = view.replicas + start if start > 0 and not going else None
    return ScalePlan(mark, unmark, raised, waits_for)


def _taken_instead(view: DeploymentView, chosen: Collection[str]) -> list[Pod]:
    """Pods that Kubernetes would end before one that is ready, and that are worth keeping."""
    return [
        pod
        for pod in view.active
        if pod.name not in chosen
        and not pod.ready
        and pod.state not in _HOPELESS
        and (pod.state is InstanceState.RUNNING or view.now_s - pod.created_s < COMES_UP_S)
    ]
