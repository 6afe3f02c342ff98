"""From a decision to actions: which workers to start, cordon, un-cordon and end, and what of it this replica may do."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    end: tuple[str, ...] = ()
    """Somebody requested their end."""
    cordon_again: tuple[str, ...] = ()
    """They drain, and Redis lost the order: it is given again, so that they can be retired."""

    @property
    def none(self) -> bool:
        return self == Actions()

    @property
    def victims(self) -> tuple[str, ...]:
        """Workers to end now."""
        return (*self.retire, *self.replace, *self.end)


NOTHING = Actions()


def plan(observation: PoolObservation, decision: Decision) -> Actions:
    """The actions that bring the pool nearer to the decision, and those that somebody requested.

    What was requested is carried out whatever the decision is, also in a pool that is not scaled.
    """
    scaled = observation.managed and observation.spec.act
    actions = _toward(observation, decision) if scaled else NOTHING
    end = [w for w in observation.others if w.end_requested]
    lost = [w for w in observation.others if w.order_lost and not w.end_requested and w.id not in actions.uncordon]
    if not (end or lost):
        return actions
    return replace(actions, end=tuple(sorted(_ids(end))), cordon_again=_ids(lost))


def permitted(
    actions: Actions, *, leads: bool, instances_known: bool, cannot_elect: bool, callers_wait: bool
) -> Actions:
    """The part of `actions` that this replica may carry out on a pool that it manages.

    Only the leader scales, and only over instances that it knows; anybody may bring a worker back. With no API server
    nobody is elected, and workers that were about to leave could serve callers who wait: then every replica brings them
    back, because nobody cordons meanwhile.

    Args:
        cannot_elect: nobody can be elected now.
    """
    if leads and instances_known:
        return actions
    if leads or (cannot_elect and callers_wait):
        return Actions(uncordon=actions.uncordon)
    return NOTHING


def _toward(observation: PoolObservation, decision: Decision) -> Actions:
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
