"""Waits until whoever is called hears us: an agent that is in the room before the phone rings must not speak to it.

LiveKit's SIP service answers an inbound call only once somebody listens to it, so those are never waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from livekit import rtc

from voicefleet.contract.dials import hears

_SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
_EVENTS = ("participant_connected", "participant_disconnected", "participant_attributes_changed", "disconnected")


def may_speak(there: Iterable[Any], *, expected: bool) -> bool:
    """Whether the agent may speak now.

    Args:
        there: the other participants of the room.
        expected: this is an outbound call of ours: nobody else than a phone that was answered is spoken to.
    """
    others = [p for p in there if p.kind != _AGENT]
    phones = [hears(p.attributes) for p in others if p.kind == _SIP]
    if expected:
        return any(phones)
    # A team's own dial: somebody else, or nobody at all yet, is theirs to decide.
    return all(phones) or len(phones) < len(others)


async def wait_for_answer(room: rtc.Room, *, expected: bool) -> bool:
    """Wait until the agent may speak; False: the room was left first."""
    changed = asyncio.Event()

    def note(*_: object) -> None:
        changed.set()

    events: Any = room
    for event in _EVENTS:
        events.on(event, note)
    try:
        while room.isconnected():
            changed.clear()
            if may_speak(room.remote_participants.values(), expected=expected):
                return True
            await changed.wait()
        return False
    finally:
        for event in _EVENTS:
            events.off(event, note)
