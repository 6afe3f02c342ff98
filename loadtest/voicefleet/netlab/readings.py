"""What a link reports of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from voicefleet.netlab.channel import Counts

Backend = Literal["netem", "tun"]
HEALTHY_MS = 2.0
"""A link that delivers one packet in a hundred later than this after its time has not kept its settings."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Since the link was made, or last read with `reset`.

    Attributes:
        up, down: what became of the packets from the near end to the far one, and back.
        error_p50_ms, error_p99_ms, error_max_ms: how much later than due packets left; None when none did, or when
            the kernel does the work, which does not say.
        realtime: whether the emulator could run before ordinary processes.
    """

    backend: Backend
    up: Counts
    down: Counts
    error_p50_ms: float | None = None
    error_p99_ms: float | None = None
    error_max_ms: float | None = None
    realtime: bool | None = None

    @property
    def healthy(self) -> bool:
        """Whether results over this link may be believed."""
        return self.error_p99_ms is None or self.error_p99_ms <= HEALTHY_MS

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def from_emulator(answer: dict[str, Any]) -> Readings:
    """What the emulator answered."""
    error = answer["error"]
    up, down = (
        Counts(**{**answer[way], "rtp": {int(source): tally for source, tally in answer[way]["rtp"].items()}})
        for way in ("up", "down")
    )
    return Readings("tun", up, down, error["p50_ms"], error["p99_ms"], error["max_ms"], answer["realtime"])
