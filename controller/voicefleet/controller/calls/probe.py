"""Liveness probe: ask an agent through LiveKit whether it lives (see `contract.probe`)."""

from __future__ import annotations

import enum
import secrets

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.ports import LiveKitPort
from voicefleet.runtime.clock import Clock

ANSWER_WITHIN_S = 1.2
SEND_AGAIN_S = 0.5
ABSENT_FOR_S = 0.6
_LOOK_EVERY_S = 0.1
_LOOKS_AT_LEAST = 4
"""Fewer looks within the time: LiveKit, or we ourselves, were too slow for silence to mean anything."""


class ProbeResult(enum.StrEnum):
    """What came of it; a label of metrics."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    ABSENT = "absent"
    """The agent is not in the room, and the caller is."""
    NO_CALLER = "no_caller"
    """Nobody is there whom it could serve."""
    UNKNOWN = "unknown"
    """LiveKit did not answer, or was slow."""


async def probe_agent(livekit: LiveKitPort, clock: Clock, room: str, identity: str) -> ProbeResult:
    """Ask the agent `identity` in `room`, twice; returns within about `ANSWER_WITHIN_S` when LiveKit is well."""
    nonce = secrets.token_hex(4)
    began_s = clock.monotonic()
    sends = looks = 0
    try:
        while True:
            there = await livekit.list_participants(room)
            if not any(p.caller for p in there):
                return ProbeResult.NO_CALLER
            agent = next((p for p in there if p.identity == identity), None)
            passed_s = clock.monotonic() - began_s
            if agent is None:
                # After a restart of LiveKit all come back, one after the other.
                if passed_s >= ABSENT_FOR_S:
                    return ProbeResult.ABSENT
                await clock.sleep(_LOOK_EVERY_S)
                continue
            if agent.alive == nonce:
                return ProbeResult.ANSWERED
            if passed_s >= ANSWER_WITHIN_S:
                return ProbeResult.UNANSWERED if looks >= _LOOKS_AT_LEAST else ProbeResult.UNKNOWN
            if passed_s >= sends * SEND_AGAIN_S and sends < 2:
                await livekit.send_probe(room, identity, nonce)
                sends += 1
            looks += 1
            await clock.sleep(_LOOK_EVERY_S)
    except UnknownStateError:
        return ProbeResult.UNKNOWN
