"""Which tier a call gets that names none: what the controller says of a pool, and the draw between two. Pure.

The controller keeps it in Redis and says it again while it runs; the call's job reads it. So it holds for every call,
with a ticket of ours, a token of the team's, or from a telephone. Nothing is known: the default of the tiers file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

TIER_CHOICE_TTL_MS = 60_000
"""A controller that is away for longer has nothing to say."""


def drawn(room: str, weight: int) -> bool:
    """Whether the call in `room` is one of the `weight` percent: the same for whoever asks, whenever it is asked."""
    return int.from_bytes(hashlib.sha256(room.encode()).digest()[:4]) % 100 < weight


@dataclass(frozen=True, slots=True)
class TierChoice:
    """What the controller says of a pool's tier."""

    stable: str
    canary: str = ""
    weight: int = 0
    """The canary's share of the calls, percent."""
    trial: str = ""
    """Fingerprint of the canary that calls are drawn for; empty: none is tried, and no call counts for one."""

    def pick(self, room: str) -> str:
        """The tier of the call in `room`."""
        return self.canary if self.canary and drawn(room, self.weight) else self.stable

    def encode(self) -> str:
        return json.dumps({"v": 2, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> TierChoice | None:
        """None: there is none, or another release's that says something else."""
        try:
            told = json.loads(text)
            return cls(str(told["stable"]), str(told["canary"]), int(told["weight"]), str(told["trial"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
