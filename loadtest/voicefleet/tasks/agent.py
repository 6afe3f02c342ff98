"""The agent that is called in tasks: tools over a small desk, and no words of its own but the greeting.

Which tool is called when, and what is said, is the LLM's or the responder's part: any of them drives it. A factory as
any team's: ``--agent voicefleet.tasks.agent:desk``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from livekit.agents import Agent, ToolError, function_tool, get_job_context

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_json
from voicefleet.tasks.desk import Desk, DeskError
from voicefleet.worker.call import CallContext

STATE_ATTRIBUTE = "voicefleet.state"
"""Participant attribute of the agent: its final state as JSON, for a task's checks. Any team's agent may set it."""

GREETING = "Blue Door restaurant, how can I help you?"

INSTRUCTIONS = """You are the phone desk of the restaurant Blue Door. Answer in one short sentence.
To book a table you need the day, the time, how many people, and a name: ask for what is missing, one thing at a time.
Days are monday to sunday, times such as 19:00, numbers digits. Call a tool only when you know all it needs.
Say what a tool answers. When you did not understand, say: Sorry, could you say that again?
We are open every day from eleven to eleven. The address is twelve Market Street. There is parking behind the house.
There are vegetarian dishes. Dogs and children are welcome. A menu costs thirty dollars. We deliver nothing."""


class DeskAgent(Agent):
    """Answers the desk's phone."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._desk = desk

    async def on_enter(self) -> None:
        self.session.say(GREETING)
        # Also of a call in which no tool is called, rightly: a check asks what is left of the bookings.
        await self._tell_state()

    @function_tool
    async def book(self, name: str, day: str, time: str, people: int) -> str:
        """Book a table.

        Args:
            name: one word.
            day: monday to sunday.
            time: of 24 hours, such as 19:00.
            people: how many.
        """
        return await self._done(lambda: self._desk.book(name, day, time, people))

    @function_tool
    async def change(self, name: str, day: str = "", time: str = "", people: int = 0) -> str:
        """Change a booking. What is left out stays.

        Args:
            name: of the booking.
            day: the new day, monday to sunday.
            time: the new time, such as 19:00.
            people: the new number of people.
        """
        return await self._done(lambda: self._desk.change(name, day, time, people))

    @function_tool
    async def cancel(self, name: str) -> str:
        """Cancel a booking.

        Args:
            name: of the booking.
        """
        return await self._done(lambda: self._desk.cancel(name))

    @function_tool
    async def look_up(self, name: str) -> str:
        """Look a booking up.

        Args:
            name: of the booking.
        """
        return await self._done(lambda: self._desk.look_up(name))

    @function_tool
    async def leave_number(self, number: str) -> str:
        """Keep the caller's phone number.

        Args:
            number: digits only.
        """
        return await self._done(lambda: self._desk.leave_number(number))

    @function_tool
    async def transfer(self) -> str:
        """Pass the caller to a person."""
        return await self._done(self._desk.transfer)

    async def _done(self, act: Callable[[], str]) -> str:
        try:
            told = act()
        except DeskError as error:
            raise ToolError(str(error)) from error
        # Before the words: a caller that hangs up as soon as it hears them has seen the state.
        await self._tell_state()
        return told

    async def _tell_state(self) -> None:
        me = get_job_context().room.local_participant
        await me.set_attributes({STATE_ATTRIBUTE: json.dumps(self._desk.state())})


def desk(call: CallContext) -> Agent:
    """The factory: the call's metadata, if any, is the desk's state at the begin."""
    state: Any = parse_json(call.order.metadata, field="metadata") if call.order.metadata else {}
    if not isinstance(state, dict):
        raise ConfigError("must be a mapping", field="metadata", hint="Give the bookings as a task file does.")
    return DeskAgent(Desk.of(state))
