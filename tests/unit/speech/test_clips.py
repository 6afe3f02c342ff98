"""The clips that ship: complete, as described, and refused when they are not."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file
from pathlib import Path

import numpy as np
import pytest

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.speech import render
from voicefleet.speech.clips import MANIFEST, audio_folder, load_utterances, read_folder, voices
from voicefleet.speech.onset_detector import voiced_span

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the clips with two entries, to be damaged."""
    with as_file(audio_folder()) as audio:
        shutil.copytree(audio, tmp_path / "audio")
    path = tmp_path / "audio"
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["clips"] = manifest["clips"][:2]
    (path / MANIFEST).write_text(json.dumps(manifest))
    return path


def test_every_voice_says_every_question() -> None:
    by_voice = voices(load_utterances())
    assert tuple(by_voice) == render.VOICES
    assert all(tuple(u.text for u in clips) == render.TEXTS for clips in by_voice.values())


def test_the_last_voiced_sample_is_where_the_ear_hears_it() -> None:
    for clip in load_utterances():
        assert voiced_span(clip.samples) == (clip.speech_start_sample, clip.speech_end_sample)
        assert 1.0 <= clip.duration_s <= 3.0
        assert clip.sample_rate == 16_000


def test_all_clips_speak_at_one_level() -> None:
    for clip in load_utterances():
        voiced = clip.samples[clip.speech_start_sample : clip.speech_end_sample] / 32768
        assert 20 * np.log10(np.sqrt(np.mean(voiced**2))) == pytest.approx(-23.0, abs=1.0)


def test_the_clips_are_small_and_name_their_origin_and_licence() -> None:
    with as_file(audio_folder()) as audio:
        assert sum(path.stat().st_size for path in audio.iterdir()) <= 3_000_000
        clips = json.loads((audio / MANIFEST).read_text())["clips"]
        assert {path.name for path in audio.glob("*.wav")} == {clip["file"] for clip in clips}
        assert (audio / "LICENSE.flite").exists()
    assert all("flite 2.2" in clip["origin"] and "LICENSE.flite" in clip["licence"] for clip in clips)


def test_samples_cannot_be_changed_by_one_call_for_all_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_utterances()[0].samples[0] = 1


def test_a_changed_clip_is_refused(folder: Path) -> None:
    assert len(read_folder(folder)) == 2
    data = bytearray((folder / "slt-01.wav").read_bytes())
    data[-1] ^= 1
    (folder / "slt-01.wav").write_bytes(data)
    with pytest.raises(ConfigError, match=r"slt-01\.wav"):
        read_folder(folder)


def test_a_missing_clip_is_named(folder: Path) -> None:
    (folder / "slt-02.wav").unlink()
    with pytest.raises(MissingPartError, match=r"slt-02\.wav"):
        read_folder(folder)


def test_a_manifest_that_points_outside_the_clip_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["clips"][0]["speech_end_sample"] = 10**9
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="render"):
        read_folder(folder)


def test_polishing_scales_and_trims() -> None:
    t = np.arange(16_000) / 16_000
    quiet = np.rint(500 * np.sin(2 * np.pi * 200 * t)).astype(np.int16)
    raw = np.concatenate((np.zeros(8000, dtype=np.int16), quiet, np.zeros(8000, dtype=np.int16)))
    clip, first, last = render.polish(raw)
    assert first == pytest.approx(800, abs=80)
    assert clip.size - last == pytest.approx(800, abs=80)
    assert np.sqrt(np.mean((clip[first:last] / 32768) ** 2)) == pytest.approx(10 ** (-23 / 20), rel=0.02)
