"""The waiting voice: the participant that plays the waiting message until an agent joins.

It is neither a caller nor an agent. It has the kind AGENT, so that agents do not take it for a caller; its identity
distinguishes it from an agent.
"""

from __future__ import annotations

import hashlib

WAITING_VOICE_PREFIX = "waiting-voice-"

WAITING_VOICE_ATTRIBUTE = "voicefleet.waiting_voice"
"""Participant attribute, always "1": how a front end recognises the waiting voice."""

WAITING_VOICE_TEXT_ATTRIBUTE = "voicefleet.waiting_voice.text"
"""Participant attribute: the text of the waiting message, for front ends that show it."""


def waiting_voice_identity(room: str) -> str:
    """The identity of the waiting voice in `room`.

    The same for every replica and every message: LiveKit puts a participant out when another one joins under its
    name, so one room never has two waiting voices, not even when the replicas cannot speak to each other.
    """
    return WAITING_VOICE_PREFIX + hashlib.sha256(room.encode()).hexdigest()[:16]


def is_waiting_voice(identity: str) -> bool:
    """Whether a participant of kind AGENT with this identity is the waiting voice."""
    return identity.startswith(WAITING_VOICE_PREFIX)
