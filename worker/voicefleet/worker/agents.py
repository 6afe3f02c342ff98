"""The default agent, for when a team has not brought its own: it greets, then answers by the tier's LLM."""

from __future__ import annotations

from livekit.agents import Agent

from voicefleet.worker.call import CallContext
from voicefleet.worker.job.sdk import can_say


class Assistant(Agent):
    """Greets the caller, then answers each turn."""

    def __init__(self, greeting: str) -> None:
        super().__init__(instructions="You are a friendly assistant on the phone. Answer in one short sentence.")
        self._greeting = greeting

    async def on_enter(self) -> None:
        if can_say(self.session):
            self.session.say(self._greeting)
        else:
            self.session.generate_reply(instructions=f'Greet the caller. Say: "{self._greeting}"')


def assistant(_: CallContext) -> Agent:
    """The default factory."""
    return Assistant("Hello, how can I help you?")
