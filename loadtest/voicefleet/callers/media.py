"""How one call's packets went, at the caller's end: what both engines tell, and how the Python SDK's statistics say it.

The path is the one between the caller and LiveKit. Losses and jitter are those of agents' voices as they arrived, so
of the whole way. The MOS is an estimate from these alone, by the model of the workers' metrics (`metrics.emodel`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from voicefleet.contract.metrics.emodel import estimated_mos

_SAMPLE_RATE = 48_000
"""In which WebRTC counts samples of Opus."""
_TYPES = ("host", "srflx", "prflx", "relay")
_RELAYS = ("udp", "tcp", "tls")


@dataclass(frozen=True, slots=True)
class MediaStats:
    """One call's media. None: not known.

    Attributes:
        rtt_s: round trip between caller and LiveKit, the mean of ICE's connectivity checks.
        jitter_s: interarrival jitter (RFC 3550) of agents' voices, the mean over the call.
        packets, lost: of agents' voices: that came, and that never did.
        gap_s: agents' speech that was missing at the ear. Of the Go engine: holes that no buffer of 100 ms bridges; of
            the Python SDK: voice that its jitter buffer had to make up.
        codec: of agents' voices: opus, or red (Opus with redundancy); empty: not known.
        path: udp, tcp, or by a relay turn/udp, turn/tcp, turn/tls; empty: not known.
        candidates: ICE's types of both ends, the caller's first, as ``srflx/host``; empty: not known.
    """

    rtt_s: float | None = None
    jitter_s: float | None = None
    packets: int = 0
    lost: int = 0
    gap_s: float | None = None
    codec: str = ""
    path: str = ""
    candidates: str = ""

    @property
    def loss_ratio(self) -> float | None:
        """Lost packets of those that were sent, 0 to 1."""
        sent = self.packets + self.lost
        return self.lost / sent if self.packets else None

    @property
    def mos(self) -> float | None:
        """Estimated mean opinion score, 1 to 4.5."""
        if self.rtt_s is None or self.jitter_s is None or self.loss_ratio is None:
            return None
        return estimated_mos(self.rtt_s, self.jitter_s, self.loss_ratio)

    def to_json(self) -> dict[str, Any]:
        """The fields, `loss_ratio` and `mos`."""
        return {**asdict(self), "loss_ratio": self.loss_ratio, "mos": self.mos}


def told_by_program(ear: Mapping[str, Any], route: Mapping[str, Any]) -> MediaStats:
    """What `voicefleet-caller` tells of a call that is over (`earStats` and `route` of its sources)."""
    heard = ear["packets"] > 0
    return MediaStats(
        rtt_s=route["rtt_ms"] / 1000 or None,
        jitter_s=ear["jitter_ms"] / 1000 if heard else None,
        packets=ear["packets"],
        lost=ear["lost"],
        gap_s=ear["gap_ms"] / 1000 if heard else None,
        codec=route["codec"],
        path=route["path"],
        candidates=route["candidates"],
    )


@dataclass(slots=True)
class _Track:
    packets: int = 0
    lost: int = 0
    missing: int = 0


class MediaMeter:
    """Gathers one call's statistics over several readings: a track that is gone tells nothing more."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._jitters_s: list[float] = []
        self._rtt_s: float | None = None
        self._codec = self._path = self._candidates = ""

    def read(self, stats: Iterable[Any]) -> None:
        """Take one reading: what ``room.get_rtc_stats()`` gives, both lists together."""
        every = list(stats)
        codecs = {one.codec.rtc.id: one.codec.codec.mime_type for one in every if one.HasField("codec")}
        for one in every:
            if one.HasField("inbound_rtp") and one.inbound_rtp.stream.kind == "audio":
                self._read_track(one.inbound_rtp, codecs)
        self._read_pair(every)

    def result(self) -> MediaStats:
        """Of all readings so far."""
        tracks = self._tracks.values()
        packets = sum(track.packets for track in tracks)
        return MediaStats(
            rtt_s=self._rtt_s,
            jitter_s=float(np.mean(self._jitters_s)) if self._jitters_s else None,
            packets=packets,
            lost=sum(track.lost for track in tracks),
            gap_s=sum(track.missing for track in tracks) / _SAMPLE_RATE if packets else None,
            codec=self._codec,
            path=self._path,
            candidates=self._candidates,
        )

    def _read_track(self, told: Any, codecs: Mapping[str, str]) -> None:
        track = self._tracks.setdefault(told.stream.ssrc, _Track())
        if told.received.packets_received > track.packets:
            self._jitters_s.append(told.received.jitter)
        track.packets, track.lost = told.received.packets_received, max(0, told.received.packets_lost)
        track.missing = told.inbound.concealed_samples - told.inbound.silent_concealed_samples
        if mime := codecs.get(told.stream.codec_id):
            self._codec = mime.rpartition("/")[2].lower()

    def _read_pair(self, every: list[Any]) -> None:
        ends = {
            one.rtc.id: one.candidate
            for told in every
            for kind in ("local_candidate", "remote_candidate")
            if told.HasField(kind)
            for one in (getattr(told, kind),)
        }
        # The connection that voices come by is the one with more of what was received.
        pairs = [told.candidate_pair.candidate_pair for told in every if told.HasField("candidate_pair")]
        nominated = [pair for pair in pairs if pair.nominated]
        if not nominated:
            return
        pair = max(nominated, key=lambda one: one.bytes_received)
        if pair.responses_received and pair.total_round_trip_time > 0:
            self._rtt_s = pair.total_round_trip_time / pair.responses_received
        near, far = ends.get(pair.local_candidate_id), ends.get(pair.remote_candidate_id)
        if near is None or far is None:
            return
        relayed = _TYPES[near.candidate_type] == "relay"
        self._path = f"turn/{_RELAYS[near.relay_protocol]}" if relayed else near.protocol
        self._candidates = f"{_TYPES[near.candidate_type]}/{_TYPES[far.candidate_type]}"
