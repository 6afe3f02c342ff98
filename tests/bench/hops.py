"""An agent that writes down when it hears, decides and speaks, so that a turn's time can be taken apart.

One JSON object a line, into the file that the environment names: `{"room", "what", "t_s"}`, on the machine's monotonic
clock, which the simulated callers share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, FlushSentinel, ModelSettings, llm, stt

from voicefleet.worker.call import CallContext

FILE_VARIABLE = "BENCH_HOPS_FILE"
HOPS = ("heard", "words", "silence", "turn", "llm", "tts", "playout")
"""In the order of a turn: the caller's last sound has arrived, its words are there, the voice detector says silence,
the turn is over, the LLM's first word, the first sound of the voice, the first sound is sent."""

_LOUD = 100
"""Peak of a sample of speech, of 32768: about -50 dBFS, as the callers' ears have it."""


class HopsAgent(Agent):
    """The default agent, which writes down what happens."""

    def __init__(self, room: str, path: Path) -> None:
        super().__init__(instructions="Answer in one short sentence.")
        self._room_name = room
        self._file = path.open("a", buffering=1)

    def note(self, what: str, t_s: float | None = None) -> None:
        line = {"room": self._room_name, "what": what, "t_s": time.monotonic() if t_s is None else t_s}
        self._file.write(json.dumps(line) + "\n")

    async def on_enter(self) -> None:
        session = self.session
        session.on("user_state_changed", lambda e: self.note("silence") if e.new_state == "listening" else None)
        session.on("agent_state_changed", lambda e: self.note("turn") if e.new_state == "thinking" else None)
        if session.output.audio is not None:
            session.output.audio.on("playback_started", lambda _: self.note("playout"))
        session.say("Hello, how can I help you?")

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncGenerator[stt.SpeechEvent | str, None]:
        async for event in Agent.default.stt_node(self, self._heard(audio), model_settings):
            if event.type in (stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT):
                self.note("words")
            yield event

    async def _heard(self, audio: AsyncIterable[rtc.AudioFrame]) -> AsyncGenerator[rtc.AudioFrame, None]:
        loud_s = 0.0
        async for frame in audio:
            loud = np.flatnonzero(np.abs(np.frombuffer(frame.data, dtype=np.int16).astype(np.int32)) >= _LOUD)
            if loud.size:
                loud_s = time.monotonic()
            elif loud_s:
                self.note("heard", loud_s)
                loud_s = 0.0
            yield frame

    async def llm_node(self, *args: Any) -> AsyncGenerator[llm.ChatChunk | str | FlushSentinel, None]:
        first = True
        async for chunk in Agent.default.llm_node(self, *args):
            if first:
                self.note("llm")
            first = False
            yield chunk

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        first = True
        async for frame in Agent.default.tts_node(self, text, model_settings):
            if first:
                self.note("tts")
            first = False
            yield frame


def create(call: CallContext) -> Agent:
    """The factory."""
    return HopsAgent(call.room, Path(os.environ[FILE_VARIABLE]))
