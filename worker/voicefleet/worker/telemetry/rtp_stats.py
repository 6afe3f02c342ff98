"""The quality of a call's media path, computed from LiveKit's RTC statistics: totals in, an interval out. No I/O.

A worker sees the leg between itself and LiveKit. Inbound that includes what was lost on the caller's own way to
LiveKit, whose gaps are passed on; outbound it ends at LiveKit. Concealment is the receiver's, so inbound alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from voicefleet.contract.metrics.emodel import estimated_mos
from voicefleet.worker.telemetry.observations import Direction, RtpInterval

EVERY_S = 5.0
"""One observation of a call stands for so long."""
_FEWEST_PACKETS = 10
"""Fewer say nothing: a track that just began, or silence that is not sent."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What RTC statistics say so far, summed over the call's audio tracks. None: not told (yet)."""

    received: int = 0
    lost: int = 0
    samples: int = 0
    concealed: int = 0
    jitter_in_s: float | None = None
    sent: int = 0
    loss_out_ratio: float | None = None
    """The receiver's own figure for its last interval."""
    jitter_out_s: float | None = None
    rtt_s: float | None = None


def read_totals(stats: Iterable[Any]) -> Totals:
    """Totals of the audio in `stats`, both lists of ``room.get_rtc_stats()`` together: LiveKit's client has shown
    inbound audio under the publisher's."""
    received = lost = samples = concealed = sent = 0
    jitter_in: list[float] = []
    jitter_out: list[float] = []
    loss_out: list[float] = []
    rtts: list[float] = []
    for one in stats:
        if one.HasField("inbound_rtp") and one.inbound_rtp.stream.kind == "audio":
            received += one.inbound_rtp.received.packets_received
            lost += one.inbound_rtp.received.packets_lost
            samples += one.inbound_rtp.inbound.total_samples_received
            concealed += one.inbound_rtp.inbound.concealed_samples
            jitter_in.append(one.inbound_rtp.received.jitter)
        elif one.HasField("outbound_rtp") and one.outbound_rtp.stream.kind == "audio":
            sent += one.outbound_rtp.sent.packets_sent
        elif one.HasField("remote_inbound_rtp") and one.remote_inbound_rtp.stream.kind == "audio":
            remote = one.remote_inbound_rtp
            loss_out.append(remote.remote_inbound.fraction_lost)
            jitter_out.append(remote.received.jitter)
            if remote.remote_inbound.round_trip_time_measurements:
                rtts.append(remote.remote_inbound.round_trip_time)
        elif one.HasField("candidate_pair") and one.candidate_pair.candidate_pair.nominated:
            rtts.append(one.candidate_pair.candidate_pair.current_round_trip_time)
    known = [rtt for rtt in rtts if rtt > 0]
    return Totals(
        received=received,
        lost=lost,
        samples=samples,
        concealed=concealed,
        jitter_in_s=max(jitter_in, default=None),
        sent=sent,
        loss_out_ratio=max(loss_out, default=None),
        jitter_out_s=max(jitter_out, default=None),
        rtt_s=max(known, default=None),
    )


def between(before: Totals, now: Totals) -> RtpInterval:
    """What happened from `before` to `now`. Totals that fell belong to new tracks: they count from zero."""
    received, lost = _grown(before.received, now.received), _grown(before.lost, now.lost)
    rtt_s = now.rtt_s or 0.0
    inbound = outbound = None
    if received + lost >= _FEWEST_PACKETS and now.jitter_in_s is not None:
        loss = lost / (received + lost)
        inbound = Direction(loss, now.jitter_in_s, estimated_mos(rtt_s, now.jitter_in_s, loss))
    sent = _grown(before.sent, now.sent)
    if sent >= _FEWEST_PACKETS and now.loss_out_ratio is not None and now.jitter_out_s is not None:
        loss = min(1.0, max(0.0, now.loss_out_ratio))
        outbound = Direction(loss, now.jitter_out_s, estimated_mos(rtt_s, now.jitter_out_s, loss))
    return RtpInterval(
        inbound,
        outbound,
        now.rtt_s,
        _grown(before.samples, now.samples),
        _grown(before.concealed, now.concealed),
    )


def _grown(before: int, now: int) -> int:
    return now - before if now >= before else max(0, now)


class RtpStats:
    """Turns readings into observations for the worker's metrics, one every `EVERY_S`."""

    def __init__(self) -> None:
        self._before: Totals | None = None
        self._at_s = 0.0

    def read(self, stats: Iterable[Any], now_s: float) -> RtpInterval | None:
        """The observation that is due, if one is."""
        if self._before is not None and now_s - self._at_s < EVERY_S:
            return None
        now = read_totals(stats)
        before, self._before, self._at_s = self._before or Totals(), now, now_s
        return between(before, now)
