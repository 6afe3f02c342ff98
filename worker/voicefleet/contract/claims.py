"""A claim: a worker's hold on a call. It is the only thing that decides which agent may speak in a room.

    accepted --job in the room--> live --renewed--> live --released | recovered | handed over | expired--> none

A job that lost its call is fenced: it can never hold that call again, whenever it wakes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

ACCEPTED_TTL_MS = 5_000
"""An accepted claim whose job never came alive ends by itself after this; `accept()` itself can take 7.5 s."""

LIVE_TTL_MS = 10_000
"""A live claim ends this long after the job's last renewal."""

RENEW_EVERY_S = 1.0
"""How often a job renews its live claim. Renewals that stop are the first sign of a job that stalled."""

RENEWAL_OVERDUE_MS = 2_500
"""Two renewals in a row have not come then: the job is suspect."""

EPOCH_TTL_MS = 86_400_000
"""A room's epoch outlives any pause of a job in it: a process that wakes after hours is still fenced off."""


DEAF, MUTE = "deaf", "mute"
"""Trouble that a job is sure of: it does not hear its caller, or is not heard. A fresh job is to have the call."""

TROUBLE_MOVES = 2
"""So often a call is moved for that: a caller whose own microphone is broken must not be moved for ever."""

TROUBLE_PAUSE_MS = 15_000
"""Between its first and its second move; twice as long before a third, and so on."""


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
    renewed_ms: int = 0
    """When the job last renewed it, on Redis's clock; 0 while it is only accepted."""
    trouble: str = ""
    """What the job itself finds wrong with its call, for example that no media arrives; empty when all is well."""


HANDOFF_TTL_MS = 6_000
"""A handoff that nobody accepts, or whose successor does not get ready, is over after this."""

HANDOFF_READY_TTL_MS = 3_000
"""A ready successor says so again well within this: the holder must not hand the call to one that died."""


class HandoffState(enum.StrEnum):
    """wanted -> accepted (a worker's job is the successor) -> ready (it is in the room) -> the claim is its."""

    WANTED = "wanted"
    ACCEPTED = "accepted"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Handoff:
    """A live call on its way to another worker. The holder keeps the call until the very end."""

    from_job: str
    from_worker: str
    state: str
    to_job: str = ""
    to_worker: str = ""


def agent_identity(job: str) -> str:
    """The identity of the agent that `job` brings into its room: livekit-agents' own default."""
    return f"agent-{job}"


def job_of(identity: str) -> str:
    """The job of the agent `identity`; empty when it is none of ours."""
    return identity.removeprefix("agent-") if identity.startswith("agent-") else ""
