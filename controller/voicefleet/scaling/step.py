"""One step: observation in, decision out. The state between steps is a value too."""

from __future__ import annotations

from dataclasses import dataclass, field

from voicefleet.scaling.decision import Decision, Need, Reason
from voicefleet.scaling.guardrails.bounds import bound
from voicefleet.scaling.guardrails.hold import Window, hold
from voicefleet.scaling.guardrails.replace import Replacements, replace
from voicefleet.scaling.guardrails.unknown import hold_unknown
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies import Policy
from voicefleet.scaling.policies.buffer import buffer_need


@dataclass(frozen=True, slots=True)
class State:
    """What one step leaves to the next."""

    last: int | None = None
    """What the last decision wanted."""
    window: Window = ()
    replacements: Replacements = field(default_factory=Replacements)


def initial_state(now_s: float, present: int) -> State:
    """A careful start: a new controller knows nothing, so the workers that are there count as a need just seen."""
    return State(last=present, window=((now_s, present),))


def step(state: State, observation: PoolObservation, policy: Policy = buffer_need) -> tuple[State, Decision]:
    """Decide for one pool at ``observation.now_s``.

    Invariants: the decision is within the pool's bounds; with anything unknown it is never below what serves calls
    now (within the bounds) and `may_shrink` is False.
    """
    spec, now = observation.spec, observation.now_s
    need = policy(observation)
    known = need.workers is not None and observation.complete
    floor = hold_unknown(state.last, observation.supply)
    raw = need.workers if need.workers is not None else floor
    if not known:
        raw = max(raw, floor)
    window, held = hold(state.window, min(raw, spec.max_workers), now, spec.hold_s)
    wanted = max(held, raw)
    desired, bounded = bound(wanted, spec)
    reason = bounded or _reason(known, wanted, need)
    replacements, victims, overdue = replace(state.replacements, observation)
    detail = _detail(need, reason, desired, spec.hold_s, wanted)
    decision = Decision(
        desired=desired,
        reason=reason if known else Reason.UNKNOWN,
        detail=f"{detail}; {overdue}" if overdue else detail,
        inputs={**need.inputs, "need": need.workers, "held": held, "supply": observation.supply},
        may_shrink=known,
        replace=victims,
    )
    return State(desired, window, replacements), decision


def _reason(known: bool, wanted: int, need: Need) -> Reason:
    if not known:
        return Reason.UNKNOWN
    return Reason.HOLD if need.workers is not None and wanted > need.workers else Reason.CALLS


def _detail(need: Need, reason: Reason, desired: int, hold_s: float, wanted: int) -> str:
    match reason:
        case Reason.HOLD:
            return f"{need.detail}; {desired} held, the most of the last {hold_s:.0f} s"
        case Reason.MINIMUM:
            return f"{need.detail}; the least allowed is {desired}"
        case Reason.MAXIMUM:
            return f"{need.detail}; {wanted} wanted, the most allowed is {desired}"
        case Reason.UNKNOWN:
            return f"{need.detail}; something is unknown, so {desired} workers are kept"
        case Reason.CALLS:
            return need.detail
