"""One worker of the simulated cluster, and the tally of what happened to all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from voicefleet.scaling.observation import Worker

STARTING, READY, STOPPING, GONE = range(4)


class Pod:
    """One worker. `busy` counts slots, those reserved for calls that move in too."""

    __slots__ = (
        "asked_s", "busy", "cached", "calls", "cordoned", "drain_s", "id", "order_seen_s", "ordinal",
        "ready_s", "state", "stop_s", "view", "view_s",
    )  # fmt: skip

    def __init__(self, ordinal: int, now_s: float) -> None:
        self.ordinal = ordinal
        self.id = f"w{ordinal}"
        self.asked_s = now_s
        self.ready_s = math.inf
        self.state = STARTING
        self.cordoned = False
        self.order_seen_s = 0.0
        self.busy = 0
        self.calls: set[int] = set()
        self.view = 0
        self.view_s = -math.inf
        self.drain_s = math.inf
        self.stop_s = math.inf
        self.cached: dict[int, Worker] = {}
        """What a scaler made of it, by `busy`; forgotten when anything else about it changes."""


@dataclass
class Tally:
    """What happened so far."""

    waits_s: list[float] = field(default_factory=list)
    """Of the calls that waited; of a lost one, until its caller hung up."""
    lost: int = 0
    killed: int = 0
    worker_s: float = 0.0
    drain_s: float = 0.0
    actions: int = 0
    """Changes of the number of workers that were asked for."""
    handoffs: int = 0
