"""A team's agent on a speech-to-speech model, without STT and TTS: `support.realtime_agent:create`.

The environment may name a folder: the model's faults are read from ``faults.json`` there, its notes go to
``notes.jsonl``.
"""

from __future__ import annotations

import os

from livekit.agents import Agent

from support.fake_realtime import FakeRealtimeModel
from voicefleet.worker.call import CallContext

FOLDER_VARIABLE = "FAKE_REALTIME_FOLDER"


class RealtimeAgent(Agent):
    """Greets as real ones do, by an instruction to the model."""

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller and offer your help.")


def create(call: CallContext) -> Agent:
    """The factory."""
    call.kept["pid"] = os.getpid()
    folder = os.environ.get(FOLDER_VARIABLE, "")
    faults, notes = (f"{folder}/faults.json", f"{folder}/notes.jsonl") if folder else ("", "")
    model = FakeRealtimeModel(faults_file=faults, notes_file=notes)
    return RealtimeAgent(instructions="You are the realtime agent of a shop.", llm=model)
