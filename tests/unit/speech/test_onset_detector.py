"""The detector on synthetic signals and on real clips: when speech begins and ends, and what is not speech."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError
from voicefleet.speech.clips import Utterance, load_utterances
from voicefleet.speech.onset_detector import (
    Onset,
    OnsetDetector,
    OnsetSettings,
    OnsetState,
    SpeechEnd,
    SpeechEvent,
    voiced_span,
)

pytestmark = pytest.mark.unit

RATE = 16_000
T0_S = 1000.0
HOP_S = 0.005


def amplitude(dbfs: float) -> float:
    return 32768.0 * 10 ** (dbfs / 20)


def silence(duration_s: float) -> NDArray[np.int16]:
    return np.zeros(round(duration_s * RATE), dtype=np.int16)


def tone(duration_s: float, dbfs: float = -20.0, hz: float = 200.0) -> NDArray[np.int16]:
    t = np.arange(round(duration_s * RATE)) / RATE
    return np.rint(amplitude(dbfs) * 2**0.5 * np.cos(2 * np.pi * hz * t)).astype(np.int16)


def noise(duration_s: float, dbfs: float, seed: int = 1) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    return np.rint(rng.normal(0.0, amplitude(dbfs), round(duration_s * RATE))).astype(np.int16)


def hear(pcm: NDArray[np.int16], frame: int = 160, settings: OnsetSettings | None = None) -> list[SpeechEvent]:
    """Feed in frames of `frame` samples that begin at T0_S; the events, the detector left open."""
    detector = OnsetDetector(settings)
    events: list[SpeechEvent] = []
    for at in range(0, pcm.size, frame):
        events += detector.feed(pcm[at : at + frame], T0_S + at / RATE)
    return events


@pytest.mark.parametrize("start", [0, 1, 799, 4000, 4039, 4041, 8123])
@pytest.mark.parametrize("dbfs", [-10.0, -25.0, -40.0])
def test_the_onset_is_the_first_voiced_sample(start: int, dbfs: float) -> None:
    pcm = np.concatenate((np.zeros(start, dtype=np.int16), tone(0.5, dbfs)))
    (onset,) = hear(pcm)
    assert isinstance(onset, Onset)
    assert abs(onset.sample - start) <= HOP_S * RATE
    assert onset.t_s == pytest.approx(T0_S + onset.sample / RATE, abs=1e-9)


@pytest.mark.parametrize("frame", [37, 80, 160, 800, 16_000])
def test_frames_of_any_length_give_the_same_events(frame: int) -> None:
    pcm = np.concatenate((silence(0.31), tone(0.5), silence(0.4), tone(0.3), silence(0.5)))
    reference = hear(pcm)
    assert [type(e) for e in reference] == [Onset, SpeechEnd, Onset, SpeechEnd]
    heard = hear(pcm, frame)
    assert [e.sample for e in heard] == [e.sample for e in reference]
    assert [e.t_s for e in heard] == pytest.approx([e.t_s for e in reference], abs=1e-9)


def test_the_end_is_the_last_voiced_sample_whatever_the_hangover() -> None:
    pcm = np.concatenate((silence(0.2), tone(0.5), silence(1.0)))
    for hangover_s in (0.1, 0.2, 0.65):
        _, end = hear(pcm, settings=OnsetSettings(hangover_s=hangover_s))
        assert isinstance(end, SpeechEnd)
        assert end.t_s == pytest.approx(T0_S + 0.7, abs=HOP_S)


def test_a_pause_shorter_than_the_hangover_does_not_end_speech() -> None:
    pcm = np.concatenate((tone(0.3), silence(0.15), tone(0.3), silence(0.5)))
    assert len(hear(pcm, settings=OnsetSettings(hangover_s=0.2))) == 2
    assert len(hear(pcm, settings=OnsetSettings(hangover_s=0.1))) == 4


@pytest.mark.parametrize("dbfs", [-60.0, -70.0])
def test_comfort_noise_is_not_speech_and_does_not_move_the_onset(dbfs: float) -> None:
    assert hear(noise(60.0, dbfs)) == []
    pcm = noise(2.0, dbfs)
    pcm[16_000:24_000] += tone(0.5, -25.0)
    onset, end = hear(pcm)
    assert onset.t_s == pytest.approx(T0_S + 1.0, abs=HOP_S)
    assert end.t_s == pytest.approx(T0_S + 1.5, abs=HOP_S)


@pytest.mark.parametrize("length_s", [0.001, 0.02, 0.05])
def test_a_click_is_not_an_onset(length_s: float) -> None:
    click = np.concatenate((silence(0.3), tone(length_s, -6.0), silence(0.5)))
    assert hear(click) == []


def test_clicks_in_a_row_are_not_an_onset() -> None:
    train = np.concatenate([np.concatenate((tone(0.01, -6.0), silence(0.02))) for _ in range(50)])
    assert hear(train) == []


def test_the_onset_after_a_click_is_that_of_the_speech() -> None:
    pcm = np.concatenate((silence(0.1), tone(0.02, -6.0), silence(0.1), tone(0.5), silence(0.3)))
    onset, _ = hear(pcm)
    assert onset.t_s == pytest.approx(T0_S + 0.22, abs=HOP_S)


def test_the_state_tells_what_is_known_so_far() -> None:
    detector = OnsetDetector()
    states = [detector.state]
    detector.feed(tone(0.03), T0_S)
    states.append(detector.state)
    assert detector.voiced_until_s is None
    detector.feed(tone(0.07), T0_S + 0.03)
    states.append(detector.state)
    assert states == [OnsetState.QUIET, OnsetState.RISING, OnsetState.SPEAKING]
    assert detector.voiced_until_s == pytest.approx(T0_S + 0.1, abs=HOP_S)
    (end,) = detector.close()
    assert end.t_s == pytest.approx(T0_S + 0.1, abs=HOP_S)
    assert detector.close() == []


@pytest.mark.parametrize("clip", load_utterances()[::5], ids=lambda clip: str(clip.file))
@pytest.mark.parametrize("noise_dbfs", [None, -60.0])
def test_real_speech_is_found_where_the_manifest_says(clip: Utterance, noise_dbfs: float | None) -> None:
    pcm = np.concatenate((silence(0.5), clip.samples, silence(0.5)))
    if noise_dbfs is not None:
        pcm = pcm + noise(pcm.size / RATE, noise_dbfs)
    events = hear(pcm, frame=800)
    start_s = T0_S + 0.5 + clip.speech_start_sample / RATE
    end_s = T0_S + 0.5 + clip.speech_end_sample / RATE
    assert events[0].t_s == pytest.approx(start_s, abs=HOP_S)
    assert events[-1].t_s == pytest.approx(end_s, abs=HOP_S)


def test_48_khz_hears_the_same() -> None:
    pcm = np.repeat(np.concatenate((silence(0.2), tone(0.4), silence(0.4))), 3)
    detector = OnsetDetector(OnsetSettings(sample_rate=48_000))
    onset, end = detector.feed(pcm, T0_S)
    assert onset.t_s == pytest.approx(T0_S + 0.2, abs=HOP_S)
    assert end.t_s == pytest.approx(T0_S + 0.6, abs=HOP_S)


def test_the_span_of_a_clip_reaches_its_last_sample() -> None:
    assert voiced_span(np.concatenate((silence(0.1), tone(0.3)))) == (1600, 6400)
    assert voiced_span(silence(0.3)) is None


def test_wrong_settings_say_what_to_use() -> None:
    with pytest.raises(ConfigError, match="sample_rate = 11025"):
        OnsetSettings(sample_rate=11_025)
    with pytest.raises(ConfigError, match="hangover_s"):
        OnsetSettings(hangover_s=0.001)
