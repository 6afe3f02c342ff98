"""The result of a run of the lab: the JSON that ``--json`` writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from voicefleet.netlab.readings import Backend
from voicefleet.transports.analysis import blocking, truth
from voicefleet.transports.analysis.playout import PLAYOUT_MS
from voicefleet.transports.arms import ARMS
from voicefleet.transports.cells import Cell
from voicefleet.transports.report.rows import Quality, by_cell, interval, row, row_not_run
from voicefleet.transports.run import Results
from voicefleet.transports.trial import Trial

_MODEL_ARMS = {"tcp-bbr": "model", "tcp-cubic": "model_cubic"}
_ORDER = {arm.id: place for place, arm in enumerate(ARMS)}


def build(
    results: Results, backend: Backend | None, quality: Quality, surroundings: Mapping[str, Any]
) -> dict[str, Any]:
    """Every figure. `passed`: every cell was run, and at least once on a machine that was quiet enough."""
    rows = [row(cell, trials, results.trials, quality) for cell, trials in by_cell(results.trials).items()]
    rows += [row_not_run(missing) for missing in results.not_run]
    rows.sort(
        key=lambda r: (_ORDER[r["arm"]], r["rate_kbps"] or 0, r["jitter_ms"], r["reorder"], r["rtt_ms"], r["loss"])
    )
    return {
        "rows": rows,
        "emulator": emulator(results.trials, backend),
        **{name: model(results.trials, arm) for arm, name in _MODEL_ARMS.items()},
        "webrtc": webrtc(results.trials),
        "passed": bool(rows) and not any(r["void"] for r in rows),
        **surroundings,
    }


def emulator(trials: Sequence[Trial], backend: Backend | None) -> dict[str, Any]:
    """How well the link kept its settings: the worst run that counts, and how many do not."""
    healthy = [t.error_p99_ms for t in trials if t.error_p99_ms is not None and not t.void]
    return {
        "backend": backend,
        "error_p99_ms": round(max(healthy), 3) if healthy else None,
        "pacer_p99_ms": round(max((t.pacer_p99_ms for t in trials if not t.void), default=0.0), 3),
        "runs": len(trials),
        "void_runs": sum(t.void for t in trials),
    }


def model(trials: Sequence[Trial], arm: str) -> list[dict[str, Any]]:
    """Late frames of raw TCP as seen, and as the model of head-of-line blocking has them; see `blocking`."""
    out = []
    for cell, runs in by_cell([t for t in trials if t.cell.arm.id == arm and t.cell.loss and not t.void]).items():
        if not _is_plain(cell):
            continue
        segments = sum(t.segments for t in runs)
        share = sum(t.retransmits for t in runs) / segments if segments else 0.0
        deadline_ms = cell.rtt_ms / 2 + 20 + PLAYOUT_MS
        delays = np.concatenate([ear.delay_ms for t in runs for ear in t.ears])
        # A frame that never came is late too: TCP gives nothing up, so the call ended first.
        late = [float(np.mean(~(np.concatenate([e.delay_ms for e in t.ears]) <= deadline_ms))) for t in runs]
        out.append(
            {
                "loss": cell.loss,
                "late_predicted": _short(blocking.late_ratio(cell.rtt_ms, share, PLAYOUT_MS)),
                "late_observed": _short(float(np.mean(~(delays <= deadline_ms)))),
                "rtt_ms": cell.rtt_ms,
                "playout_ms": PLAYOUT_MS,
                "retransmit_ratio": _short(share),
                "frames": int(delays.size),
                "late_observed_interval": interval(late),
            }
        )
    return out


def webrtc(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """What WebRTC said of the network, for every run over plain UDP, against the emulator's truth."""
    out = []
    for trial in trials:
        if trial.cell.arm.webrtc and trial.cell.arm.path == "udp" and not trial.void:
            head = {
                "arm": trial.cell.arm.id,
                "loss": trial.cell.loss,
                "jitter_ms": trial.cell.jitter_ms,
                "reorder": trial.cell.reorder,
            }
            more = {"rate_kbps": trial.cell.rate_kbps, "seed": trial.seed}
            out.append({**head, **more, **truth.verdict(trial), **sending(trial)})
    return out


def sending(trial: Trial) -> dict[str, Any]:
    """What the caller's encoder sent while it spoke: payload bits a second, and the target it was given."""
    said_s = trial.caller.said_at_s
    begin_s, end_s = trial.agent.said_at_s, trial.agent.said_at_s + trial.seconds
    during = [r for r in trial.caller.statistics if begin_s <= r["t_s"] <= end_s and "out_bytes" in r]
    if len(during) < 2 or np.isnan(said_s):
        return {"payload_bps": None, "target_bps": None, "packets_per_s": None}
    first, last = during[0], during[-1]
    span_s = last["t_s"] - first["t_s"]
    return {
        "payload_bps": round(8 * (last["out_bytes"] - first["out_bytes"]) / span_s),
        "packets_per_s": round((last["out_packets"] - first["out_packets"]) / span_s, 1),
        "target_bps": last["out_target_bps"],
    }


def _is_plain(cell: Cell) -> bool:
    return not cell.jitter_ms and not cell.reorder and cell.rate_kbps is None


def _short(value: float) -> float:
    return float(f"{value:.4g}")
