"""What a link does to packets, in numbers that a chain, a clock and a source of chance must give."""

from __future__ import annotations

from random import Random

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.netlab import netem
from voicefleet.netlab.channel import Channel, rtp_source
from voicefleet.netlab.conditions import Conditions
from voicefleet.netlab.lateness import Lateness

pytestmark = pytest.mark.unit

PACKET = bytes(100)


def lost(conditions: Conditions, count: int, seed: int = 1) -> list[bool]:
    channel = Channel(conditions, Random(seed))
    out = []
    for number in range(count):
        before = channel.counts.lost
        channel.offer(PACKET, float(number))
        channel.due(float(number))
        out.append(channel.counts.lost > before)
    return out


def runs(flags: list[bool]) -> list[int]:
    lengths, length = [], 0
    for flag in [*flags, False]:
        if flag:
            length += 1
        elif length:
            lengths.append(length)
            length = 0
    return lengths


def test_a_packet_leaves_when_its_delay_is_over_and_not_before() -> None:
    channel = Channel(Conditions(delay_ms=50), Random(1))
    channel.offer(PACKET, 10.0)
    assert channel.next_s == pytest.approx(10.05)
    assert channel.due(10.049) == []
    ((due_s, packet),) = channel.due(10.06)
    assert due_s == pytest.approx(10.05)
    assert packet == PACKET
    assert channel.next_s is None


def test_packets_of_one_moment_keep_their_order() -> None:
    channel = Channel(Conditions(delay_ms=5), Random(1))
    packets = [bytes([number]) * 60 for number in range(50)]
    for packet in packets:
        channel.offer(packet, 1.0)
    assert [packet for _, packet in channel.due(2.0)] == packets


def test_random_loss_has_its_share_and_comes_by_itself() -> None:
    flags = lost(Conditions(loss=0.1), 50_000)
    assert sum(flags) / len(flags) == pytest.approx(0.1, abs=0.006)
    lengths = runs(flags)
    assert sum(lengths) / len(lengths) == pytest.approx(1 / 0.9, rel=0.03)


@pytest.mark.parametrize(("loss", "burst", "bad_loss"), [(0.05, 3, 1.0), (0.2, 8, 1.0), (0.05, 20, 0.5)])
def test_the_chain_gives_the_share_of_loss_that_was_asked_for(loss: float, burst: float, bad_loss: float) -> None:
    conditions = Conditions(loss=loss, burst=burst, bad_loss=bad_loss)
    flags = lost(conditions, 200_000)
    assert sum(flags) / len(flags) == pytest.approx(loss, rel=0.08)
    if bad_loss == 1:
        lengths = runs(flags)
        assert sum(lengths) / len(lengths) == pytest.approx(burst, rel=0.06)


def test_the_same_seed_loses_the_same_packets() -> None:
    conditions = Conditions(loss=0.3)
    assert lost(conditions, 500, seed=7) == lost(conditions, 500, seed=7)
    assert lost(conditions, 500, seed=7) != lost(conditions, 500, seed=8)


def test_the_rate_spaces_packets_and_the_queue_drops_what_does_not_fit() -> None:
    channel = Channel(Conditions(rate_kbps=80, queue=3), Random(1))  # 100 bytes take 10 ms
    for _ in range(5):
        channel.offer(PACKET, 0.0)
    assert [round(due_s, 6) for due_s, _ in channel.due(1.0)] == [0.01, 0.02, 0.03]
    assert channel.counts.overflow == 2
    channel.offer(PACKET, 1.0)
    assert channel.next_s == pytest.approx(1.01), "an idle line is free at once"


def test_a_reordered_packet_overtakes_and_a_duplicate_comes_twice() -> None:
    channel = Channel(Conditions(delay_ms=50, reorder=1.0), Random(1))
    channel.offer(PACKET, 0.0)
    assert channel.next_s == 0.0
    twice = Channel(Conditions(delay_ms=50, duplicate=1.0), Random(1))
    twice.offer(PACKET, 0.0)
    assert len(twice.due(0.05)) == 2
    assert (twice.counts.offered, twice.counts.duplicated, twice.counts.delivered) == (1, 1, 2)


def test_jitter_stays_within_its_bounds() -> None:
    channel = Channel(Conditions(delay_ms=30, jitter_ms=10), Random(1))
    for _ in range(2000):
        channel.offer(PACKET, 0.0)
    times = [due_s for due_s, _ in channel.due(1.0)]
    assert 0.02 <= min(times) < 0.0205
    assert 0.0395 < max(times) <= 0.04


def udp_packet(payload: bytes) -> bytes:
    return bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]) + bytes(8) + bytes(8) + payload


def test_rtp_is_told_from_its_reports_and_from_everything_else() -> None:
    ssrc = (0xDEADBEEF).to_bytes(4, "big")
    rtp = bytes([0x80, 111]) + bytes(6) + ssrc + bytes(20)
    assert rtp_source(udp_packet(rtp)) == 0xDEADBEEF
    assert rtp_source(udp_packet(bytes([0x80, 111 | 0x80]) + rtp[2:])) == 0xDEADBEEF, "the marker is not the type"
    assert rtp_source(udp_packet(bytes([0x80, 200]) + rtp[2:])) is None, "a sender's report"
    assert rtp_source(udp_packet(bytes([0x00, 1]) + rtp[2:])) is None, "STUN"
    assert rtp_source(udp_packet(bytes([0x16]) + rtp[1:])) is None, "DTLS"
    assert rtp_source(b"\x45" + bytes(8) + b"\x06" + bytes(60)) is None, "TCP"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"loss": 1.5}, "--loss"),
        ({"loss": -0.1}, "--loss"),
        ({"delay_ms": float("nan")}, "--delay"),
        ({"delay_ms": 5, "jitter_ms": 6}, "--jitter"),
        ({"reorder": 0.1}, "--reorder"),
        ({"rate_kbps": 0}, "--rate"),
        ({"queue": 0}, "--queue"),
        ({"burst": 0.5, "loss": 0.1}, "--burst"),
        ({"burst": 1, "loss": 0.6}, "--loss"),
        ({"burst": 5, "loss": 0.5, "bad_loss": 0.4}, "--loss"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Conditions(**wrong)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert refused.value.hint


def test_netem_is_told_the_same_in_its_own_words() -> None:
    plain = Conditions(delay_ms=50, jitter_ms=5, loss=0.05, reorder=0.1, duplicate=0.01, rate_kbps=2000, queue=100)
    assert " ".join(netem.arguments(plain)) == (
        "netem limit 100 delay 50ms 5ms loss random 5% reorder 10% duplicate 1% rate 2000kbit"
    )
    bursty = Conditions(loss=0.1, burst=4)
    assert " ".join(netem.arguments(bursty)) == "netem limit 1000 delay 0ms loss gemodel 2.77778% 25% 100% 0%"


def test_netems_counts_are_read_and_subtracted() -> None:
    listing = (
        "qdisc netem 1: root refcnt 2 limit 1000 delay 50ms loss 5%\n"
        " Sent 94300 bytes 943 pkt (dropped 57, overlimits 0 requeues 0) \n backlog 0b 0p requeues 0"
    )
    now = netem.counts(listing)
    assert (now.offered, now.lost, now.delivered, now.delivered_bytes) == (1000, 57, 943, 94300)
    assert netem.since(now, now).offered == 0


def test_lateness_is_told_by_its_quantiles() -> None:
    late = Lateness()
    assert late.quantile_ms(0.99) is None
    for number in range(100):
        late.add(number * 1e-4)
    assert late.quantile_ms(0.5) == pytest.approx(4.95, abs=0.06)
    assert late.quantile_ms(0.99) == pytest.approx(9.8, abs=0.12)
    assert late.to_json()["max_ms"] == 9.9
    late.add(5.0)
    assert late.to_json()["max_ms"] == 5000
