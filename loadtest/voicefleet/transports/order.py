"""What one end of a run is to do, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Role = Literal["caller", "agent"]


@dataclass(frozen=True, slots=True)
class Order:
    """What an end is to do.

    Attributes:
        address: where the agent listens.
        seconds: how long both speak; grace_s: how long after that their words may still arrive.
        out: prefix of the result: PREFIX.json and PREFIX.npz.
        livekit: for WebRTC: url, token, and the relay to use.
    """

    arm: str
    role: Role
    address: str
    seconds: float
    grace_s: float
    seed: int
    out: str
    livekit: dict[str, Any] = field(default_factory=dict)

    @property
    def says(self) -> int:
        """Seed of what this end says; the other end hears `hears`."""
        return 2 * self.seed + (self.role == "agent")

    @property
    def hears(self) -> int:
        return 2 * self.seed + (self.role == "caller")


def write_order(order: Order) -> Path:
    """The order as a file that only we may read: it may hold a token."""
    path = Path(f"{order.out}.order.json")
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(order)))
    return path
