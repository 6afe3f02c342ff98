"""Listens to what an agent's session reports to the caller's room: its words, what it understood, its tools' calls.

The session does so by livekit-agents' own protocol (topic ``lk.agent.session``) to the identities that the tier's
`session_host` names; an agent that hosts none is still played, and its checks of tools then fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents.voice.remote_session import RemoteSession, RoomSessionTransport
from livekit.protocol.agent_pb import agent_session as pb

from voicefleet.runtime.clock import Clock
from voicefleet.tasks.agent import STATE_ATTRIBUTE
from voicefleet.tasks.record import SaidText, ToolCall


class SessionObserver:
    """Collects the reports of one room. `start` before joining; times are of `clock`.

    Args:
        said: told of words of the agent, once it has said them.
    """

    def __init__(self, room: rtc.Room, clock: Clock, said: Callable[[SaidText], None]) -> None:
        self.tools: list[ToolCall] = []
        self.said: list[SaidText] = []
        self.understood: list[SaidText] = []
        self.state = ""
        self._room = room
        self._clock = clock
        self._tell = said
        self._session = RemoteSession(RoomSessionTransport(room))
        self._session.on("conversation_item_added", self._on_item)
        self._session.on("function_tools_executed", self._on_tools)
        room.on("participant_attributes_changed", self._on_attributes)

    async def start(self) -> None:
        """Take reports from now on."""
        await self._session.start()

    async def aclose(self) -> None:
        """No more reports are taken."""
        await self._session.aclose()

    def _on_item(self, event: Any) -> None:
        item = event.conversation_item_added.item
        if item.WhichOneof("item") != "message":
            return
        message = item.message
        text = " ".join(part.text for part in message.content if part.text).strip()
        if not text:
            return
        if not self.state:
            self._read_state()
        found = SaidText(text, self._clock.monotonic(), bool(message.interrupted))
        if message.role == pb.ASSISTANT:
            self.said.append(found)
            self._tell(found)
        elif message.role == pb.USER:
            self.understood.append(found)

    def _on_tools(self, event: Any) -> None:
        executed = event.function_tools_executed
        outputs = {output.call_id: output for output in executed.function_call_outputs}
        for call in executed.function_calls:
            output = outputs.get(call.call_id)
            self.tools.append(
                ToolCall(
                    name=call.name,
                    arguments=_sorted(call.arguments),
                    output=output.output if output else "",
                    failed=output.is_error if output else True,
                    at_s=self._clock.monotonic(),
                )
            )

    def _read_state(self) -> None:
        """What an agent that was in the room before the caller has told already: nothing changed since."""
        for participant in self._room.remote_participants.values():
            self._on_attributes(dict(participant.attributes), participant)

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and STATE_ATTRIBUTE in changed:
            self.state = changed[STATE_ATTRIBUTE]


def _sorted(arguments: str) -> str:
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        return "{}"
    return json.dumps(found if isinstance(found, dict) else {}, sort_keys=True)
