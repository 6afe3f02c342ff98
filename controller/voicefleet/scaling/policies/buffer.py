"""The buffer policy: room for every call there is, and a fixed number of free slots beyond."""

from __future__ import annotations

from voicefleet.contract.decisions import DecisionInputs
from voicefleet.scaling.decision import Need
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies.policy import Policy
from voicefleet.scaling.policy_state import PolicyState


def buffer_need(learned: PolicyState, observation: PoolObservation) -> tuple[PolicyState, Need]:
    """``ceil((live + waiting + joining + buffer) / slots)``. Nothing is learned.

    Waiting calls are demand: a formula over served calls alone locks once the fleet is full. While the calls are not
    known, those that are there for sure count.
    """
    spec = observation.spec
    calls = observation.least_calls
    inputs = DecisionInputs(
        live=observation.calls_live,
        waiting=observation.calls_waiting,
        joining=observation.calls_joining,
        sure=calls if observation.partial else None,
        buffer=spec.buffer,
        slots=spec.slots,
    )
    if calls is None:
        return learned, Need(None, "the number of calls is unknown", inputs)
    live, waiting, joining = observation.calls_live, observation.calls_waiting, observation.calls_joining
    at_least = ""
    if observation.partial and (sure := observation.sure) is not None:
        at_least, live, waiting, joining = "at least ", sure.live, sure.waiting, sure.joining
    wanted = -(-(calls + spec.buffer) // spec.slots)
    text = (
        f"{at_least}{live} live + {waiting} waiting + {joining} joining"
        f" + {spec.buffer} buffer = {calls + spec.buffer} slots, {spec.slots} a worker: {wanted} workers"
    )
    return learned, Need(wanted, text, inputs)


BUFFER = Policy(
    name="buffer",
    summary="`buffer` free slots, always.",
    need=buffer_need,
    # It learns nothing, so it predicts nothing.
    not_reckoned=frozenset({"sure", "stay", "come", "lead_s", "wait_probability", "predictive"}),
    delays_scale_down=True,
)
