"""What the clients of some agents do around a question: press a button, type digits."""

from __future__ import annotations

import contextlib

from livekit import rtc

RPC_LIMIT_S = 3.0
DIGITS = "1234"


async def press_button(room: rtc.Room) -> None:
    """Ask for the word, as the client of a push-to-talk agent does."""
    await _tell_agent(room, "start_turn")


async def release_button(room: rtc.Room) -> None:
    """Give the word back: now the agent is to answer."""
    await _tell_agent(room, "end_turn")


async def type_digits(room: rtc.Room) -> None:
    """Type four digits on the keypad."""
    for digit in DIGITS:
        await room.local_participant.publish_dtmf(code=int(digit), digit=digit)


async def _tell_agent(room: rtc.Room, method: str) -> None:
    """Call `method` on the agents in the room until one takes it. While a call moves there are two, and after a crash
    one that is dead: the caller then hears no answer, which is what counts."""
    agents = [p for p in room.remote_participants.values() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]
    for agent in agents:
        with contextlib.suppress(rtc.RpcError):
            await room.local_participant.perform_rpc(
                destination_identity=agent.identity, method=method, payload="", response_timeout=RPC_LIMIT_S
            )
            return
