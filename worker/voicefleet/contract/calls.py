"""A call, as the controller and the worker that serves it know it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

CALL_TTL_MS = 86_400_000

TICKET_TTL_S = 60
"""A ticket that lies unused for longer lets nobody in (LiveKit allows a minute more, for clocks that differ)."""

KEY_ATTRIBUTE = "voicefleet.key"
"""Participant attribute of a caller with a ticket: name of the API key that asked for it. Signed with the ticket, and a
caller may not change its own attributes."""

TIER_PATTERN = re.compile(r"^[a-z0-9]([a-z0-9_-]{0,62})$")
MAX_METADATA_BYTES = 8_192

MAX_PRIORITY = 9
PRIORITY_LEVEL_MS = 10_000
"""One level of a waiting call's priority is worth so much waiting: nobody starves."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What the controller keeps of a call from its order to its end.

    `metadata` is the front end's and goes to the agent as it came; it may hold personal data, so it is never logged.
    """

    room: str
    region: str
    tier: str = ""
    metadata: str = ""
    key: str = ""
    """Name of the API key that asked for the call, for its limits; empty for a call that came without us."""
    max_duration_s: float = 0.0
    """The call is ended after this; 0 for no bound."""
    priority: int = 0
    """0 to 9; the higher one is served first, unless the other waits 10 s longer for each level between them."""
    traceparent: str = ""
    """W3C trace context of the request that ordered the call; empty when nobody traces."""


@dataclass(frozen=True, slots=True)
class DispatchMetadata:
    """The text that travels in a LiveKit dispatch: from `POST /v1/calls`, or a front end's own token, to the job."""

    tier: str = ""
    metadata: str = ""
    attempt: int = 0
    """0: LiveKit's own dispatch at room creation; n: the controller's n-th."""
    extra: dict[str, Any] = field(default_factory=dict)
    traceparent: str = ""
    """W3C trace context of what led to this dispatch; empty when nobody traces."""

    def encode(self) -> str:
        fields: dict[str, Any] = {
            "v": 1,
            "tier": self.tier,
            "metadata": self.metadata,
            "attempt": self.attempt,
        }
        if self.traceparent:
            fields["traceparent"] = self.traceparent
        return json.dumps({**fields, **self.extra}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> DispatchMetadata:
        """Read a dispatch's metadata. A front end that makes its own token may have put any text there: a text that
        is not ours is the call's metadata, whole."""
        try:
            raw = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            return cls(metadata=text)
        if not isinstance(raw, dict) or "v" not in raw:
            return cls(metadata=text)
        known = {"v", "tier", "metadata", "attempt", "traceparent"}
        try:
            return cls(
                tier=str(raw.get("tier", "")),
                metadata=str(raw.get("metadata", "")),
                attempt=int(raw.get("attempt", 0)),
                traceparent=str(raw.get("traceparent", "")),
                extra={k: v for k, v in raw.items() if k not in known},
            )
        except (TypeError, ValueError, OverflowError):
            # Somebody else's JSON that happens to have a "v": a caller must not be left in silence for it.
            return cls(metadata=text)
