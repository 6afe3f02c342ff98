"""A team's agent on a speech-to-speech model, without STT and TTS: `support.realtime_agent:create`.

The environment may name a folder: the model's faults are read from ``faults.json`` there, its notes go to
``notes.jsonl``.
"""

from __future__ import annotations

import asyncio
import os

from livekit.agents import Agent

from support.fake_realtime import FakeRealtimeModel
from voicefleet.worker.call import CallContext

FOLDER_VARIABLE = "FAKE_REALTIME_FOLDER"


class RealtimeAgent(Agent):
    """Greets as real ones do, by an instruction to the model. It keeps its process's id, whichever job has the call."""

    def __init__(self, call: CallContext, model: FakeRealtimeModel) -> None:
        super().__init__(instructions="You are the realtime agent of a shop.", llm=model)
        self._keeping = asyncio.create_task(self._keep_pid(call))

    async def _keep_pid(self, call: CallContext) -> None:
        while True:
            call.kept["pid"] = os.getpid()
            await asyncio.sleep(0.2)

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller and offer your help.")


def create(call: CallContext) -> Agent:
    """The factory."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    faults, notes = (f"{folder}/faults.json", f"{folder}/notes.jsonl") if folder else ("", "")
    model = FakeRealtimeModel(faults_file=faults, notes_file=notes)
    return RealtimeAgent(call, model)
