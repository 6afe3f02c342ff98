"""The lab's report: one HTML file that needs nothing else, its sentences written from the measured values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voicefleet.reporting.figure import svg
from voicefleet.reporting.page import render_page
from voicefleet.transports.analysis.findings import findings, webrtc_findings, when_to_use
from voicefleet.transports.arms import BY_ID
from voicefleet.transports.report import charts
from voicefleet.transports.trial import Trial

OVER_TIME = ("tcp-cubic", "websocket", "webrtc-tcp", "udp", "webrtc-udp")


def render(result: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    """The whole page."""
    rows = result["rows"]
    healthy = [trial for trial in trials if not trial.void]
    losses = sorted({trial.cell.loss for trial in healthy})
    worst = losses[-1] if losses else 0.0
    watched = next((t for t in healthy if t.cell.arm.id == "webrtc-udp" and t.cell.loss == worst), None)
    over_time = charts.over_time(healthy, OVER_TIME, worst)
    svgs = {
        "over_time": svg(over_time) if over_time is not None else None,
        "distributions": charts.distributions(healthy, losses[:1] + losses[-2:] if len(losses) > 2 else losses),
        "pesq": charts.quality(rows, "pesq", "PESQ (wideband, 1 to 4.6)"),
        "mos": charts.quality(rows, "mos", "estimated MOS (E-model, 1 to 4.5)"),
        "estimates": charts.estimates(watched) if watched is not None else None,
    }
    return render_page(
        "voicefleet.transports",
        "report.html.j2",
        r=result,
        titles={arm: BY_ID[arm].title for arm in BY_ID},
        worst=worst,
        watched=watched,
        findings=findings(result),
        webrtc_findings=webrtc_findings(result),
        choices=when_to_use(result),
        svgs=svgs,
    )


def save_figure(trials: Sequence[Trial], path: Path) -> bool:
    """Save the picture of delay over time, at the highest loss, in the format of the file's ending.

    Returns:
        False when there is nothing to draw: no run of the arms it shows was valid.
    """
    healthy = [trial for trial in trials if not trial.void]
    figure = charts.over_time(healthy, OVER_TIME, max((trial.cell.loss for trial in healthy), default=0.0))
    if figure is None:
        return False
    figure.savefig(path, dpi=96)
    return True
