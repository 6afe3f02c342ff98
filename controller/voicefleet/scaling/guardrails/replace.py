"""Replace: a worker that never gets ready is replaced, one at a time and a bounded number of times in a row."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.scaling.observation import PoolObservation, SupplyState

MAX_REPLACEMENTS = 3
"""In a row, without any worker of the pool having become ready meanwhile: more of the same will not help."""


@dataclass(frozen=True, slots=True)
class Replacements:
    """How often in a row, and when last (None: never)."""

    count: int = 0
    last_s: float | None = None


def replace(past: Replacements, observation: PoolObservation) -> tuple[Replacements, tuple[str, ...], str]:
    """The overdue worker to replace now, if any, and what to say about overdue workers ('' if there are none)."""
    now, wait_s = observation.now_s, observation.start_timeout_s
    last_s = past.last_s
    if last_s is not None:
        since_s = now - last_s
        if any(w.state is SupplyState.READY and w.age_s <= since_s for w in observation.workers):
            past = Replacements()  # one that was started since the last replacement made it
    overdue = observation.overdue if observation.others else ()
    if not overdue:
        return past, (), ""
    names = ", ".join(w.id for w in overdue)
    said = f"{names} not ready after {wait_s:.0f} s"
    if past.count >= MAX_REPLACEMENTS:
        return past, (), f"{said}; gave up replacing after {past.count} tries"
    if not observation.complete:
        return past, (), said
    # Each try gets the whole start time before the next one.
    if past.last_s is not None and now - past.last_s < wait_s:
        return past, (), said
    victim = overdue[0].id
    return Replacements(past.count + 1, now), (victim,), f"{said}; replacing {victim}"
