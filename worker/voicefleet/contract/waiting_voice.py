"""The waiting voice: the participant that speaks to a waiting caller until an agent comes.

It is neither a caller nor an agent. Its kind is AGENT, so that agents do not take it for a caller; its identity tells
it from an agent.
"""

from __future__ import annotations

import hashlib

WAITING_VOICE_PREFIX = "waiting-"

WAITING_VOICE_ATTRIBUTE = "voicefleet.waiting_message"
"""Participant attribute, always "1": how a front end tells the waiting voice."""

WAITING_TEXT_ATTRIBUTE = "voicefleet.waiting_message.text"
"""Participant attribute: what the waiting voice says, for front ends that show it."""


def waiting_voice_identity(room: str) -> str:
    """Who speaks in `room`.

    The same for every replica and every message: LiveKit puts a participant out when another one joins under its
    name, so one room never has two waiting voices, not even when the replicas cannot speak to each other.
    """
    return WAITING_VOICE_PREFIX + hashlib.sha256(room.encode()).hexdigest()[:16]


def is_waiting_voice(identity: str) -> bool:
    """Whether a participant of kind AGENT with this identity is the waiting voice."""
    return identity.startswith(WAITING_VOICE_PREFIX)
