"""Head-of-line blocking: how many frames one lost segment makes late over TCP. Pure.

A segment that is lost is sent again once a later one has been acknowledged and the sender's patience for reordering,
a quarter of the round trip, is over (RACK, RFC 8985): the frame in it comes S = RTT + RTT/4 + 4 ms after its time, the
4 ms being the kernel's timer. The frames behind it, one every 20 ms, have arrived, but wait for it: the next is held up
for S - 20 ms, and so on. With a playout b after the network's own delay, ceil((S - b) / 20) frames are late for each
loss; a frame is on time if none of those before it that could hold it up was lost.
"""

from __future__ import annotations

import math

_FRAME_MS = 20.0
_TIMER_MS = 4.0


def stall_ms(rtt_ms: float) -> float:
    """How long a lost segment holds up the stream."""
    return rtt_ms + rtt_ms / 4 + _TIMER_MS


def late_ratio(rtt_ms: float, loss: float, playout_ms: float) -> float:
    """Share of frames that come too late.

    Args:
        loss: of segments; best measured as retransmitted segments of all.
        playout_ms: b, the time a frame may come late.
    """
    held_up = max(0, math.ceil((stall_ms(rtt_ms) - playout_ms) / _FRAME_MS))
    return float(1 - (1 - loss) ** held_up)
