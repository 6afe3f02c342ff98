"""How often a session that hears well is called deaf, and how soon one that does not is found.

The worker's own decision beside a healthy voice detector, on recorded callers and on what is none (`bench.sounds`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from bench.row import Row, say
from bench.sounds import RATE, Sound, Sounds
from bench.statistics import median
from livekit import rtc
from livekit.agents import inference, vad

from voicefleet.worker.dead_air.deafness import DeafnessDetector, Suspicion
from voicefleet.worker.dead_air.senses import LOOK_EVERY_S, level_dbfs, quiet_at_the_end_s, speech_after_s

BOUND_S = 6.0
_FRAME = RATE // 20
_FRAME_S = _FRAME / RATE
_KEPT_S = 7.0
_LAG_S = 0.08
_DEAF_S = 60.0


@dataclass
class Heard:
    """What came of one sound; `found_after_s`: from the first unheard word on."""

    alarms: int = 0
    suspicions: int = 0
    found_after_s: float | None = None
    frames: list[tuple[float, rtc.AudioFrame]] = field(default_factory=list)


async def deafness(quick: bool, command: str) -> Row:
    """Nothing harmless may be taken for deafness, and what is found is found within `BOUND_S`."""
    sounds = Sounds(1, 30.0 if quick else 120.0)
    minutes, alarms, suspicions = 0.0, list[str](), 0
    for name, sound in sounds.harmless():
        heard = await _listen(sound)
        minutes += sound.size / RATE / 60
        suspicions += heard.suspicions
        alarms += [name] * heard.alarms
        if heard.alarms:
            say(f"deafness: {name}: {heard.alarms} false alarms")
    took_s, missed = list[float](), 0
    for seed in range(4 if quick else 40):
        sounds = Sounds(100 + seed, _DEAF_S)
        heard = await _listen(sounds.with_caller(sounds.backgrounds()[seed % 4]), deaf_from_s=20.0 + seed / 10)
        if heard.found_after_s is None:
            missed += 1
        else:
            took_s.append(heard.found_after_s)
    values = {
        "harmless_minutes": round(minutes, 1),
        "false_alarms": len(alarms),
        "suspicions": suspicions,
        "deaf_sessions": len(took_s) + missed,
        "not_found_in_35_s": missed,
        "found_p50_s": round(median(took_s), 2) if took_s else None,
        "found_max_s": round(max(took_s), 2) if took_s else None,
    }
    met = not alarms and bool(took_s) and max(took_s) <= BOUND_S
    return Row("deafness", len(took_s) + missed, values, "met" if met else "missed", command, why="; ".join(alarms))


async def _listen(sound: Sound, deaf_from_s: float = float("inf")) -> Heard:
    """The sound to a session's detector, until `deaf_from_s`, and to our decision."""
    pcm = np.clip(sound, -32767, 32767).astype(np.int16)
    session, judge = inference.VAD(min_silence_duration=0.3).stream(), inference.VAD()
    decision, heard, done_s = DeafnessDetector(), Heard(), [0.0]
    voices: asyncio.Queue[bool] = asyncio.Queue()

    async def follow() -> None:
        async for event in session:
            if event.type == vad.VADEventType.INFERENCE_DONE:
                done_s[0] = event.timestamp
            else:
                voices.put_nowait(event.type == vad.VADEventType.START_OF_SPEECH)

    following = asyncio.create_task(follow())
    now_s = look_s = 0.0
    try:
        for start in range(0, pcm.size - _FRAME, _FRAME):
            frame = rtc.AudioFrame(pcm[start : start + _FRAME].tobytes(), RATE, 1, _FRAME)
            now_s += _FRAME_S
            if now_s < deaf_from_s:
                session.push_frame(frame)
                while done_s[0] < now_s - _LAG_S:
                    await asyncio.sleep(0)
            decision.frame(now_s, level_dbfs(frame), _FRAME_S)
            heard.frames = [*heard.frames[-int(_KEPT_S / _FRAME_S) :], (now_s, frame)]
            while not voices.empty():
                decision.caller_speaks(now_s, voices.get_nowait())
            if now_s < look_s:
                continue
            look_s = now_s + LOOK_EVERY_S
            if (suspicion := decision.suspicion(now_s)) is None:
                continue
            heard.suspicions += 1
            await _judge(decision, suspicion, heard, judge, now_s)
            if decision.deaf_since_s is not None and now_s >= deaf_from_s:
                heard.found_after_s = now_s - decision.deaf_since_s
                return heard
            if decision.deaf_since_s is not None:
                heard.alarms += 1
                decision.reacted(now_s)
    finally:
        following.cancel()
        await session.aclose()
    return heard


async def _judge(
    decision: DeafnessDetector, suspicion: Suspicion, heard: Heard, judge: inference.VAD, now_s: float
) -> None:
    stream = judge.stream()
    for _, frame in heard.frames:
        stream.push_frame(frame)
    stream.end_input()
    began_s = heard.frames[0][0]
    found = [
        (began_s + event.timestamp, event.probability)
        async for event in stream
        if event.type == vad.VADEventType.INFERENCE_DONE
    ]
    await stream.aclose()
    if suspicion is Suspicion.STUCK:
        decision.judged_stuck(now_s, quiet_at_the_end_s(found))
    else:
        decision.judged_unheard(now_s, speech_after_s(found, decision.evidence_since_s()))
