"""A call that wants no agent of the fleet: it was released on purpose, or an agent of the team's own serves it.

Such a call does not wait, is not recovered, and gets no dispatch of the controller's. A released one stays so for this
very room, whoever stays in it, until somebody asks for an agent again.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

RELEASED_TTL_MS = 86_400_000
"""As long as its room is open and a caller in it, the mark is renewed; else it outlives every late dispatch."""

NEIGHBOUR_TTL_MS = 15_000
"""A neighbour that nobody saw for so long is gone; the rooms without a claim are listed more often than that."""

REASON_PATTERN = re.compile(r"^[a-z0-9][a-z0-9_.:-]{0,63}$")
"""A word that says why: it is shown, counted and logged, so it must name no person."""


class ReleaseReason(enum.StrEnum):
    """What released a call. The stored reason begins with it; a word of the team's own may follow after a colon."""

    RELEASED = "released"
    """`call.release(reason)`."""
    SESSION_CLOSED = "session_closed"
    """The team's code, or a tool, shut the session down while a caller was there."""
    JOB_SHUTDOWN = "job_shutdown"
    """The team's code ended the job while a caller was there."""
    AGENT_REMOVED = "agent_removed"
    """Somebody removed the agent from the room."""
    CALLER_REMOVED = "caller_removed"
    """Somebody removed the last caller from the room."""


class Why(enum.StrEnum):
    """What became of the call."""

    RELEASED = "released"
    """Its agent, or the team, ended the agent's part on purpose."""
    NEIGHBOUR = "neighbour"
    """An agent of the same name, of a worker outside the fleet, is in the room."""
    MOVED = "moved"
    """It goes on in another pool: with another version of its agent."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Why the call in a room wants no agent."""

    why: str
    room_sid: str = ""
    """LiveKit's id of that very room; a room of the same name with another one is another call."""
    reason: str = ""
    """For a released call, such as `session_closed`."""
    at_ms: int = 0
    """When that came about, on Redis's clock."""
