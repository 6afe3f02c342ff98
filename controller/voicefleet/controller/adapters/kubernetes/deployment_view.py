"""A Deployment and its pods as last seen, with what we wrote and the watch does not show yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from voicefleet.controller.adapters.kubernetes.pods import Pod
from voicefleet.controller.ports import Instance, InstanceState, StartupTimestamps


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment and its pods at one moment.

    Args:
        replicas: what the Deployment is to have; our own last write, until it is seen.
        pods: all of its pods, in any state.
        rolling: pods are being replaced by those of another template.
        now_s: the API server's time, Unix seconds.
        missing_s: since when pods have been missing.
    """

    replicas: int
    pods: tuple[Pod, ...]
    rolling: bool
    now_s: float
    missing_s: float = 0.0

    @property
    def active(self) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.pods if pod.active)

    @property
    def surplus(self) -> int:
        """Pods that Kubernetes is about to end. While it replaces them, more than asked for are there on purpose."""
        return 0 if self.rolling else max(0, len(self.active) - self.replicas)

    @property
    def missing(self) -> int:
        """Pods that Kubernetes is about to make."""
        return max(0, self.replicas - len(self.active))

    @property
    def going(self) -> frozenset[str]:
        """Names of pods that will be the ones to go, as far as it is in our hands: marked, and within the surplus.

        When Kubernetes ends another one, the surplus is gone and the marked pod is no longer among these.
        """
        marked = sorted((p for p in self.active if p.marked), key=lambda p: (-p.created_s, p.name))
        return frozenset(p.name for p in marked[: self.surplus])


def rolling(pods: Collection[Pod], *, total: int, updated: int) -> bool:
    """Whether pods are being replaced: there are some of more than one template, or of another than the newest."""
    return total != updated or len({pod.generation for pod in pods if pod.active}) > 1


def instances(
    view: DeploymentView,
    deployment: str,
    pulled: Collection[str],
    refusal: str,
    startup: Callable[[Pod], StartupTimestamps | None] = lambda pod: None,
) -> tuple[Instance, ...]:
    """Every instance that has not ended, and those that were asked for and have no pod yet.

    Args:
        pulled: names of pods whose image had to be fetched.
        refusal: why missing pods are not made; may be empty.
    """
    going = view.going
    seen = [
        _instance(pod, view.now_s, pod.name in going, pod.name in pulled, startup(pod))
        for pod in view.pods
        if not pod.finished
    ]
    age_s = max(0.0, view.now_s - view.missing_s)
    missing = [
        Instance(f"{deployment}/missing-{n}", InstanceState.PENDING, age_s, refusal) for n in range(1, view.missing + 1)
    ]
    return (*seen, *missing)


def _instance(pod: Pod, now_s: float, going: bool, pulled: bool, startup: StartupTimestamps | None) -> Instance:
    state = InstanceState.STOPPING if going else pod.state
    if state is InstanceState.STARTING and not pod.detail and pulled and pod.running_s is None:
        state = InstanceState.PULLING
    return Instance(pod.name, state, max(0.0, now_s - pod.created_s), pod.detail, startup=startup)


def trouble(found: Sequence[Instance]) -> str:
    """Why instances do not run: one part for each cause."""
    causes: dict[tuple[InstanceState, str], int] = {}
    for instance in found:
        if instance.detail and instance.state is not InstanceState.STOPPING:
            key = (instance.state, instance.detail)
            causes[key] = causes.get(key, 0) + 1
    return "; ".join(
        f"{count} {'worker' if count == 1 else 'workers'} {state.value.replace('_', ' ')}: {detail}"
        for (state, detail), count in causes.items()
    )
