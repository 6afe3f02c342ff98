"""Names of the Redis keys of one region.

Every key carries the region as its hash tag, so that one region's keys sit in one slot of a Redis Cluster and a Lua
script may touch several of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "voicefleet"

REGION_PATTERN = re.compile(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of `region`. Times in them are milliseconds of the Redis server's clock."""

    region: str

    def _key(self, *parts: str) -> str:
        return ":".join((PREFIX, f"{{{self.region}}}", *parts))

    @property
    def workers(self) -> str:
        """Sorted set: worker id -> time of its last report."""
        return self._key("workers")

    @property
    def callers(self) -> str:
        """Sorted set: room with a caller in it -> time the caller joined."""
        return self._key("callers")

    @property
    def waiting(self) -> str:
        """Sorted set: room of a waiting call -> rank, the time it began to wait (lower is served first)."""
        return self._key("waiting")

    @property
    def inflight(self) -> str:
        """Sorted set: room with a dispatch under way -> time after which it counts as lost."""
        return self._key("inflight")

    @property
    def events(self) -> str:
        """Pub/sub channel: something in this region changed, look again."""
        return self._key("events")

    def report(self, worker: str) -> str:
        """String: the worker's last report."""
        return self._key("report", worker)

    def order(self, worker: str) -> str:
        """String: what the controller wants of the worker."""
        return self._key("order", worker)

    def claim(self, room: str) -> str:
        """String: which job holds the call in `room`."""
        return self._key("claim", room)

    @property
    def claim_prefix(self) -> str:
        """`claim(room)` without the room, for scripts that look at many rooms of this region."""
        return self._key("claim", "")

    def epoch(self, room: str) -> str:
        """Counter: how often the call in `room` was claimed; a job with a lower number is fenced off."""
        return self._key("epoch", room)

    def call(self, room: str) -> str:
        """String: what is known of the call in `room`."""
        return self._key("call", room)

    @property
    def call_prefix(self) -> str:
        """`call(room)` without the room."""
        return self._key("call", "")
