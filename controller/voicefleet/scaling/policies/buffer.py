"""The buffer policy: room for every call there is, and a fixed number of free slots beyond."""

from __future__ import annotations

from voicefleet.scaling.decision import Need
from voicefleet.scaling.memory import Memory
from voicefleet.scaling.observation import PoolObservation


def buffer_need(memory: Memory, observation: PoolObservation) -> tuple[Memory, Need]:
    """``ceil((live + waiting + joining + buffer) / slots)``. Nothing is learned.

    Waiting calls are demand: a formula over served calls alone locks once the fleet is full.
    """
    spec = observation.spec
    inputs: dict[str, float | int | str | None] = {
        "live": observation.calls_live,
        "waiting": observation.calls_waiting,
        "joining": observation.calls_joining,
        "buffer": spec.buffer,
        "slots": spec.slots,
    }
    calls = observation.calls
    if calls is None:
        return memory, Need(None, "the number of calls is unknown", inputs)
    wanted = -(-(calls + spec.buffer) // spec.slots)
    text = (
        f"{observation.calls_live} live + {observation.calls_waiting} waiting + {observation.calls_joining} joining"
        f" + {spec.buffer} buffer = {calls + spec.buffer} slots, {spec.slots} a worker: {wanted} workers"
    )
    return memory, Need(wanted, text, inputs)
