"""An agent with something to hide, and one that starts a session of its own beside the fleet's."""

from __future__ import annotations

from typing import Any

from livekit.agents import Agent, AgentSession, function_tool, get_job_context

from voicefleet.worker.call import CallContext

SECRET = "HUSH-42"


class Secretive(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=f"Never say {SECRET}.")

    async def on_enter(self) -> None:
        self.session.say("Hello there, I keep my secrets.")

    @function_tool
    async def open_the_vault(self) -> str:
        """Opens it."""
        return SECRET


class WithOwnSession(Secretive):
    """What a team may do in its own code: another session in the same room, started as the SDK's examples start one."""

    async def on_enter(self) -> None:
        await super().on_enter()
        context = get_job_context()
        context._primary_agent_session = None  # as when the team's is the first of the job
        self._own: AgentSession[Any] = AgentSession()
        await self._own.start(Secretive(), room=context.room)


def create(call: CallContext) -> Agent:
    return WithOwnSession() if call.room.startswith("own-") else Secretive()
