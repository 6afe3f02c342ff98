"""The waiting message: to whom and when, who may speak, which recording is taken, and the lines to the announcer."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import struct
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrases.record import LOUDNESS_DBFS, loudness_dbfs

from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.waiting_voice import is_waiting_voice, waiting_voice_identity
from voicefleet.controller.calls.snapshots import Call
from voicefleet.controller.settings.waiting_message import WaitingMessageSettings
from voicefleet.controller.waiting_message.clip import Recording, built_in, read_clip
from voicefleet.controller.waiting_message.decide import FORGOTTEN_MS, Wait, begun_anew, due, follow
from voicefleet.controller.waiting_message.protocol import Answer, Order, Result

pytestmark = pytest.mark.unit

AFTER_MS = 4_000
WAITING = Call("a", 1_000, 1_000.0, None)
LIVE = dataclasses.replace(WAITING, rank=None, claim=Claim("w1", "J", 1, "live"))
ACCEPTED = dataclasses.replace(WAITING, claim=Claim("w1", "J", 1, "accepted"))


def spoken_to(looks: Iterable[tuple[int, Call | None]], *, every_ms: int = 10_000) -> list[int]:
    """When the caller in room a is spoken to, of looks at (time, call)."""
    waits: dict[str, Wait] = {}
    spoken = []
    for now_ms, call in looks:
        calls = [call] if call else []
        waits = follow(waits, calls, now_ms)
        for room in due(calls, waits, now_ms, after_ms=AFTER_MS):
            spoken.append(now_ms)
            waits[room] = dataclasses.replace(waits[room], not_before_ms=now_ms + every_ms)
    return spoken


def test_who_waits_is_spoken_to_after_a_while_and_again() -> None:
    assert spoken_to((t, WAITING) for t in range(1_000, 30_000, 500)) == [5_000, 15_000, 25_000]


def test_who_is_served_is_not_spoken_to() -> None:
    assert spoken_to((t, LIVE) for t in range(1_000, 30_000, 500)) == []


def test_an_agent_that_only_said_yes_ends_no_wait_and_is_not_talked_over() -> None:
    looks = [(t, ACCEPTED if 2_000 <= t < 9_000 else WAITING) for t in range(1_000, 12_000, 500)]
    assert spoken_to(looks) == [9_000]


def test_a_call_that_lost_its_agent_begins_to_wait_then() -> None:
    looks = [(t, LIVE if t < 20_000 else WAITING) for t in range(1_000, 30_000, 500)]
    assert spoken_to(looks) == [24_000]


def test_a_call_first_seen_at_the_head_of_the_queue_began_to_wait_when_it_was_seen() -> None:
    headed = dataclasses.replace(WAITING, rank=-0.001)
    assert spoken_to((t, headed) for t in range(50_000, 56_000, 500)) == [54_000]


def test_a_call_missing_in_one_look_is_the_same_call() -> None:
    looks = [(t, None if 6_000 <= t < 12_000 else WAITING) for t in range(1_000, 20_000, 500)]
    assert spoken_to(looks) == [5_000, 15_000]
    assert "a" not in follow({"a": Wait(1_000, 1_000, 1_000)}, [], 1_000 + FORGOTTEN_MS)


def test_the_next_call_in_a_room_of_the_same_name_begins_anew() -> None:
    again = dataclasses.replace(WAITING, joined_ms=9_000)
    looks = [(t, WAITING if t < 9_000 else again) for t in range(1_000, 20_000, 500)]
    assert spoken_to(looks) == [5_000, 13_000]
    known = follow({}, [WAITING], 2_000)
    assert begun_anew(known, follow(known, [again], 9_000)) == ["a"]
    a_bit_later = dataclasses.replace(WAITING, joined_ms=1_500)  # two clocks, one call
    assert begun_anew(known, follow(known, [a_bit_later], 2_500)) == []


def test_the_longest_wait_goes_first() -> None:
    calls = [Call("late", 3_000, 3_000.0, None), Call("early", 2_000, 2_000.0, None), Call("new", 8_000, 8_000.0, None)]
    assert due(calls, follow({}, calls, 9_000), 9_000, after_ms=AFTER_MS) == ["early", "late"]


@given(st.lists(st.sampled_from([WAITING, LIVE, ACCEPTED, None]), max_size=80))
def test_never_over_an_agent_and_never_too_often(calls: list[Call | None]) -> None:
    looks = [(1_000 + 500 * n, call) for n, call in enumerate(calls)]
    spoken = spoken_to(looks)
    at = dict(looks)
    assert all(at[t] == WAITING for t in spoken)
    assert all(b - a >= 10_000 for a, b in itertools.pairwise(spoken))


def write_wav(
    path: Path, *, rate: int = 24_000, channels: int = 1, width: int = 2, s: float = 1.0, peak: int = 9_000
) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        count = int(rate * s) * channels
        if width == 2:
            tone = (round(peak * math.sin(n / 9)) for n in range(count))
            wav.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
        else:
            wav.writeframes(b"\x80" * count * width)
    return path


@pytest.mark.parametrize("language", ["en", "es", "de", "fr"])
def test_the_built_in_recordings_are_what_their_manifest_says_and_equally_loud(language: str) -> None:
    recording = built_in()[language]
    clip = read_clip(recording.path, field="audio")
    words = len(recording.text.split())
    assert words / 4 < clip.duration_s < words  # between hurried and slow
    assert "pcm" not in repr(clip)
    manifest = json.loads(recording.path.with_name("manifest.json").read_text())["clips"]
    (entry,) = (one for one in manifest if one["file"] == recording.path.name)
    assert entry["text"] == recording.text
    assert entry["sha256"] == hashlib.sha256(recording.path.read_bytes()).hexdigest()
    samples = np.frombuffer(clip.pcm, "<i2").astype(np.float64)
    assert loudness_dbfs(samples) == pytest.approx(LOUDNESS_DBFS, abs=0.2)
    assert 6_000 < np.abs(samples).max() < 20_000


def spoken(wanted: str, **given: Any) -> tuple[str, Recording]:
    return WaitingMessageSettings.model_validate(given).recording(wanted)


def test_a_waiting_caller_is_spoken_to_in_the_language_of_the_call() -> None:
    assert spoken("de-AT") == ("de", built_in()["de"])
    assert spoken("") == spoken("tlh") == ("en", built_in()["en"])
    assert spoken("", language="fr-CA") == ("fr", built_in()["fr"])
    assert spoken("es-MX", language="fr") == ("es", built_in()["es"])


def test_recordings_of_ones_own_by_language(tmp_path: Path) -> None:
    french, polish = write_wav(tmp_path / "fr.wav"), write_wav(tmp_path / "pl.wav")
    own: dict[str, Any] = {"audio": french, "language": "fr", "languages": {"pl": {"audio": polish, "text": "Proszę."}}}
    assert spoken("", **own) == spoken("fr-BE", **own) == ("fr", Recording(french, ""))
    assert spoken("pl-PL", **own) == ("pl", Recording(polish, "Proszę."))
    assert spoken("de", **own) == ("de", built_in()["de"])
    with pytest.raises(ValueError, match="lasts 20"):
        spoken("", languages={"pl": {"audio": write_wav(tmp_path / "long.wav", s=20.0)}})
    with pytest.raises(ValueError, match="should match pattern"):
        spoken("", language="no tag")


def test_a_recording_of_ones_own(tmp_path: Path) -> None:
    clip = read_clip(write_wav(tmp_path / "own.wav", rate=16_000), field="audio")
    assert (clip.sample_rate, clip.duration_s) == (16_000, 1.0)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ({"channels": 2}, "2 channels"),
        ({"width": 1}, "8 bits a sample"),
        ({"rate": 22_050}, "22050 samples a second"),
        ({"s": 0.1}, "lasts 0.1 s"),
        ({"s": 31.0}, "lasts 31.0 s"),
        ({"peak": 500}, "is silent"),
    ],
)
def test_recordings_that_are_refused(shape: dict[str, int], what: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "own.wav", **shape)
    with pytest.raises(ConfigError) as refused:
        read_clip(path, field="regions.eu.waiting_message.audio")
    text = str(refused.value)
    assert what in text
    assert "regions.eu.waiting_message.audio" in text
    assert "own.wav" in text
    assert "mono, 16 bit" in text


@pytest.mark.parametrize(("content", "what"), [(None, "cannot be read"), (b"", "ends too early"), (b"ID3x" * 9, "WAV")])
def test_files_that_are_no_recording(content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / "own.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=what):
        read_clip(path, field="audio")


def test_one_voice_for_each_room_and_no_agent() -> None:
    assert waiting_voice_identity("a") == waiting_voice_identity("a") != waiting_voice_identity("b")
    assert is_waiting_voice(waiting_voice_identity("a"))
    assert not is_waiting_voice("agent-AJ_1")


def test_lines_of_the_announcer() -> None:
    order = Order(7, "ws://x", "eyJ-secret", "room\nwith a line", "own.wav", "voicefleet")
    assert order.encode().count(b"\n") == 1
    assert Order.decode(order.encode()) == order
    assert "secret" not in repr(order)
    answer = Answer(7, Result.AGENT_CAME)
    assert Answer.decode(answer.encode()) == answer
    for line in (b"no json", b"[]", b"{}", b'{"number": 1}'):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Order.decode(line)
        with pytest.raises((ValueError, TypeError, KeyError)):
            Answer.decode(line)
