"""Unschedulable: while there is no machine for the workers asked for, asking for more only makes the queue longer."""

from __future__ import annotations

from voicefleet.scaling.decision import Reason
from voicefleet.scaling.observation import PoolObservation, SupplyState


def wait_for_machines(wanted: int, observation: PoolObservation) -> tuple[int, Reason | None, str]:
    """`wanted`, but no more than there are while some have no machine; and what to say about it ('' for nothing)."""
    stuck = sum(w.stuck for w in observation.others)
    if not stuck:
        return wanted, None, ""
    said = f"no machine for {stuck} of {observation.supply} workers"
    # Those that drain have a machine: they may come back.
    back = sum(w.cordoned and w.state in (SupplyState.DRAINING, SupplyState.READY) for w in observation.others)
    most = observation.supply + back
    if wanted > most:
        return most, Reason.UNSCHEDULABLE, f"{said}: {wanted - most} more are not asked for"
    return wanted, None, said
