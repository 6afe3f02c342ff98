"""The hold voice: what speaks to a waiting caller until an agent comes. It is neither a caller nor an agent.

It is a participant of kind AGENT, so that agents do not take it for a caller, and its identity tells it from an agent.
"""

from __future__ import annotations

import hashlib

HOLD_PREFIX = "hold-"

HOLD_ATTRIBUTE = "voicefleet.hold"
"""Participant attribute, always "1": how a front end tells the hold voice."""

HOLD_TEXT_ATTRIBUTE = "voicefleet.hold.text"
"""Participant attribute: what the hold voice says, for front ends that show it."""


def hold_identity(room: str) -> str:
    """Who speaks in `room`.

    The same for every replica and every message: LiveKit puts a participant out when another one joins under its
    name, so one room never has two hold voices, not even when the replicas cannot speak to each other.
    """
    return HOLD_PREFIX + hashlib.sha256(room.encode()).hexdigest()[:16]


def is_hold(identity: str) -> bool:
    """Whether a participant of kind AGENT with this identity is the hold voice."""
    return identity.startswith(HOLD_PREFIX)
