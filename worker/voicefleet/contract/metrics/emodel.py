"""Call quality from the network alone: the E-model of ITU-T G.107, as an estimate.

ITU publishes no equipment impairment (`Ie`) and robustness (`Bpl`) for Opus. The defaults, 0 and 25.1, are those of
G.711 with packet loss concealment (G.113, appendix I): they make the figure comparable from call to call, not exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_BASE_R = 93.2
_CODEC_MS = 26.5
"""One frame of 20 ms and Opus's look-ahead of 6.5 ms."""
_WORST_MOS = 1.0
_BEST_MOS = 4.5


@dataclass(frozen=True, slots=True)
class Codec:
    """How a codec suffers: `ie` alone, `bpl` against loss; `burst_r` is 1 for losses that come one by one."""

    ie: float = 0.0
    bpl: float = 25.1
    burst_r: float = 1.0


def rating(rtt_s: float, jitter_s: float, loss_ratio: float, codec: Codec | None = None) -> float:
    """R: 100 is perfect, below 50 nearly everybody is dissatisfied.

    Args:
        rtt_s: round trip of the path; half of it is the delay one way.
        jitter_s: interarrival jitter; the receiver's buffer is taken as twice that.
        loss_ratio: lost packets of those expected, 0 to 1.
    """
    return rating_of_delay(rtt_s * 500 + _CODEC_MS + 2 * jitter_s * 1000, loss_ratio, codec)


def rating_of_delay(delay_ms: float, loss_ratio: float, codec: Codec | None = None) -> float:
    """R where the delay from mouth to ear is known, and the share of speech that the ear missed."""
    codec = codec or Codec()
    loss_percent = 100 * min(1.0, max(0.0, loss_ratio))
    ie_eff = codec.ie + (95 - codec.ie) * loss_percent / (loss_percent / codec.burst_r + codec.bpl)
    return _BASE_R - _delay_impairment(delay_ms) - ie_eff


def mos(r: float) -> float:
    """Mean opinion score, 1 to 4.5, of a rating."""
    if r <= 0:
        return _WORST_MOS
    if r >= 100:
        return _BEST_MOS
    return max(_WORST_MOS, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))


def estimated_mos(rtt_s: float, jitter_s: float, loss_ratio: float, codec: Codec | None = None) -> float:
    """Both at once; see `rating`."""
    return mos(rating(rtt_s, jitter_s, loss_ratio, codec))


def _delay_impairment(delay_ms: float) -> float:
    """Idd of G.107: nothing up to 100 ms one way."""
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))
