"""A claim: a worker's hold on a call. It is the only thing that decides which agent may speak in a room."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ACCEPTED_TTL_MS = 5_000
"""An accepted claim whose job never came alive ends by itself after this; `accept()` itself can take 7.5 s."""

LIVE_TTL_MS = 10_000
"""A live claim ends this long after the job's last renewal."""

RENEW_EVERY_S = 2.0
"""How often a job renews its live claim: five times within its life, so four lost renewals cost nothing."""

EPOCH_TTL_MS = 86_400_000
"""A room's epoch outlives any pause of a job in it: a process that wakes after hours is still fenced off."""


class ClaimState(enum.StrEnum):
    """A claim's life: accepted (a worker said yes) -> live (the job is in the room)."""

    ACCEPTED = "accepted"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Claim:
    """One hold on one call.

    Invariant: at most one claim a room, and its epoch is higher than that of every claim the room had before.
    """

    worker: str
    job: str
    epoch: int
    state: str
    room_sid: str = ""
