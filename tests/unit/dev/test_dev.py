"""What the caller of `voicefleet dev` says, and which files of an agent are watched."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.dev.options import DevOptions
from voicefleet.dev.questions import questions
from voicefleet.dev.sources import counts, folder_of
from voicefleet.speech.clips import load_utterances

pytestmark = pytest.mark.unit


def written(path: Path, samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((channels, 2, rate, samples.size, "NONE", "not compressed"))
        wav.writeframes(samples.astype("<i2").tobytes())
    return path


def test_without_words_of_its_own_the_caller_asks_recorded_questions() -> None:
    asked = questions((), 3)
    assert len(asked) == 3
    assert len({clip.text for clip in asked}) == 3


def test_a_recording_is_played_as_it_is(tmp_path: Path) -> None:
    clip = load_utterances()[0]
    (asked,) = questions((str(written(tmp_path / "mine.wav", clip.samples)),), 2)
    assert asked.text == "mine.wav"
    assert np.array_equal(asked.samples, clip.samples)
    assert (asked.speech_start_sample, asked.speech_end_sample) == pytest.approx(
        (clip.speech_start_sample, clip.speech_end_sample), abs=800
    )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path, "cannot be read"),
        (lambda path: written(path, np.zeros(16_000, dtype=np.int16)), "holds no voice"),
        (lambda path: written(path, np.zeros(16_000, dtype=np.int16), channels=2), "is not mono"),
    ],
)
def test_a_file_that_cannot_be_played_is_refused(tmp_path: Path, make, what: str) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path / "mine.wav")
    with pytest.raises(ConfigError, match=what) as caught:
        questions((str(path),), 2)
    assert (caught.value.field, caught.value.value) == ("--say", str(path))


def test_too_many_questions_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        DevOptions("a:b", turns=99)
    assert caught.value.field == "--turns"


def test_the_folder_of_the_agents_code_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team").mkdir()
    assert folder_of(f"{tmp_path}/agents/mine.py:server") == tmp_path / "agents"
    assert folder_of("team.agent:server") == tmp_path / "team"
    assert folder_of("voicefleet_is_nowhere.agent:server") == tmp_path


def test_what_tools_write_beside_the_code_is_no_change(tmp_path: Path) -> None:
    assert counts(tmp_path / "agent.py", tmp_path)
    assert counts(tmp_path / "prompts" / "greeting.md", tmp_path)
    for name in ("__pycache__/agent.py", ".git/config.yaml", "agent.pyc", "log.txt.swp"):
        assert not counts(tmp_path / name, tmp_path), name
    assert not counts(tmp_path.parent / "other.py", tmp_path)
