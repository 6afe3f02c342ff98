"""What a link does to the packets of one direction. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between

MTU = 1500
"""Bytes of the largest packet, its IP header included."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """One direction of a link. The meanings are those of `tc netem`, so both backends understand them alike.

    Attributes:
        delay_ms: one way.
        jitter_ms: each packet's delay is drawn evenly from ``delay_ms`` +- this, by itself: packets may overtake.
        loss: share of packets that never arrive, 0 to 1.
        burst: mean packets a bad spell of the Gilbert-Elliott chain lasts; None: each packet is lost by itself.
        bad_loss: share of packets lost in a bad spell; none are lost outside.
        reorder: share of packets that skip the delay, and so overtake those before them.
        duplicate: share of packets that arrive twice.
        rate_kbps: kilobits a second (1000 bits), IP headers counted; None: no limit.
        queue: packets the link holds at most, in line and under way; what comes on top is dropped.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: float | None = None
    bad_loss: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0
    rate_kbps: float | None = None
    queue: int = 1000

    def __post_init__(self) -> None:
        require_between("delay", self.delay_ms, 0, 60_000, "milliseconds")
        require_between("jitter", self.jitter_ms, 0, 60_000, "milliseconds")
        for name in ("loss", "reorder", "duplicate"):
            require_between(name, getattr(self, name), 0, 1, "a share: 0.05 is one packet in twenty")
        require_between("bad-loss", self.bad_loss, 0.01, 1, "a share")
        require_between("queue", self.queue, 1, 1_000_000, "packets")
        if self.rate_kbps is not None:
            require_between("rate", self.rate_kbps, 1, 10_000_000, "kilobits a second")
        if self.jitter_ms > self.delay_ms:
            raise ConfigError(
                "is more than the delay: packets would arrive before they are sent",
                field="--jitter",
                value=self.jitter_ms,
                hint=f"Use at most the delay, {self.delay_ms:g} ms, or raise the delay.",
            )
        if self.reorder and not self.delay_ms:
            raise ConfigError(
                "without a delay no packet can overtake another",
                field="--reorder",
                value=self.reorder,
                hint="Give a --delay, or leave the reordering out.",
            )
        if self.burst is not None:
            require_between("burst", self.burst, 1, 10_000, "packets")
            if self.to_bad > 1:
                raise ConfigError(
                    f"so much loss cannot come in bursts of {self.burst:g} packets that lose {self.bad_loss:.0%}",
                    field="--loss",
                    value=self.loss,
                    hint="Make the bursts longer, or the loss smaller.",
                )

    @property
    def to_good(self) -> float:
        """Chance that a bad spell ends with a packet: r of the Gilbert-Elliott chain."""
        return 1 / self.burst if self.burst else 1.0

    @property
    def to_bad(self) -> float:
        """Chance that a bad spell begins with a packet: p of the chain, so that `loss` are lost in the long run."""
        bad = self.loss / self.bad_loss
        return self.to_good * bad / (1 - bad) if bad < 1 else float("inf")

    def but(self, **changes: float | int | None) -> Conditions:
        """The same with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, float | int | None]:
        """Plain fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
