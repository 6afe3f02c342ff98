"""Which rooms of a LiveKit server are calls of ours, as far as their name or metadata say it. Pure.

Whoever makes a room beforehand (`RoomService.CreateRoom`) orders an agent for it by its metadata, because LiveKit
ignores what tokens order for a room that exists:

    {"voicefleet": {"agent": "voicefleet", "tier": "fast", "metadata": "order 7", "language": "de"}}

`agent` is the name that dispatches ask for; the others may be left out. Where several regions have one LiveKit,
`deployment` names the region's. What else the metadata holds is the team's.
"""

from __future__ import annotations

import json

from voicefleet.contract.calls import LANGUAGE_PATTERN, MAX_METADATA_BYTES, TIER_PATTERN, CallOrder

ROOM_KEY = "voicefleet"
ORDERED, ALL = "ordered", "all"
ROOMS_PATTERN = r"^(ordered|all|[^*\s]{1,200}\*)$"
"""What the setting `rooms` may be: `ordered`, `all`, or the beginning of the names of rooms and a star."""


def served_by_name(rooms: str, room: str) -> bool:
    """Whether callers in `room` get an agent although nobody ordered one, where the setting is `rooms`."""
    return rooms == ALL or (rooms.endswith("*") and room.startswith(rooms[:-1]))


def order_in(metadata: str, agent_name: str, deployment: str = "") -> CallOrder | None:
    """What a room's metadata orders of the agent `agent_name`, of this `deployment`; None when it orders nothing of it.

    A tier or language that none can be, and metadata that are too long, are left out: the caller is served all the
    same.
    """
    if f'"{ROOM_KEY}"' not in metadata:
        return None
    try:
        raw = json.loads(metadata)
    except (ValueError, RecursionError):
        return None
    order = raw.get(ROOM_KEY) if isinstance(raw, dict) else None
    if not isinstance(order, dict) or order.get("agent") != agent_name:
        return None
    if order.get("deployment", "") != deployment:
        return None

    def text(name: str) -> str:
        value = order.get(name, "")
        return value if isinstance(value, str) else ""

    tier, language, own = text("tier"), text("language"), order.get("metadata", "")
    # Many keep JSON there: an object is as good as its text.
    own = own if isinstance(own, str) else json.dumps(own, separators=(",", ":"), ensure_ascii=False)
    return CallOrder(
        tier=tier if TIER_PATTERN.match(tier) else "",
        metadata=own if len(own.encode()) <= MAX_METADATA_BYTES else "",
        language=language if LANGUAGE_PATTERN.match(language) else "",
    )
