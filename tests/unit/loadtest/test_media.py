"""How a call's packets went: what both engines tell, and the figures, tables and files that come of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from livekit.rtc._proto import stats_pb2
from livekit.rtc._proto.stats_pb2 import RtcStats

from support.outcomes import FAILED, GOOD
from support.terminal import terminal, text_of
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.media import MediaMeter, MediaStats, told_by_program
from voicefleet.callers.outcome import call_from_json
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.metrics.emodel import estimated_mos
from voicefleet.loadtest.command_loadtest import show
from voicefleet.loadtest.command_search import SearchOptions
from voicefleet.loadtest.exports import calls_csv
from voicefleet.loadtest.figures import figures_of
from voicefleet.loadtest.page import render_result
from voicefleet.loadtest.result import build_result
from voicefleet.loadtest.thresholds import check, parse_condition

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
MEDIA = MediaStats(
    rtt_s=0.04, jitter_s=0.006, packets=990, lost=10, gap_s=0.25, codec="opus", path="udp", candidates="srflx/host"
)


def track(ssrc: int, packets: int, lost: int = 0, concealed: int = 0, jitter_s: float = 0.0) -> RtcStats:
    one = RtcStats()
    one.inbound_rtp.stream.kind, one.inbound_rtp.stream.ssrc, one.inbound_rtp.stream.codec_id = "audio", ssrc, "C"
    one.inbound_rtp.received.packets_received, one.inbound_rtp.received.packets_lost = packets, lost
    one.inbound_rtp.received.jitter = jitter_s
    one.inbound_rtp.inbound.concealed_samples = concealed + 4800
    one.inbound_rtp.inbound.silent_concealed_samples = 4800
    return one


def pair(received: int, near: int, far: int, *, checks: int = 4, rtt_sum_s: float = 0.2) -> list[RtcStats]:
    one, local, remote, codec, idle = RtcStats(), RtcStats(), RtcStats(), RtcStats(), RtcStats()
    told = one.candidate_pair.candidate_pair
    told.nominated, told.bytes_received = True, received
    told.responses_received, told.total_round_trip_time = checks, rtt_sum_s
    told.local_candidate_id, told.remote_candidate_id = f"L{near}", f"R{far}"
    local.local_candidate.rtc.id, remote.remote_candidate.rtc.id = f"L{near}", f"R{far}"
    local.local_candidate.candidate.candidate_type = near  # type: ignore[assignment]
    remote.remote_candidate.candidate.candidate_type = far  # type: ignore[assignment]
    local.local_candidate.candidate.protocol = "tcp" if near == stats_pb2.SRFLX else "udp"
    local.local_candidate.candidate.relay_protocol = stats_pb2.TRANSPORT_TLS
    codec.codec.rtc.id, codec.codec.codec.mime_type = "C", "audio/red"
    idle.candidate_pair.candidate_pair.bytes_received = 10**9
    return [one, local, remote, codec, idle]


def test_a_call_is_the_sum_of_its_tracks_also_of_one_that_is_gone() -> None:
    meter = MediaMeter()
    meter.read([track(1, 500, 5, 9600, jitter_s=0.004), *pair(10_000, 0, 0)])
    meter.read([track(2, 490, 5, jitter_s=0.008), *pair(20_000, 0, 0, checks=8, rtt_sum_s=0.32)])
    found = meter.result()
    assert (found.packets, found.lost, found.loss_ratio) == (990, 10, 0.01)
    assert found.gap_s == pytest.approx(0.2), "and not what was silence anyway"
    assert found.jitter_s == pytest.approx(0.006)
    assert found.rtt_s == pytest.approx(0.04)
    assert (found.codec, found.path, found.candidates) == ("red", "udp", "host/host")
    assert found.mos == pytest.approx(estimated_mos(0.04, 0.006, 0.01))


@pytest.mark.parametrize(
    ("near", "path", "candidates"),
    [(stats_pb2.RELAY, "turn/tls", "relay/host"), (stats_pb2.SRFLX, "tcp", "srflx/host")],
)
def test_the_path_is_the_pair_in_use_that_voices_come_by(near: int, path: str, candidates: str) -> None:
    meter = MediaMeter()
    publisher = [one for one in pair(300, 0, 0) if not one.HasField("codec")]
    meter.read([*publisher, track(1, 500), *pair(10_000, near, 0)])
    assert (meter.result().path, meter.result().candidates) == (path, candidates)


def test_what_no_reading_told_is_unknown() -> None:
    nothing = MediaMeter().result()
    assert (nothing.rtt_s, nothing.jitter_s, nothing.loss_ratio, nothing.gap_s, nothing.mos) == (None,) * 5
    assert (nothing.codec, nothing.path, nothing.candidates) == ("", "", "")
    silent = told_by_program(
        {"packets": 0, "lost": 0, "gap_ms": 0.0, "jitter_ms": 0.0},
        {"codec": "", "path": "", "candidates": "", "rtt_ms": 0.0},
    )
    assert silent == nothing


def test_what_the_program_tells_is_in_seconds() -> None:
    ear = {"packets": 990, "lost": 10, "late": 1, "gaps": 1, "gap_ms": 250.0, "broken": 0, "jitter_ms": 6.0}
    route = {"codec": "opus", "path": "udp", "candidates": "srflx/host", "rtt_ms": 40.0}
    assert told_by_program(ear, route) == MEDIA


def test_figures_are_of_the_calls_for_which_it_is_known() -> None:
    slow = replace(MEDIA, rtt_s=0.3, path="turn/tcp", lost=0)
    figures = figures_of([replace(GOOD, media=MEDIA), replace(GOOD, media=slow), GOOD, FAILED], 10.0)
    assert figures["rtt_max"] == 0.3
    assert figures["loss_mean"] == pytest.approx(0.005)
    assert figures["mos_p5"] is not None
    assert figures["mos_min"] == MEDIA.mos
    assert (figures["calls_relayed"], figures["calls_relayed_ratio"], figures["calls_over_tcp_ratio"]) == (1, 0.5, 0.5)
    unknown = figures_of([GOOD], 10.0)
    assert (unknown["rtt_p95"], unknown["calls_relayed"], unknown["calls_relayed_ratio"]) == (None, None, None)
    assert figures_of([GOOD, FAILED], 10.0)["join_max"] == 10.0, "whoever could not join waited in vain"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("rtt_p95>20ms", True),
        ("rtt_p95>0.2", False),
        ("mos_p5<3.5", False),
        ("loss_p95>0.5%", True),
        ("gap_max>0.5s", False),
        ("calls_relayed>0", False),
        ("join_p95>1", False),
    ],
)
def test_each_of_them_makes_a_threshold(text: str, broken: bool) -> None:
    (checked,) = check((parse_condition(text, field="x"),), figures_of([replace(GOOD, media=MEDIA)], 10.0))
    assert checked.broken is broken


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mos_p5<3.5s", "not measured in s"),
        ("loss_p95>5ms", "not measured in ms"),
        ("rtt_p95>2%", "not measured in %"),
        ("rtt>0.2", "rtt_p"),
        ("jiter_p95>1", "jitter_p95"),
    ],
)
def test_a_unit_or_a_name_that_is_wrong_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_condition(text, field="--fail-if")


def test_a_search_wants_a_mos_that_is_high_and_asks_no_worker() -> None:
    SearchOptions("mos_p5>3.5")
    SearchOptions("rtt_p95<0.2")
    for wrong, says in (("mos_p5<3.5", "worse"), ("rtt_p95>0.2", "worse"), ("llm_p95<1", "workers tell")):
        with pytest.raises(ConfigError, match=says):
            SearchOptions(wrong)


def test_terminal_page_and_csv_show_it_and_a_file_keeps_it() -> None:
    call = replace(GOOD, media=MEDIA)
    assert call_from_json(call.to_json()) == call
    result = build_result([call, GOOD], FINE, 1.0)
    assert result["media"] == {"calls": 1, "codecs": {"opus": 1}, "paths": {"udp srflx/host": 1}}
    console = terminal()
    show(result, console)
    text = text_of(console)
    assert "40.0 ms" in text
    assert "1.00%" in text
    assert "by path (caller/LiveKit): 1 udp srflx/host" in text
    page = render_result(result, "smoke")
    assert "estimate from round trip" in page
    assert "40.0 ms" in page
    first, second = csv.DictReader(io.StringIO(calls_csv(result)))
    assert (first["rtt_s"], first["codec"], first["candidates"], second["mos"]) == ("0.04", "opus", "srflx/host", "")


def test_an_older_result_has_a_page() -> None:
    old = build_result([GOOD], FINE, 1.0)
    old["figures"] = {name: value for name, value in old["figures"].items() if not name.startswith(("mos", "join"))}
    del old["media"], old["stages"]
    assert "estimate from" not in render_result(old, "old")
