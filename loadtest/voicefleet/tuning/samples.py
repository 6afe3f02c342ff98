"""Turns to listen to, cut out of the recordings of the calls: good and bad ones, small enough for a page."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicefleet.scoring.turn_taking import TurnEvent, turns
from voicefleet.tasks.record import TaskRecord

_BEFORE_S, _AFTER_S, _MOST_S = 0.5, 4.0, 10.0
_SLOW_S = 2.0
_EACH = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """A turn as the caller heard it. `audio`: a ``data:`` address of a WAV file (8 kHz, caller left, agent right)."""

    setting: str
    task: str
    text: str
    what: str
    good: bool
    audio: str


def listen_to(records: Iterable[TaskRecord]) -> tuple[Sample, ...]:
    """Up to three bad turns, each of another call (cut into, slow, of a failed task), and three good ones."""
    found: list[Sample] = []
    for good in (False, True):
        picked: list[tuple[TaskRecord, TurnEvent, str]] = []
        for record, event, what in _judged(records, good=good):
            kinds = [w.split(":")[0] for _, _, w in picked]
            if all(record is not r for r, _, _ in picked) and (good or kinds.count(what.split(":")[0]) < 1):
                picked.append((record, event, what))
            if len(picked) == _EACH:
                break
        for record, event, what in picked:
            audio = _cut(record, event)
            if audio:
                found.append(Sample(record.config, record.task, event.text, what, good, audio))
    return tuple(found)


def _judged(records: Iterable[TaskRecord], *, good: bool) -> Iterator[tuple[TaskRecord, TurnEvent, str]]:
    for record in records:
        if record.error is not None or not record.recording:
            continue
        wrong = next((check.why for check in record.checks if not check.passed), "")
        for event in turns(record):
            if good:
                if record.success and not event.cut_ins and event.response_s is not None and event.response_s < _SLOW_S:
                    yield record, event, f"answered after {event.response_s:.2f} s, and the task was done"
            elif event.cut_ins:
                yield record, event, "cut in: the agent spoke before the caller was done"
            elif event.response_s is not None and event.response_s > _SLOW_S:
                yield record, event, f"slow: answered after {event.response_s:.2f} s"
            elif wrong:
                yield record, event, f"task failed: {wrong}"


def _cut(record: TaskRecord, event: TurnEvent) -> str:
    try:
        with wave.open(str(Path(record.recording))) as file:
            rate, channels = file.getframerate(), file.getnchannels()
            end_s = min(event.at_s + _MOST_S, record.duration_s)
            begin = max(0, int((event.at_s - _BEFORE_S) * rate))
            file.setpos(min(begin, file.getnframes()))
            raw = file.readframes(max(0, int(end_s * rate) - begin))
    except (OSError, EOFError, wave.Error):
        return ""
    whole = np.frombuffer(raw, dtype="<i2").reshape(-1, channels).astype(np.float32)
    half = whole[: len(whole) // 2 * 2].reshape(-1, 2, channels).mean(axis=1)
    return _address(half.astype("<i2"), rate // 2)


def _address(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]], rate: int) -> str:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((samples.shape[1], 2, rate, len(samples), "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(out.getvalue()).decode()}"


def of_settings(records: Sequence[TaskRecord], names: Sequence[str]) -> list[TaskRecord]:
    """The records of these settings, those of the first name first."""
    return sorted((r for r in records if r.config in names), key=lambda r: names.index(r.config))
