"""From LiveKit's totals to what happened on the media path."""

from __future__ import annotations

import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from voicefleet.worker.telemetry.rtp_stats import EVERY_S, RtpStats, Totals, between, read_totals

pytestmark = pytest.mark.unit


def stats(received: int, lost: int, *, concealed: int = 0, fraction_lost: float = 0.0, sent: int = 0) -> list[RtcStats]:
    inbound, outbound, remote, video = RtcStats(), RtcStats(), RtcStats(), RtcStats()
    inbound.inbound_rtp.stream.kind = "audio"
    inbound.inbound_rtp.received.packets_received = received
    inbound.inbound_rtp.received.packets_lost = lost
    inbound.inbound_rtp.received.jitter = 0.01
    inbound.inbound_rtp.inbound.total_samples_received = received * 960
    inbound.inbound_rtp.inbound.concealed_samples = concealed
    outbound.outbound_rtp.stream.kind = "audio"
    outbound.outbound_rtp.sent.packets_sent = sent
    remote.remote_inbound_rtp.stream.kind = "audio"
    remote.remote_inbound_rtp.remote_inbound.fraction_lost = fraction_lost
    remote.remote_inbound_rtp.remote_inbound.round_trip_time = 0.08
    remote.remote_inbound_rtp.remote_inbound.round_trip_time_measurements = 3
    remote.remote_inbound_rtp.received.jitter = 0.02
    video.inbound_rtp.stream.kind = "video"
    video.inbound_rtp.received.packets_received = 10_000
    return [inbound, outbound, remote, video]


def test_totals_are_of_audio_alone() -> None:
    totals = read_totals(stats(500, 5, sent=400))
    assert (totals.received, totals.lost, totals.sent, totals.rtt_s) == (500, 5, 400, 0.08)


def test_an_interval_is_the_difference_of_two_readings() -> None:
    seen = between(read_totals(stats(500, 5)), read_totals(stats(690, 15, concealed=960, fraction_lost=0.1, sent=200)))
    assert seen.inbound is not None
    assert seen.inbound.loss_ratio == pytest.approx(10 / 200)
    assert seen.outbound is not None
    assert seen.outbound.loss_ratio == pytest.approx(0.1)
    assert seen.outbound.mos < seen.inbound.mos < 4.41
    assert (seen.samples, seen.concealed) == (190 * 960, 960)


def test_a_new_track_counts_from_zero_and_silence_says_nothing() -> None:
    seen = between(read_totals(stats(5_000, 90)), read_totals(stats(100, 0)))
    assert seen.inbound is not None
    assert seen.inbound.loss_ratio == 0
    assert seen.outbound is None, "nothing was sent"
    assert between(Totals(), Totals()).inbound is None


def test_one_observation_every_few_seconds() -> None:
    rtp = RtpStats()
    assert rtp.read(stats(50, 0), 100.0) is not None
    assert rtp.read(stats(100, 0), 100.0 + EVERY_S / 2) is None
    seen = rtp.read(stats(250, 50), 100.0 + EVERY_S)
    assert seen is not None
    assert seen.inbound is not None
    assert seen.inbound.loss_ratio == pytest.approx(0.2)
