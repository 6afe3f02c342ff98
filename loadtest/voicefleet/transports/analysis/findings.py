"""The measured figures as sentences. Pure: there is no sentence without its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voicefleet.transports.arms import ARMS, BY_ID

Row = Mapping[str, Any]


def findings(result: Mapping[str, Any]) -> list[str]:
    """The lab's answers to its questions, most telling first."""
    return [*_blocking(result), *_tcp_against_udp(result), *_streams(result), *_posts(result)]


def find(result: Mapping[str, Any], arm: str, loss: float | None, **more: float) -> Row | None:
    """The measured row of an arm: with no jitter and no rate unless named; the worst loss when `loss` is None."""
    wanted = {"jitter_ms": 0.0, "reorder": 0.0, "rate_kbps": None, **more}
    rows = [
        row
        for row in result["rows"]
        if row["arm"] == arm
        and not row["void"]
        and all(row[name] == value for name, value in wanted.items())
        and (loss is None or row["loss"] == loss)
    ]
    return max(rows, key=lambda row: row["loss"], default=None)


def _blocking(result: Mapping[str, Any]) -> Iterator[str]:
    for made in result["model"]:
        predicted, seen = made["late_predicted"], made["late_observed"]
        off = abs(seen - predicted) / predicted if predicted else 0.0
        yield (
            f"TCP holds everything behind a lost packet until it has been sent again. At {made['loss']:.0%} loss and "
            f"{made['rtt_ms']:g} ms round trip that made {seen:.1%} of the frames come more than "
            f"{made['playout_ms']:g} ms late (BBR); the model of it says {predicted:.1%}, "
            f"{off:.0%} off, from {made['frames']} frames."
        )


def _tcp_against_udp(result: Mapping[str, Any]) -> Iterator[str]:
    for tcp in ("webrtc-tcp", "webrtc-turn-tcp", "webrtc-turn-tls"):
        over_tcp = find(result, tcp, None)
        over_udp = find(result, "webrtc-udp", over_tcp["loss"]) if over_tcp is not None else None
        if over_tcp is None or over_udp is None or not over_tcp["loss"]:
            continue
        ratio = over_udp["delay_p95_ms"] / over_tcp["delay_p95_ms"]
        yield (
            f"{BY_ID[tcp].title} against UDP at {over_tcp['loss']:.0%} loss: 95 % of the speech was heard within "
            f"{over_tcp['delay_p95_ms']:.0f} ms, over UDP within {over_udp['delay_p95_ms']:.0f} ms ({ratio:.0%} of "
            f"it). Over TCP nothing is lost, so the jitter buffer grows instead: the caller pays in delay."
        )


def _streams(result: Mapping[str, Any]) -> Iterator[str]:
    rows = [find(result, arm.id, 0.0) for arm in ARMS if arm.streams and not arm.webrtc]
    known = [row for row in rows if row is not None and row["delay_p50_ms"] is not None]
    if len(known) > 1:
        values = [row["delay_p50_ms"] for row in known]
        yield (
            f"Without loss it hardly matters: the medians of all {len(known)} plain streams, from raw UDP to HTTP/2, "
            f"lie within {max(values) - min(values):.1f} ms of each other."
        )


def _posts(result: Mapping[str, Any]) -> Iterator[str]:
    serial, fresh = find(result, "http-post-keepalive", 0.0), find(result, "http-post-new", 0.0)
    if serial is not None and serial["delay_p95_ms"] is not None:
        yield (
            f"One POST per frame on one connection delivers a frame per round trip. Frames come every 20 ms, so with "
            f"{serial['rtt_ms']:g} ms of round trip the delay grows for as long as somebody speaks: p95 was "
            f"{serial['delay_p95_ms'] / 1000:.1f} s without any loss, and {serial['lost_ratio']:.0%} of the frames "
            f"were still queued when the call ended."
        )
    if fresh is not None and fresh["delay_p95_ms"] is not None:
        yield (
            f"A connection per frame does not queue, but each frame pays TCP's handshake: p95 "
            f"{fresh['delay_p95_ms']:.0f} ms without loss, at {fresh['bytes_per_s'] / 1000:.0f} kB a second."
        )


def webrtc_findings(result: Mapping[str, Any]) -> list[str]:
    """What WebRTC does: it measures, it compresses, it repairs, it reorders."""
    return [*_measures(result["webrtc"]), *_compresses(result), *_buffers(result)]


def _measures(runs: Sequence[Row]) -> Iterator[str]:
    rtts = [run for run in runs if run["rtt_within"] is not None]
    losses = [run for run in runs if run["loss_within"] is not None and run["packets"]]
    if rtts:
        good = sum(run["rtt_within"] for run in rtts)
        off = max(abs(run["rtt_said_ms"] - run["rtt_true_ms"]) for run in rtts)
        yield (
            f"It measures the network. Its round trip was within 15 % of the true one in {good} of {len(rtts)} runs, "
            f"{off:.1f} ms off at worst."
        )
        workers = [run for run in rtts if run["worker_rtt_ms"] is not None]
        if workers:
            off = max(abs(run["worker_rtt_ms"] - run["rtt_true_ms"]) for run in workers)
            yield f"A voicefleet worker's metrics, fed with the same statistics, were {off:.1f} ms off at worst."
    if losses:
        good = sum(run["loss_within"] for run in losses)
        said, dropped = (sum(run[name] for run in losses) for name in ("lost_said", "dropped"))
        yield (
            f"The receiver's reports named {said} packets lost; the emulator had dropped {dropped} of the "
            f"{sum(run['packets'] for run in losses)} it was given. Run by run they agree in {good} of {len(losses)}."
        )


def _compresses(result: Mapping[str, Any]) -> Iterator[str]:
    plain, opus = find(result, "udp", 0.0), find(result, "webrtc-udp-nored", 0.0)
    red, dtx = find(result, "webrtc-udp", 0.0), find(result, "webrtc-udp-dtx", 0.0)
    if plain is not None and opus is not None:
        yield (
            f"It compresses: PCM at 16 kHz costs {plain['bytes_per_s'] / 1000:.1f} kB on the wire for a second of "
            f"speech, Opus {opus['bytes_per_s'] / 1000:.1f} kB, headers and reports included."
        )
    if opus is not None and red is not None:
        yield (
            f"RED sends each frame twice, the second time with the next: {red['bytes_per_s'] / 1000:.1f} kB a second, "
            f"{red['bytes_per_s'] / opus['bytes_per_s']:.1f} times as much."
        )
    if opus is not None and dtx is not None:
        yield (
            f"DTX sends almost nothing in pauses; in this speech, which has few, it sent "
            f"{dtx['bytes_per_s'] / opus['bytes_per_s']:.0%} of the bytes."
        )
    with_red, without = find(result, "webrtc-udp", None), find(result, "webrtc-udp-nored", None)
    if with_red is not None and without is not None and with_red["loss"] == without["loss"] > 0:
        yield (
            f"What RED buys: at {with_red['loss']:.0%} loss {with_red['concealed_ratio']:.2%} of the speech had to be "
            f"made up, without RED {without['concealed_ratio']:.2%}."
        )
    runs = [run for run in result["webrtc"] if run["target_bps"]]
    targets = sorted({round(run["target_bps"]) for run in runs})
    if targets:
        lossy = [run for run in runs if run["loss"]]
        capped = [run for run in runs if run["rate_kbps"] is not None]
        said = " and ".join(f"{target / 1000:g}" for target in targets)
        where = ["without loss"] + (["under loss"] if lossy else []) + (["under a rate cap"] if capped else [])
        word = "did not change" if len(targets) == 1 else "changed"
        yield (
            f"Its target bitrate {word}: {said} kbit/s ({', '.join(where)}). "
            + ("Loss and a narrow line do not make it send less here." if len(targets) == 1 else "")
        ).strip()
    for rate_row in result["rows"]:
        if rate_row["rate_kbps"] is not None and rate_row["arm"].startswith("webrtc") and not rate_row["void"]:
            yield (
                f"{BY_ID[rate_row['arm']].title} through a line of {rate_row['rate_kbps']:g} kbit/s: p95 "
                f"{_whole(rate_row['delay_p95_ms'])} ms, {rate_row['lost_ratio'] or 0:.1%} of the packets lost to the "
                f"full queue, {rate_row['concealed_ratio'] or 0:.1%} of the speech made up."
            )


def _buffers(result: Mapping[str, Any]) -> Iterator[str]:
    base = find(result, "webrtc-udp-nored", 0.0)
    for row in result["rows"]:
        if row["arm"] != "webrtc-udp-nored" or row["void"] or base is None or base["concealed_ratio"] is None:
            continue
        if row["reorder"]:
            how = f"{row['reorder']:.0%} of them overtaking those before by {row['rtt_ms'] / 2:g} ms"
        elif row["jitter_ms"]:
            how = f"a delay that varies by ±{row['jitter_ms']:g} ms"
        else:
            continue
        yield (
            f"It stamps packets, so that those which come out of order are put back: with {how} the jitter buffer took "
            f"the median from {base['delay_p50_ms']:.0f} to {row['delay_p50_ms']:.0f} ms, and "
            f"{row['concealed_ratio'] or 0:.2%} of the speech was made up (undisturbed {base['concealed_ratio']:.2%})."
        )


def when_to_use(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What to use, for what, and the figure that says so; rows whose figures were not measured are left out."""
    table = (
        ("WebRTC over UDP", "webrtc-udp", "calls with people, whenever UDP passes"),
        ("WebRTC over TCP or TURN", "webrtc-tcp", "networks that let no UDP out: better late than silent"),
        ("WebSocket", "websocket", "server to server over a clean network, and browsers where a delay does not matter"),
        ("HTTP/2 or streaming bodies", "http2", "speech to a recogniser or from a synthesiser in one datacentre"),
        ("a POST per piece", "http-post-keepalive", "whole recordings, not conversations"),
        ("raw UDP", "udp", "nothing: it loses what WebRTC repairs, and has no encryption"),
    )
    rows = []
    for name, arm, use in table:
        row = find(result, arm, None)
        if row is not None and row["delay_p95_ms"] is not None:
            figure = (
                f"p95 {row['delay_p95_ms']:.0f} ms, {row['concealed_ratio'] or 0:.1%} made up or missing at "
                f"{row['loss']:.0%} loss, {row['rtt_ms']:g} ms round trip"
            )
            rows.append((name, use, figure))
    return rows


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
