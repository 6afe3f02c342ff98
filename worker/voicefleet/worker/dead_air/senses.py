"""Watches whether the agent hears its caller and is heard by it, in the middle of a call.

`deafness` and `muteness` decide; this module gives them the frames behind the gate, the session's events and the
readings of the agent's own track, and lets a voice detector of its own judge what the session did not react to. What it
finds is the job's `trouble`, by which the controller gives the call to a fresh job.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession, vad

from voicefleet.contract.claims import DEAF, MUTE
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.dead_air.deafness import DeafnessDetector, Suspicion
from voicefleet.worker.dead_air.muteness import MutenessDetector, TrackReading
from voicefleet.worker.job import sdk
from voicefleet.worker.job.voice import Gate

LOOK_EVERY_S = 0.5
UNREPAIRED_S = 9.0
"""A fresh job would have had the call by then. Said so once more after as long again."""
_READ_EVERY_S = 1.0
_LIMIT_S = 1.5
_READINGS_AFTER = 2
"""While the agent is silent nothing is asked of its track."""
_JUDGE_S = 0.7
_STALL_S = 1.0
_KEPT_S = 7.0
_UNFED_S = 4.0
_SURE, _TRACE = 0.7, 0.1
"""Probabilities from which on a moment is speech for sure, and may be speech."""
Moment = tuple[float, float]
"""When, and the probability that it was speech."""

log = get_logger(__name__)


class Senses:
    """Watches one session: `watch` before it starts, `listen` after, `begin` when the call is ours, `end` at its end.

    Args:
        build_vad: makes the voice detector that judges; called at the first suspicion, not before.
        troubled: told when `trouble` changed.
        on: False: nothing is watched, and there is never any trouble.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        clock: Clock,
        *,
        build_vad: Callable[[], vad.VAD],
        troubled: Callable[[], None] = lambda: None,
        on: bool = True,
    ) -> None:
        self.troubled = troubled
        self._on = on
        self.unrepaired: Callable[[], None] = lambda: None
        """Told when nobody took a deaf agent's call: its caller speaks to nobody, and is to hear so."""
        self.held_back: Callable[[], bool] = lambda: False
        """Whether the job itself keeps its agent from being heard now."""
        self._session = session
        self._clock = clock
        self._build_vad = build_vad
        self._vad: vad.VAD | None = None
        self._deafness = DeafnessDetector()
        self._muteness = MutenessDetector()
        self._gate: Gate | None = None
        self._frames: deque[tuple[float, rtc.AudioFrame]] = deque()
        self._taken = (0, 0)
        self._unfed_since_s: float | None = None
        self._packets: int | None = None
        self._read_s = 0.0
        self._looked_s: float | None = None
        self._readings_due = 0
        self._known = ""
        self._apologies = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """What is wrong: deaf, mute, or nothing (empty)."""
        if self._deafness.deaf_since_s is not None:
            return DEAF
        return MUTE if self._muteness.mute_since_s is not None else ""

    @property
    def troubled_since_s(self) -> float | None:
        """When what is wrong began, monotonic; None: all is well."""
        deaf_s = self._deafness.deaf_since_s
        return self._muteness.mute_since_s if deaf_s is None else deaf_s

    def watch(self) -> None:
        """Hear of the session's reactions; before it starts, so that none is missed."""
        self._session.on("user_state_changed", self._on_caller)
        self._session.on("agent_state_changed", self._on_agent)
        self._session.on("user_input_transcribed", lambda e: self._on_words() if e.transcript.strip() else None)
        self._session.on("conversation_item_added", self._on_item)
        sdk.on_metrics(self._session, self._on_metrics)

    def listen(self, gate: Gate) -> None:
        """Look at what passes `gate` from now on."""
        self._gate = gate
        if self._on:
            gate.passed = self._on_frame

    def begin(self) -> None:
        """The call is ours."""
        if not self._on:
            return
        self._task = asyncio.create_task(self._look())

    async def end(self) -> None:
        """Stop watching."""
        if self._gate is not None:
            self._gate.passed = None
        if self._task is not None:
            await cancel_and_wait([self._task])

    def unheard_turn(self) -> None:
        """A turn of the caller went by with no word of it recognised, and no provider said why."""
        if not self._on:
            return
        self._deafness.unheard_turn(self._clock.monotonic())

    # What happens

    def _on_caller(self, event: Any) -> None:
        if "speaking" in (event.new_state, event.old_state):
            self._deafness.caller_speaks(self._clock.monotonic(), event.new_state == "speaking")

    def _on_agent(self, event: Any) -> None:
        self._readings_due, self._read_s = _READINGS_AFTER, 0.0
        self._muteness.speaks(self._clock.monotonic(), event.new_state == "speaking")

    def _on_words(self) -> None:
        self._deafness.reacted(self._clock.monotonic())
        self._deafness.recogniser_lives()

    def _on_item(self, event: Any) -> None:
        if getattr(event.item, "role", "") == "user":
            self._on_words()

    def _on_metrics(self, metrics: Any) -> None:
        # It may have made nothing of a noise, and rightly so.
        if getattr(metrics, "type", "") == "stt_metrics":
            self._deafness.recogniser_lives()

    def _on_frame(self, frame: rtc.AudioFrame) -> None:
        now_s = self._clock.monotonic()
        self._deafness.frame(now_s, level_dbfs(frame), frame.duration)
        self._frames.append((now_s, frame))
        while now_s - self._frames[0][0] > _KEPT_S:
            self._frames.popleft()

    # The look

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self._look_once()
            except Exception as error:  # The SDK's private parts and the native side: the call goes on unwatched.
                log.warning("not known whether the agent hears and is heard", error=error_summary(error))
            if self.trouble != self._known:
                self._known = self.trouble
                if self._known:
                    log.error("the agent does not work, its call is to move", trouble=self._known)
                self.troubled()
            deaf_since_s = self._deafness.deaf_since_s
            if deaf_since_s is None:
                self._apologies = 0
            elif self._clock.monotonic() - deaf_since_s >= UNREPAIRED_S * (1 + self._apologies) and self._apologies < 2:
                self._apologies += 1
                self.unrepaired()

    async def _look_once(self) -> None:
        now_s, before_s = self._clock.monotonic(), self._looked_s
        self._looked_s = now_s
        if before_s is not None and now_s - before_s > LOOK_EVERY_S + _STALL_S:
            # This process did not run: the session had no time to react.
            self._deafness.not_listening(self._clock.monotonic())
            self._unfed_since_s = None
            return
        if self._session.agent_state == "speaking":
            self._readings_due = _READINGS_AFTER
        if now_s - self._read_s >= _READ_EVERY_S and self._readings_due:
            self._read_s = now_s
            self._readings_due -= 1
            await self._read_track()
        by = sdk.hears_by(self._session)
        if self._gate is None or not by or not self._gate.open or not sdk.listens(self._session, self._gate):
            self._deafness.not_listening(self._clock.monotonic())
            self._unfed_since_s = None
            return
        self._deafness.by_voice = by == "voice"
        await self._look_for_frames(self._gate)
        suspicion = self._deafness.suspicion(self._clock.monotonic())
        if suspicion is None or (found := await self._judge()) is None:
            return
        now_s = self._clock.monotonic()
        if suspicion is Suspicion.STUCK:
            self._deafness.judged_stuck(now_s, quiet_at_the_end_s(found))
        else:
            self._deafness.judged_unheard(now_s, speech_after_s(found, self._deafness.evidence_since_s()))

    async def _read_track(self) -> None:
        if self.held_back() or not self._session.output.audio_enabled:
            self._muteness.silenced()
            return
        reading = None
        if (own := sdk.own_track(self._session)) is not None:
            track, waits = own
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LIMIT_S):
                    reading = _track_reading(await track.get_stats(), waits)
        self._muteness.reading(self._clock.monotonic(), reading)

    async def _look_for_frames(self, gate: Gate) -> None:
        """Frames come also from a silent and from a muted caller, 20 a second: none at all is a fault, of ours when
        packets arrive, or when nobody asks for them."""
        taken, self._taken = self._taken, (gate.asked, gate.given)
        track = sdk.caller_track(self._session)
        if taken != self._taken or track is None:
            self._unfed_since_s = self._packets = None
            return
        now_s = self._clock.monotonic()
        if self._unfed_since_s is None:
            self._unfed_since_s = now_s - LOOK_EVERY_S
        if now_s - self._unfed_since_s < _UNFED_S - 1.0:
            return
        async with asyncio.timeout(_LIMIT_S):
            packets = sum(
                one.inbound_rtp.received.packets_received
                for one in await track.get_stats()
                if one.HasField("inbound_rtp")
            )
        before, self._packets = self._packets, packets if self._packets is None else self._packets
        arrives = before is not None and packets > before
        if now_s - self._unfed_since_s >= _UNFED_S and (arrives or not gate.waits):
            self._deafness.unfed(self._unfed_since_s)

    async def _judge(self) -> list[Moment] | None:
        """What our own detector makes of the last sound that the session was given; None: not known. All of what is
        kept, which warms the detector up as the session's own was."""
        if self._vad is None:
            self._vad = self._build_vad()
        kept = list(self._frames)
        stream = self._vad.stream()
        try:
            async with asyncio.timeout(_JUDGE_S):
                for _, frame in kept:
                    stream.push_frame(frame)
                stream.end_input()
                done = [e async for e in stream if e.type == vad.VADEventType.INFERENCE_DONE]
        except TimeoutError:
            # A machine without time for this has none for the session's own detector either.
            log.warning("the caller's sound was not judged in time, the session is given more")
            self._deafness.not_listening(self._clock.monotonic())
            return None
        finally:
            await stream.aclose()
        return [(kept[0][0] + event.timestamp, event.probability) for event in done]


def speech_after_s(found: list[Moment], since_s: float) -> float:
    """Seconds that are speech for sure, from `since_s` on."""
    return sum(probability >= _SURE and at_s > since_s for at_s, probability in found) * _step_s(found)


def quiet_at_the_end_s(found: list[Moment]) -> float:
    """Seconds without a trace of a voice, up to now. A voice that goes on need not be sure to be one."""
    quiet = itertools.takewhile(lambda moment: moment[1] < _TRACE, reversed(found))
    return len(list(quiet)) * _step_s(found)


def _step_s(found: list[Moment]) -> float:
    return (found[-1][0] - found[0][0]) / (len(found) - 1) if len(found) > 1 else 0.0


def level_dbfs(frame: rtc.AudioFrame) -> float:
    """The frame's RMS, relative to full scale."""
    samples = np.frombuffer(frame.data, np.int16).astype(np.float32)
    return (
        float(10 * np.log10(np.mean(samples * samples, dtype=np.float64) / 32768.0**2 + 1e-12))
        if samples.size
        else -120.0
    )


def _track_reading(stats: list[Any], waits: bool) -> TrackReading | None:
    energies = [one.media_source.audio.total_audio_energy for one in stats if one.HasField("media_source")]
    packets = [one.outbound_rtp.sent.packets_sent for one in stats if one.HasField("outbound_rtp")]
    return TrackReading(sum(energies), sum(packets), waits) if energies and packets else None
