"""The report's pictures, as SVG text to stand inside an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from voicefleet.reporting.figure import new_figure, svg
from voicefleet.transports.analysis import truth
from voicefleet.transports.arms import BY_ID
from voicefleet.transports.trial import Trial

_COLOURS = {
    "http-post-new": "#a16207",
    "http-post-keepalive": "#d97706",
    "http-stream": "#ca8a04",
    "http2": "#65a30d",
    "websocket": "#dc2626",
    "tcp-cubic": "#f87171",
    "tcp-bbr": "#be185d",
    "udp": "#6b7280",
    "webrtc-udp": "#2563eb",
    "webrtc-udp-nored": "#60a5fa",
    "webrtc-udp-dtx": "#93c5fd",
    "webrtc-tcp": "#7c3aed",
    "webrtc-turn-tcp": "#a78bfa",
    "webrtc-turn-tls": "#c4b5fd",
}
_SCORES = (0.9, 4.75)
"""PESQ and MOS begin at 1 and end before this."""
_HEADROOM_RATIO = 1.5
"""For the legend, over the highest value."""
_SECONDS = 10.0
"""Of speech in the picture over time: enough to see stalls, few enough to see each."""


def over_time(trials: Sequence[Trial], arms: Sequence[str], loss: float) -> Figure | None:
    """Delay of each frame as it is spoken, one arm below the other, on one scale; a gap is a frame that never came."""
    shown = [trial for arm in arms if (trial := _plain(trials, arm, loss)) is not None]
    if not shown:
        return None
    figure = new_figure(10, 1.0 + 1.35 * len(shown))
    axes = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True, sharey=True))
    for axis, trial in zip(axes, shown, strict=True):
        ear = trial.agent
        during = ear.at_s <= _SECONDS
        colour = _COLOURS[trial.cell.arm.id]
        axis.plot(ear.at_s[during], ear.delay_ms[during], color=colour, lw=1.1, drawstyle="steps-post")
        axis.axhline(trial.cell.rtt_ms / 2, color="#9ca3af", lw=0.8, ls=":")
        axis.set_title(BY_ID[trial.cell.arm.id].title, loc="left", fontsize=9)
        axis.grid(alpha=0.25)
    # When all are drawn: a limit ends the scaling to what comes.
    axes[0].set_ylim(bottom=0)
    axes[-1].set_xlabel("seconds of speech (dotted: the network's own delay)")
    figure.supylabel("mouth to ear, ms", fontsize=9)
    return figure


def distributions(trials: Sequence[Trial], losses: Sequence[float]) -> Markup | None:
    """Share of frames that were heard within so many milliseconds, a picture for each loss."""
    if not losses:
        return None
    figure = new_figure(10, 3.6)
    axes = np.atleast_1d(figure.subplots(1, len(losses), sharey=True))
    drawn: dict[str, Any] = {}
    for axis, loss in zip(axes, losses, strict=True):
        for arm, colour in _COLOURS.items():
            ears = [e for t in trials if _is_plain(t) and t.cell.arm.id == arm and t.cell.loss == loss for e in t.ears]
            if not ears:
                continue
            delays = np.concatenate([ear.delay_ms for ear in ears])
            known = np.sort(delays[~np.isnan(delays)])
            share = 100 * np.arange(1, known.size + 1) / delays.size
            (drawn[BY_ID[arm].title],) = axis.plot(known, share, color=colour, lw=1.3)
        axis.set_title(f"loss {loss:.0%}", loc="left", fontsize=9)
        axis.set_xlabel("mouth to ear, ms")
        axis.set_xlim(0, 500)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("% of speech heard within")
    if not drawn:
        return None
    figure.legend(list(drawn.values()), list(drawn), fontsize=7, ncols=4, loc="outside lower center")
    return svg(figure)


def quality(rows: Sequence[Mapping[str, Any]], measure: str, name: str) -> Markup | None:
    """A score against loss, a line for each arm; what of an interval is no score is cut off."""
    figure = new_figure(10, 3.4)
    axis = figure.subplots()
    for arm, colour in _COLOURS.items():
        points = [
            (100 * r["loss"], r[measure], (r.get("intervals") or {}).get(measure))
            for r in rows
            if r["arm"] == arm
            and r[measure] is not None
            and not r["jitter_ms"]
            and not r["reorder"]
            and r["rate_kbps"] is None
        ]
        if not points:
            continue
        points.sort(key=lambda point: point[0])
        axis.plot(
            [p[0] for p in points], [p[1] for p in points], marker="o", ms=4, color=colour, label=BY_ID[arm].title
        )
        for at, _, spread in points:
            if spread is not None:
                axis.vlines(at, *spread, color=colour, lw=1, alpha=0.5)
    axis.set_xlabel("packets lost each way, %")
    axis.set_ylabel(name)
    axis.set_ylim(*_SCORES)
    axis.grid(alpha=0.25)
    if not axis.get_legend_handles_labels()[0]:
        return None
    axis.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return svg(figure)


def estimates(trial: Trial) -> Markup:
    """What WebRTC says of the network over time, and what is so: RTT, loss, and the jitter buffer."""
    entries = [entry for entry in truth.over_time(trial) if entry["t_s"] >= 0]
    figure = new_figure(10, 4.6)
    rtt, loss, buffer = figure.subplots(3, 1, sharex=True)
    for axis, name, label, colour in (
        (rtt, "rtt_said_ms", "WebRTC says (ICE)", "#2563eb"),
        (rtt, "rtcp_rtt_said_ms", "WebRTC says (RTCP)", "#60a5fa"),
        (rtt, "rtt_true_ms", "the emulator's", "#6b7280"),
        (loss, "loss_said", "the receiver reports", "#2563eb"),
        (loss, "loss_true", "dropped by the emulator", "#6b7280"),
        (buffer, "jitter_said_ms", "jitter, WebRTC says", "#2563eb"),
        (buffer, "buffer_ms", "mean wait in the jitter buffer", "#16a34a"),
    ):
        points = [(e["t_s"], e[name] * (100 if axis is loss else 1)) for e in entries if e[name] is not None]
        if points:
            style = {"ls": "--"} if "emulator" in label else {"marker": ".", "ms": 4}
            axis.plot(*zip(*points, strict=True), color=colour, lw=1.1, label=label, **style)
    for axis, name in ((rtt, "RTT, ms"), (loss, "loss, %"), (buffer, "ms")):
        axis.set_ylabel(name)
        axis.set_ylim(0, _HEADROOM_RATIO * max(axis.dataLim.y1, 1.0))
        axis.grid(alpha=0.25)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, loc="upper right", ncols=3)
    buffer.set_xlabel("seconds of speech")
    return svg(figure)


def _plain(trials: Sequence[Trial], arm: str, loss: float) -> Trial | None:
    found = [t for t in trials if _is_plain(t) and t.cell.arm.id == arm and t.cell.loss == loss and not t.void]
    return found[0] if found else None


def _is_plain(trial: Trial) -> bool:
    return not trial.cell.jitter_ms and not trial.cell.reorder and trial.cell.rate_kbps is None
