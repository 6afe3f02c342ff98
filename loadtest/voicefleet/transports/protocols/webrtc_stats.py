"""What WebRTC reports of the network once a second, and what a worker's metrics would make of the same."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict
from typing import Any

from livekit import rtc

from voicefleet.worker.telemetry.rtp_stats import RtpStats

_EVERY_S = 1.0
_READ_LIMIT_S = 2.0


class WebRtcStats:
    """Polls one room."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._stop = asyncio.Event()
        self._rtp = RtpStats()
        self.series: list[dict[str, Any]] = []
        """One reading a second; see `flat`."""
        self.worker: list[dict[str, Any]] = []
        """What the worker would have observed: the figures behind its metrics of the line."""

    async def poll(self) -> None:
        """Until `stop`."""
        while not self._stop.is_set():
            with contextlib.suppress(Exception):  # a room that is going away has no statistics
                async with asyncio.timeout(_READ_LIMIT_S):
                    stats = await self._room.get_rtc_stats()
                now_s = time.monotonic()
                every = [*stats.publisher_stats, *stats.subscriber_stats]
                self.series.append({"t_s": now_s, **flat(every)})
                if (seen := self._rtp.read(every, now_s)) is not None:
                    self.worker.append({"t_s": now_s, **asdict(seen)})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _EVERY_S)

    def stop(self) -> None:
        """No more readings."""
        self._stop.set()


def flat(stats: list[Any]) -> dict[str, Any]:
    """The figures that the report uses, of the audio streams and the pair of addresses in use.

    Times in seconds. `rtt_s` is ICE's own (STUN), `rtcp_rtt_s` that of the receiver's reports; both None until told.
    """
    out: dict[str, Any] = {"rtt_s": None, "rtcp_rtt_s": None}
    for one in stats:
        if one.HasField("candidate_pair") and one.candidate_pair.candidate_pair.nominated:
            pair = one.candidate_pair.candidate_pair
            if pair.current_round_trip_time > 0:
                out["rtt_s"] = max(out["rtt_s"] or 0.0, pair.current_round_trip_time)
        elif one.HasField("inbound_rtp") and one.inbound_rtp.stream.kind == "audio":
            got, inbound = one.inbound_rtp.received, one.inbound_rtp.inbound
            out |= {
                "in_ssrc": one.inbound_rtp.stream.ssrc,
                "in_received": got.packets_received,
                "in_lost": got.packets_lost,
                "in_jitter_s": got.jitter,
                "in_discarded": inbound.packets_discarded,
                "in_fec": inbound.fec_packets_received,
                "in_nack": inbound.nack_count,
                "samples": inbound.total_samples_received,
                "concealed": inbound.concealed_samples,
                "silent_concealed": inbound.silent_concealed_samples,
                "concealments": inbound.concealment_events,
                "slowed": inbound.inserted_samples_for_deceleration,
                "hurried": inbound.removed_samples_for_acceleration,
                "buffer_s": inbound.jitter_buffer_delay,
                "buffer_count": inbound.jitter_buffer_emitted_count,
            }
        elif one.HasField("outbound_rtp") and one.outbound_rtp.stream.kind == "audio":
            sent, outbound = one.outbound_rtp.sent, one.outbound_rtp.outbound
            out |= {
                "out_ssrc": one.outbound_rtp.stream.ssrc,
                "out_packets": sent.packets_sent,
                "out_bytes": sent.bytes_sent,
                "out_header_bytes": outbound.header_bytes_sent,
                "out_target_bps": outbound.target_bitrate,
            }
        elif one.HasField("remote_inbound_rtp") and one.remote_inbound_rtp.stream.kind == "audio":
            remote = one.remote_inbound_rtp
            out |= {
                "far_lost": remote.received.packets_lost,
                "far_jitter_s": remote.received.jitter,
                "far_fraction_lost": remote.remote_inbound.fraction_lost,
            }
            if remote.remote_inbound.round_trip_time_measurements:
                out["rtcp_rtt_s"] = remote.remote_inbound.round_trip_time
    return out
