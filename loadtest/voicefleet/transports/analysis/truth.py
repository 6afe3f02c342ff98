"""WebRTC's own figures of the network against what the emulator did. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from voicefleet.netlab.channel import Counts
from voicefleet.transports.trial import Ear, Trial

SETTLED_S = 10.0
"""WebRTC's smoothed estimates are believed from then on (in shorter runs: the last ones)."""


def over_time(trial: Trial) -> list[dict[str, Any]]:
    """One entry per reading of the caller's statistics: what it says, and what is so.

    ``loss_said``: of what the caller sent, in the receiver's last report; ``loss_true``: of the same packets, as
    dropped by the emulator, since the reading before.
    """
    out: list[dict[str, Any]] = []
    before = (0, 0)
    for reading in trial.caller.statistics:
        at_s = reading["t_s"] - trial.caller.said_at_s
        offered, lost = _rtp(trial, "up", reading.get("out_ssrc"), reading["t_s"])
        new = (offered - before[0], lost - before[1])
        before = (offered, lost)
        out.append(
            {
                "t_s": round(at_s, 2),
                "rtt_said_ms": _ms(reading.get("rtt_s")),
                "rtcp_rtt_said_ms": _ms(reading.get("rtcp_rtt_s")),
                "rtt_true_ms": trial.cell.rtt_ms,
                "loss_said": reading.get("far_fraction_lost"),
                "loss_true": new[1] / new[0] if new[0] else None,
                "jitter_said_ms": _ms(reading.get("in_jitter_s")),
                "buffer_ms": _buffer(reading),
            }
        )
    return out


def verdict(trial: Trial) -> dict[str, Any]:
    """RTT and loss, said and true, of one run over UDP; `within` says whether they agree as the issue asks."""
    settled = [r for r in trial.caller.statistics if r["t_s"] - trial.caller.said_at_s >= SETTLED_S]
    settled = settled or list(trial.caller.statistics[-3:])
    rtts = [r["rtt_s"] * 1000 for r in settled if r.get("rtt_s")]
    rtcp = [r["rtcp_rtt_s"] * 1000 for r in settled if r.get("rtcp_rtt_s")]
    worker = [w["rtt_s"] * 1000 for w in trial.caller.worker if w.get("rtt_s") is not None]
    rtt = float(np.median(rtts)) if rtts else None
    true = trial.cell.rtt_ms
    # With jitter or reordering every single answer has its own round trip, behind a queue one that nobody set.
    known = not trial.cell.jitter_ms and not trial.cell.reorder and trial.cell.rate_kbps is None
    said, sent_lost = _loss_said(trial.caller)
    offered, lost = _span(trial)
    # The receiver counts what it misses between the first and the last it got; both are counts of the same packets.
    share = lost / offered if offered else 0.0
    slack = 2.58 * (offered * max(share, 1e-3) * (1 - share)) ** 0.5 if offered else None
    return {
        "rtt_true_ms": true,
        "rtt_said_ms": rtt,
        "rtcp_rtt_said_ms": float(np.median(rtcp)) if rtcp else None,
        "worker_rtt_ms": float(np.median(worker[1:] or worker)) if worker else None,
        "rtt_within": bool(abs(rtt - true) <= 0.15 * true) if rtt is not None and known else None,
        "packets": offered,
        "dropped": lost,
        "lost_said": said,
        "loss_within": None if said is None or slack is None else bool(abs(said - lost) <= slack + 2),
        "retransmissions_asked": sent_lost,
    }


def _loss_said(caller: Ear) -> tuple[int | None, int]:
    """Packets of ours that the receiver's reports call lost, from the first reading to the last."""
    told = [r for r in caller.statistics if r.get("far_lost") is not None]
    nacks = int(caller.statistics[-1].get("in_nack", 0)) if caller.statistics else 0
    return (None, nacks) if len(told) < 2 else (told[-1]["far_lost"] - told[0]["far_lost"], nacks)


def _span(trial: Trial) -> tuple[int, int]:
    """Packets offered and dropped between the same two readings."""
    told = [r for r in trial.caller.statistics if r.get("far_lost") is not None]
    if len(told) < 2:
        return 0, 0
    first = _rtp(trial, "up", told[0].get("out_ssrc"), told[0]["t_s"])
    last = _rtp(trial, "up", told[-1].get("out_ssrc"), told[-1]["t_s"])
    return last[0] - first[0], last[1] - first[1]


def _rtp(trial: Trial, way: str, ssrc: int | None, t_s: float) -> tuple[int, int]:
    """Packets of the source that were offered to the link and lost by chance until `t_s`, between its readings."""
    times, offered, lost = [], [], []
    for at_s, counts in _counts(trial, way):
        times.append(at_s)
        tally = counts.rtp.get(ssrc or 0, [0, 0])
        offered.append(tally[0])
        lost.append(tally[1])
    if not times:
        return 0, 0
    return round(float(np.interp(t_s, times, offered))), round(float(np.interp(t_s, times, lost)))


def _counts(trial: Trial, way: str) -> Iterator[tuple[float, Counts]]:
    for at_s, readings in trial.readings:
        yield at_s, readings.up if way == "up" else readings.down


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)


def _buffer(reading: Any) -> float | None:
    count = reading.get("buffer_count")
    return round(1000 * reading["buffer_s"] / count, 1) if count else None
