"""Schedule: never below what the pool's schedule asks for at this time of the week."""

from __future__ import annotations

from voicefleet.scaling.decision import Reason


def at_least_scheduled(wanted: int, floor: int) -> tuple[int, Reason | None]:
    """`wanted`, or the schedule's number if that is more."""
    return (floor, Reason.SCHEDULE) if floor > wanted else (wanted, None)
