"""What the clients of some agents do around a question: press a button, type digits."""

from __future__ import annotations

import asyncio
import contextlib

from livekit import rtc

RPC_LIMIT_S = 1.5
PRESS_LIMIT_S = 8.0
PRESS_EVERY_S = 0.3
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
    """Call `method` until an agent takes it, as whoever presses a button that does nothing presses it again.

    While a call moves there are two agents in the room, and after a crash for a moment a dead one. When none takes it
    in time, the caller hears no answer, which is what counts.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PRESS_LIMIT_S):
            while not await _taken(room, method):
                await asyncio.sleep(PRESS_EVERY_S)


async def _taken(room: rtc.Room, method: str) -> bool:
    agents = [p for p in room.remote_participants.values() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]
    for agent in agents:
        with contextlib.suppress(rtc.RpcError):
            await room.local_participant.perform_rpc(
                destination_identity=agent.identity, method=method, payload="", response_timeout=RPC_LIMIT_S
            )
            return True
    return False
