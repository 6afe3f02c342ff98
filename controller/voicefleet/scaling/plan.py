"""From a decision to actions: which workers to start, cordon, un-cordon, retire."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.scaling.decision import Decision
from voicefleet.scaling.guardrails import can_return
from voicefleet.scaling.observation import PoolObservation, SupplyState, Worker


@dataclass(frozen=True, slots=True)
class Actions:
    """What to do now. A worker id stands in at most one of the tuples."""

    start: int = 0
    cordon: tuple[str, ...] = ()
    uncordon: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    """Idle for sure: end them."""
    replace: tuple[str, ...] = ()
    """Never got ready: end them, others are started in their place."""

    @property
    def none(self) -> bool:
        return self == Actions()


NOTHING = Actions()


def plan(observation: PoolObservation, decision: Decision) -> Actions:
    """The actions that bring the pool nearer to the decision.

    Invariants:
        - a worker is retired only when it said itself, after it obeyed the cordon, that it has no call;
        - workers that neither drain nor stop never exceed `max_workers` by our doing;
        - at least `min_workers` ready workers are left uncordoned when any is cordoned;
        - nothing is cordoned or retired when the decision may not shrink, or while the workers are being replaced by
          newer ones.

    Starting workers count as supply, so nothing is started twice. Draining workers come back before new ones are
    started; the busiest first, because they would stay longest anyway. Draining workers hold machine capacity
    beyond the maximum until their calls end: the surge is as large as the number of draining workers, never larger.
    """
    if observation.supply == decision.desired and not observation.others and not decision.replace:
        return NOTHING
    replaced = tuple([i for i in decision.replace if any(w.id == i for w in observation.others)])
    # Those that simply serve count in bulk: a tick looks at many pools.
    serving = len(observation.workers) - len(observation.others)
    others = [w for w in observation.others if w.id not in replaced]
    supply = serving + sum([w.supply for w in others])
    missing = max(0, decision.desired - supply)
    back = _comebacks(others)[:missing]
    in_use = serving + sum([_counts_to_maximum(w) for w in others]) + len(back)
    start = max(0, min(missing - len(back), observation.spec.max_workers - in_use))
    if decision.starts is not None:
        start = min(start, decision.starts)
    if not decision.may_shrink or not observation.settled:
        return Actions(start=start, uncordon=_ids(back), replace=replaced)
    surplus = serving - decision.desired
    return Actions(
        start=start,
        cordon=_ids(_victims(observation, surplus)) if surplus > 0 else (),
        uncordon=_ids(back),
        retire=_ids([w for w in others if w.idle_for_sure and w not in back]),
        replace=replaced,
    )


def _comebacks(workers: list[Worker]) -> list[Worker]:
    """Cordoned workers that can take calls again, the busiest first."""
    return sorted(filter(can_return, workers), key=lambda w: (-w.busy, w.id))


def _victims(observation: PoolObservation, surplus: int) -> list[Worker]:
    """`surplus` of the ready workers, those with the fewest calls first.

    Only ready workers count here: a worker that still starts must not push out one that serves. While one is
    silent, but not for long, nobody is cordoned: it may be about to speak up, or the first of many to fall silent.
    """
    if any(w.state is SupplyState.UNKNOWN and not w.lost for w in observation.others):
        return []
    ready = [w for w in observation.workers if w.serving]
    return sorted(ready, key=lambda w: (w.busy, w.age_s, w.id))[:surplus]


def _counts_to_maximum(worker: Worker) -> bool:
    # A lost worker is no supply, but it is there, and holds its machine.
    return worker.supply or (worker.lost and not worker.cordoned)


def _ids(workers: list[Worker]) -> tuple[str, ...]:
    return tuple(w.id for w in workers)
