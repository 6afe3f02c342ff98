"""A team's agent on a speech-to-speech model, without STT and TTS: `support.realtime_agent:create`.

A call's metadata may name a folder: its faults are read from ``faults.json`` there, its notes go to ``notes.jsonl``.
"""

from __future__ import annotations

from livekit.agents import Agent

from support.fake_realtime import FakeRealtimeModel
from voicefleet.worker.call import CallContext


class RealtimeAgent(Agent):
    """Greets as real ones do, by an instruction to the model."""

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller and offer your help.")


def create(call: CallContext) -> Agent:
    """The factory."""
    folder = call.order.metadata
    faults, notes = (f"{folder}/faults.json", f"{folder}/notes.jsonl") if folder else ("", "")
    model = FakeRealtimeModel(faults_file=faults, notes_file=notes)
    return RealtimeAgent(instructions="You are the realtime agent of a shop.", llm=model)
