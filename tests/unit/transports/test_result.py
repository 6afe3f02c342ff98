"""From runs to rows, JSON, sentences and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.netlab.channel import Counts
from voicefleet.netlab.readings import Readings
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.analysis import truth
from voicefleet.transports.analysis.findings import findings, webrtc_findings, when_to_use
from voicefleet.transports.arms import BY_ID
from voicefleet.transports.cells import Cell, cells, seeds_of
from voicefleet.transports.command import transports
from voicefleet.transports.options import LabOptions, options_from
from voicefleet.transports.report.page import render
from voicefleet.transports.report.result import build
from voicefleet.transports.report.rows import NotRun, interval, row
from voicefleet.transports.run import Results
from voicefleet.transports.trial import Ear, Trial

pytestmark = pytest.mark.unit

SURROUNDINGS: dict[str, Any] = {
    "complete": True,
    "wall_s": 1.0,
    "machine": {"cpu": "any", "cores": 2, "kernel": "1"},
    "versions": {},
}
KEYS = (
    *("arm", "rtt_ms", "loss", "jitter_ms", "reorder", "rate_kbps"),
    *("delay_p50_ms", "delay_p95_ms", "delay_p99_ms", "late_ratio", "lost_ratio", "concealed_ratio", "stalls"),
    *("bytes_per_s", "connect_ms", "pesq", "mos", "void", "seeds"),
)
OPTIONS: dict[str, Any] = {
    "arms": "",
    "rtt": None,
    "loss": None,
    "jitter": None,
    "rate": None,
    "reorder": None,
    "seeds": None,
    "seconds": None,
    "quick": False,
    "backend": "auto",
    "logs": None,
}


def quality(said: Samples, heard: Samples) -> float | None:
    return 4.5 if np.array_equal(said, heard) else 3.0


def plain_ear(delays_ms: Sequence[float]) -> Ear:
    delay_ms = np.array(delays_ms)
    pcm = np.full((delay_ms.size, 4), 500, dtype=np.int16)
    lost = float(np.mean(np.isnan(delay_ms)))
    at_s = np.linspace(0, 0.02 * delay_ms.size, delay_ms.size, endpoint=False, dtype=np.float64)
    return Ear(at_s, delay_ms, pcm.reshape(-1), np.zeros(0, dtype=np.int16), pcm, lost)


def trial(arm: str, loss: float, delays_ms: Sequence[float], **more: Any) -> Trial:
    ear = plain_ear(delays_ms)
    fields: dict[str, Any] = {
        "seed": 1,
        "seconds": len(delays_ms) * 0.02,
        "caller": ear,
        "agent": ear,
        "connect_ms": 100.0,
        "first_audio_ms": 170.0,
        "bytes_per_s": 34_000.0,
        "error_p99_ms": 0.3,
        "pacer_p99_ms": 0.4,
        "retransmits": 0,
        "segments": 0,
        **more,
    }
    return Trial(Cell(BY_ID[arm], 100.0, loss), **fields)


def webrtc_take(loss: float, delay_ms: float, concealed: float) -> Trial:
    base = trial("webrtc-udp", loss, [70.0])
    readings = [
        {
            "t_s": float(second),
            "rtt_s": 0.102,
            "rtcp_rtt_s": 0.103,
            "out_ssrc": 7,
            "far_lost": 5 * second,
            "far_fraction_lost": loss,
            "out_packets": 50 * second,
            "out_bytes": 6000 * second,
            "out_target_bps": 48000.0,
            "in_jitter_s": 0.001,
            "buffer_s": 0.04 * second,
            "buffer_count": second,
        }
        for second in range(1, 20)
    ]
    sound = np.arange(-2000, 2000, dtype=np.int16)
    ear = Ear(
        np.linspace(0, 9.9, 100, dtype=np.float64),
        np.full(100, delay_ms),
        sound,
        sound,
        np.zeros((0, 0), dtype=np.int16),
        loss,
        concealed,
        statistics=tuple(readings),
        worker=({"t_s": 1.0, "rtt_s": 0.1}, {"t_s": 6.0, "rtt_s": 0.102}),
    )
    truths = [
        (float(second), Readings("tun", Counts(rtp={7: [50 * second, 5 * second]}), Counts())) for second in range(21)
    ]
    return replace(base, caller=ear, agent=ear, readings=truths, seconds=15.0)


def lab_results() -> Results:
    held_up = [70.0] * 80 + [199.0, 179.0, 159.0, 139.0] + [70.0] * 16
    return Results(
        trials=[
            trial("tcp-bbr", 0.01, held_up, retransmits=1, segments=100),
            trial("udp", 0.0, [70.5] * 100),
            trial("udp", 0.01, [70.5] * 98 + [np.nan, 70.5]),
            webrtc_take(0.0, 108.0, 0.0),
            webrtc_take(0.1, 133.0, 0.002),
            replace(webrtc_take(0.1, 352.0, 0.01), cell=Cell(BY_ID["webrtc-tcp"], 100.0, 0.1)),
        ],
        not_run=[NotRun(Cell(BY_ID["webrtc-turn-tcp"], 100.0), "coturn's turnserver is not in PATH. Install it.")],
    )


def test_the_json_has_the_fields_that_were_promised_and_is_json() -> None:
    result = build(lab_results(), "tun", quality, SURROUNDINGS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for made in result["rows"]:
        assert [key for key in KEYS if key not in made] == []
    assert result["emulator"]["backend"] == "tun"
    assert result["emulator"]["error_p99_ms"] == 0.3
    (model,) = result["model"]
    assert model["loss"] == 0.01
    assert model["late_observed"] == pytest.approx(0.04)
    assert model["late_predicted"] == pytest.approx(1 - 0.99**4, rel=1e-3)


def test_an_arm_that_was_not_run_says_why_and_fails_the_run() -> None:
    result = build(lab_results(), "tun", quality, SURROUNDINGS)
    missing = next(r for r in result["rows"] if r["arm"] == "webrtc-turn-tcp")
    assert "turnserver" in missing["not_run"]
    assert missing["delay_p95_ms"] is None
    assert not result["passed"]


def test_late_lost_and_concealed_are_told_apart() -> None:
    run = trial("udp", 0.02, [70.0] * 96 + [131.0, np.nan, 129.0, 70.0])
    made = row(run.cell, [run], [run], quality)
    assert made["late_ratio"] == pytest.approx(0.01)
    assert made["lost_ratio"] == pytest.approx(0.01)
    assert made["concealed_ratio"] == pytest.approx(0.02)
    assert made["delay_p50_ms"] == 70


def test_a_void_run_counts_for_nothing() -> None:
    good, void = trial("udp", 0.0, [70.0] * 50), trial("udp", 0.0, [500.0] * 50, error_p99_ms=2.1)
    made = row(good.cell, [good, void], [good, void], quality)
    assert (made["delay_p50_ms"], made["seeds"], made["void_runs"], made["void"]) == (70, 1, 1, False)
    alone = row(good.cell, [void], [void], quality)
    assert alone["void"]
    assert alone["delay_p50_ms"] is None


def test_webrtc_is_late_against_its_own_least_delay_at_that_round_trip() -> None:
    quick, slow = webrtc_take(0.0, 108.0, 0.0), webrtc_take(0.1, 200.0, 0.01)
    made = row(slow.cell, [slow], [quick, slow], quality)
    assert made["deadline_ms"] == pytest.approx(168)
    assert made["late_ratio"] == 1


def test_intervals_are_students() -> None:
    assert interval([1.0]) is None
    assert interval([1.0, 2.0, 3.0, None]) == pytest.approx([2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5], rel=1e-3)


def test_what_webrtc_says_is_held_against_what_the_emulator_did() -> None:
    said = truth.verdict(webrtc_take(0.1, 133.0, 0.002))
    assert said["rtt_within"]
    assert said["loss_within"]
    assert (said["packets"], said["dropped"], said["lost_said"]) == (900, 90, 90)
    assert said["worker_rtt_ms"] == pytest.approx(102)
    wrong = webrtc_take(0.1, 133.0, 0.002)
    liar = tuple({**reading, "rtt_s": 0.2, "far_lost": 0} for reading in wrong.caller.statistics)
    lied = truth.verdict(replace(wrong, caller=replace(wrong.caller, statistics=liar)))
    assert not lied["rtt_within"]
    assert not lied["loss_within"]


def test_the_page_says_what_was_measured_and_only_that() -> None:
    results = lab_results()
    result = build(results, "tun", quality, SURROUNDINGS)
    page = render(result, results.trials)
    assert page.count("<svg") >= 4
    assert "within 352 ms, over UDP within 133 ms" in " ".join(findings(result))
    assert "not run: coturn" in page
    assert "target bitrate did not change" in " ".join(webrtc_findings(result))
    assert {name for name, _, _ in when_to_use(result)} == {"WebRTC over UDP", "WebRTC over TCP or TURN", "raw UDP"}
    empty = build(Results(), "tun", quality, SURROUNDINGS)
    assert "<svg" not in render(empty, [])
    assert findings(empty) == []


def test_quick_is_a_part_of_the_whole_and_options_win_over_it() -> None:
    whole, quick = options_from(**OPTIONS), options_from(**{**OPTIONS, "quick": True})
    assert set(cells(quick)) <= set(cells(whole))
    assert whole.seeds == 5
    assert list(seeds_of(Cell(BY_ID["tcp-bbr"], 100.0, 0.05), quick)) == [1, 2, 3]
    assert options_from(**{**OPTIONS, "quick": True, "seeds": 2, "loss": "0.1"}).losses == (0.1,)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"arms": "websockets"}, "--arms"),
        ({"loss": "0.05,x"}, "--loss"),
        ({"loss": "0.9"}, "--loss"),
        ({"rtt": "-1"}, "--rtt"),
        ({"rtt": ""}, "--rtt"),
        ({"seeds": 0}, "--seeds"),
        ({"seconds": 1.0}, "--seconds"),
        ({"rate": "nan"}, "--rate"),
    ],
)
def test_impossible_options_are_refused_before_anything_starts(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        options_from(**{**OPTIONS, **wrong})
    assert refused.value.field == field


def test_who_may_not_make_namespaces_is_told_so_for_every_arm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    options = options_from(**{**OPTIONS, "quick": True})
    console = Console(file=StringIO(), width=150)
    assert transports(options, json_path=out, report=page, console=console) == 1
    result = json.loads(out.read_text())
    assert {made["arm"] for made in result["rows"]} == set(BY_ID)
    assert all("root" in made["not_run"] for made in result["rows"])
    assert "only root" in page.read_text()
    with pytest.raises(ConfigError):
        transports(replace(options, backend="magic"), json_path=None, report=None, console=console)


def test_defaults_need_no_words() -> None:
    assert len({cell.arm.id for cell in cells(LabOptions())}) == len(BY_ID)
