"""The figures of a detector follow from its answers as the benchmark defines them."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.endpointing.command import endpointing, parse_detectors
from voicefleet.endpointing.curve import endpointing_curve
from voicefleet.endpointing.policy import Pause, Policy, fewest_cut_ins, points, shortest_delay
from voicefleet.endpointing.published import HOLD_SURVIVAL, PUBLISHED
from voicefleet.endpointing.turns import SpokenTurn, hold_lengths_s, recorded_turns
from voicefleet.speech.clips import load_utterances

pytestmark = pytest.mark.unit


def hold(duration_s: float, sure: float | None = None) -> Pause:
    return Pause("t", False, duration_s, sure)


def end(sure: float | None = None) -> Pause:
    return Pause("t", True, 0.0, sure)


def test_silence_alone_cuts_into_every_hold_that_lasts_longer_than_its_delay() -> None:
    found = points([hold(0.25), hold(0.45), hold(0.75), hold(2.2), end(), end()])
    at_300 = fewest_cut_ins(found, 0.3)
    assert at_300 is not None
    assert (at_300.cut_ins, at_300.holds, at_300.delay_s) == (3, 4, 0.3)
    at_none = shortest_delay(found, 0.05)
    assert at_none is not None
    assert at_none.policy == Policy(None, 2.5, 2.5)
    assert shortest_delay(points([hold(4.9), end()]), 0.05) is None


def test_a_detector_that_knows_waits_for_nobody_and_cuts_in_nowhere() -> None:
    best = shortest_delay(points([hold(0.9, 0.1), hold(0.3, 0.2), end(0.8), end(0.9)]), 0.0)
    assert best is not None
    assert best.delay_s == pytest.approx(0.2)
    assert best.policy.threshold is not None
    assert 0.1 < best.policy.threshold <= 0.8


def test_an_unsure_end_costs_the_time_out_and_a_sure_hold_a_cut_in() -> None:
    policy = Policy(0.5, 0.3, 1.5)
    assert policy.ends_after_s(end(0.4)) == 1.5
    assert not policy.cuts_into(hold(1.4, 0.4))
    assert policy.cuts_into(hold(1.6, 0.4))
    assert policy.cuts_into(hold(0.4, 0.5))
    assert not policy.cuts_into(end(0.9))


def test_holds_outside_of_the_benchmarks_bounds_do_not_count() -> None:
    found = points([hold(0.1), hold(5.5), hold(0.5), end()])
    assert {point.holds for point in found} == {1}
    assert points([hold(0.1), end()]) == []


def test_our_callers_pause_as_long_as_the_benchmarks() -> None:
    lengths = hold_lengths_s(1000, np.random.default_rng(1))
    for seconds, share in HOLD_SURVIVAL[1:-1]:
        assert np.mean([length > seconds for length in lengths]) == pytest.approx(share, abs=0.002)
    assert PUBLISHED["vad"]["cut_in_at_300ms"] == HOLD_SURVIVAL[1][1]


def turn_of(pause_s: float) -> SpokenTurn:
    first, second = (u for u in load_utterances()[:2])
    silence = np.zeros(round(pause_s * 16_000), np.int16)
    parts = (first.samples[: first.speech_end_sample], silence, second.samples[second.speech_start_sample :])
    return SpokenTurn("two", "", np.concatenate(parts))


def test_the_models_are_asked_at_the_pause_and_at_the_end() -> None:
    vad, mini, smart = endpointing_curve([turn_of(1.2)])
    assert [p.over for p in vad.pauses] == [p.over for p in mini.pauses] == [p.over for p in smart.pauses]
    long = [p for p in vad.pauses if not p.over and p.duration_s > 1.0]
    assert [p.duration_s for p in long] == [pytest.approx(1.15, abs=0.15)]
    assert vad.pauses[-1].over
    assert all(p.sure is not None and 0 <= p.sure <= 1 for p in (*mini.pauses, *smart.pauses))
    row = vad.to_json()
    assert row["published"] == PUBLISHED["vad"]
    # The long hold outlasts every delay of up to a second; the turn behind it is ended the sooner the better.
    assert row["cut_in_at_300ms"] is not None
    assert row["settings"]["delay_at_5pct_s"] == {"threshold": None, "min_delay_s": 1.5, "max_delay_s": 1.5}


def write(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, rate, samples.size, "NONE", "not compressed"))
        wav.writeframes(samples.astype("<i2").tobytes())


def test_a_folder_of_recordings_gives_a_table_and_json(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", turn_of(0.8).samples)
    out = tmp_path / "out.json"
    console = Console(record=True, width=80)
    assert endpointing("vad", recordings=tmp_path, seed=1, json_path=out, console=console) == 0
    told = json.loads(out.read_text())
    assert [row["detector"] for row in told["endpointing"]] == ["vad"]
    assert "published" in console.export_text()
    write(tmp_path / "a.wav", np.zeros(16_000))
    assert endpointing("vad", recordings=tmp_path, seed=1, json_path=None, console=console) == 1
    assert "no turn has a pause" in console.export_text()


def test_recordings_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no recordings"):
        recorded_turns(tmp_path)
    write(tmp_path / "b.wav", np.zeros(8_000), rate=8_000)
    with pytest.raises(ConfigError, match=r"b\.wav is not mono, 16 bit, 16 kHz.*sox"):
        recorded_turns(tmp_path)
    (tmp_path / "b.wav").write_bytes(b"no")
    with pytest.raises(ConfigError, match=r"b\.wav is no WAV file"):
        recorded_turns(tmp_path)


def test_an_unknown_detector_is_refused_with_the_one_that_was_meant() -> None:
    assert parse_detectors("") == ("vad", "v1-mini", "smart-turn")
    assert parse_detectors("vad, vad") == ("vad",)
    with pytest.raises(ConfigError, match="Did you mean v1-mini"):
        parse_detectors("v1_mini")
