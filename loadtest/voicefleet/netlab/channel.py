"""One direction of the link in user space: what becomes of each packet, and when. Pure: `now` and chance are given."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from random import Random

from voicefleet.netlab.conditions import Conditions


@dataclass(slots=True)
class Counts:
    """What became of the packets of one direction since the counts were last taken.

    Attributes:
        offered, offered_bytes: what came to the link, IP headers counted.
        lost: dropped by chance; `overflow`: dropped because the queue was full.
        delivered, delivered_bytes: what left the link at its other end, duplicates counted.
        rtp: packets offered and lost by chance, for each RTP source (SSRC): the truth that receivers estimate.
    """

    offered: int = 0
    offered_bytes: int = 0
    lost: int = 0
    overflow: int = 0
    duplicated: int = 0
    reordered: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    rtp: dict[int, list[int]] = field(default_factory=dict)


class Channel:
    """Holds the packets under way in one direction.

    Args:
        conditions: what it does to them; may be changed while packets are under way, which keep their times.
        chance: its own source: the same seed and the same packets give the same losses.
    """

    def __init__(self, conditions: Conditions, chance: Random) -> None:
        self._chance = chance
        self._held: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._line_free_s = 0.0
        self._bad = False
        self.counts = Counts()
        self.conditions = conditions

    def configure(self, conditions: Conditions, chance: Random) -> None:
        """From now on."""
        self.conditions, self._chance, self._bad = conditions, chance, False

    @property
    def next_s(self) -> float | None:
        """When the next packet is due; None when none is under way."""
        return self._held[0][0] if self._held else None

    def offer(self, packet: bytes, now_s: float) -> None:
        """A packet enters the link."""
        counts, c, size = self.counts, self.conditions, len(packet)
        counts.offered += 1
        counts.offered_bytes += size
        source = rtp_source(packet)
        tally = counts.rtp.setdefault(source, [0, 0]) if source is not None else None
        if tally is not None:
            tally[0] += 1
        if self._is_lost():
            counts.lost += 1
            if tally is not None:
                tally[1] += 1
            return
        copies = 1
        if c.duplicate and self._chance.random() < c.duplicate:
            counts.duplicated += 1
            copies = 2
        for _ in range(copies):
            if len(self._held) >= c.queue:
                counts.overflow += 1
            else:
                self._hold(packet, size, now_s)

    def due(self, now_s: float) -> list[tuple[float, bytes]]:
        """Take out what is due by `now_s`, each with its time, oldest first."""
        out = []
        while self._held and self._held[0][0] <= now_s:
            due_s, _, packet = heapq.heappop(self._held)
            self.counts.delivered += 1
            self.counts.delivered_bytes += len(packet)
            out.append((due_s, packet))
        return out

    def _hold(self, packet: bytes, size: int, now_s: float) -> None:
        c = self.conditions
        delay_s = c.delay_ms / 1000
        if c.jitter_ms:
            delay_s += self._chance.uniform(-c.jitter_ms, c.jitter_ms) / 1000
        if c.reorder and self._chance.random() < c.reorder:
            self.counts.reordered += 1
            delay_s = 0.0
        leaves_s = now_s
        if c.rate_kbps is not None:
            leaves_s = max(now_s, self._line_free_s) + size * 8 / (c.rate_kbps * 1000)
            self._line_free_s = leaves_s
        # The number keeps packets of one time in their order.
        self._number += 1
        heapq.heappush(self._held, (leaves_s + delay_s, self._number, packet))

    def _is_lost(self) -> bool:
        c = self.conditions
        if not c.loss:
            return False
        if c.burst is None:
            return self._chance.random() < c.loss
        turn = self._chance.random()
        self._bad = turn >= c.to_good if self._bad else turn < c.to_bad
        return self._bad and (c.bad_loss >= 1 or self._chance.random() < c.bad_loss)


def rtp_source(packet: bytes) -> int | None:
    """The SSRC of an RTP packet in UDP over IPv4, read from its header, which SRTP does not encrypt; else None.

    RTCP shares the port and is told apart by its types 192 to 223 (RFC 5761).
    """
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 17:
        return None
    start = (packet[0] & 15) * 4 + 8
    if len(packet) < start + 12 or packet[start] >> 6 != 2 or 192 <= packet[start + 1] <= 223:
        return None
    return int.from_bytes(packet[start + 8 : start + 12], "big")
