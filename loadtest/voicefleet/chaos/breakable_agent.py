"""The default agent, made deaf or mute from outside in the middle of a call, in silence: nothing raises, nothing ends.

Deaf: frames go on to arrive, and neither the voice detector nor the recogniser is given one of them, as when a stream
of theirs hangs. Mute: it goes on to speak, and its track carries zeros. The agent that has the call next is healthy.
The orders are read from the file that the environment names: JSON, room -> "deaf", "mute" or "leave"
(its part ends on purpose).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import Agent
from pydantic_settings import BaseSettings, SettingsConfigDict

from voicefleet.worker.agents import Assistant
from voicefleet.worker.call import CallContext

TARGET = f"{__name__}:create"
FILE_VARIABLE = "CHAOS_SENSES_FILE"
_LOOK_EVERY_S = 0.2


class _Surroundings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CHAOS_")
    senses_file: str = ""


class BreakableAssistant(Assistant):
    """Looks for an order while it has the call; only the first agent of a call does, whose `on_enter` runs."""

    def __init__(self, greeting: str, room: str, orders: Path) -> None:
        super().__init__(greeting)
        self._room = room
        self._orders = orders
        self._looking: asyncio.Task[None] | None = None

    async def on_enter(self) -> None:
        await super().on_enter()
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            order = _read(self._orders).get(self._room)
            if order is not None:
                {"deaf": self._deafen, "mute": self._silence, "leave": self.session.shutdown}[order]()
                return

    def _deafen(self) -> None:
        recognition: Any = self.session._activity and self.session._activity._audio_recognition
        recognition._push_audio = lambda *_, **__: None

    def _silence(self) -> None:
        output: Any = self.session.output.audio
        while output.next_in_chain is not None:
            output = output.next_in_chain
        capture = output._audio_source.capture_frame

        async def zeros(frame: rtc.AudioFrame) -> None:
            silent = bytes(2 * frame.samples_per_channel * frame.num_channels)
            await capture(rtc.AudioFrame(silent, frame.sample_rate, frame.num_channels, frame.samples_per_channel))

        output._audio_source.capture_frame = zeros


def create(call: CallContext) -> Agent:
    """The factory."""
    return BreakableAssistant("Hello, how can I help you?", call.room, Path(_Surroundings().senses_file))


def break_agent(orders: Path, room: str, how: str) -> None:
    """Have the agent of the call in `room` go `how` (deaf, mute), or leave, as soon as it looks."""
    told = {**_read(orders), room: how}
    temporary = orders.with_name(orders.name + ".new")
    temporary.write_text(json.dumps(told))
    temporary.replace(orders)


def _read(orders: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(orders.read_text())
    except (OSError, ValueError):
        return {}
    return found
