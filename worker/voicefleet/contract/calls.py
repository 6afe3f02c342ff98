"""A call, as the controller and the worker that serves it know it."""

from __future__ import annotations

import dataclasses
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

AGENT_ATTRIBUTE = "voicefleet.agent"
"""Participant attribute of a caller with a ticket, in a region with several agents: the name that dispatches ask for,
of the agent that the ticket is for."""

DEPLOYMENT_ATTRIBUTE = "voicefleet.deployment"
"""Participant attribute of a caller with a ticket, where several regions have one LiveKit: the deployment that the
region's dispatches are pinned to."""

TIER_PATTERN = re.compile(r"^[a-z0-9]([a-z0-9_-]{0,62})$")
LANGUAGE_PATTERN = re.compile(r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}$")
MAX_METADATA_BYTES = 8_192

MAX_PRIORITY = 9
PRIORITY_LEVEL_MS = 10_000
"""One level of a waiting call's priority is worth so much waiting: nobody starves."""


@dataclass(frozen=True, slots=True)
class CallOrder:
    """What a call was ordered with: the same in the call's record, in each of its dispatches and for its agent.

    A new field is written here, and in `contract.api.CallRequest`, which says how a front end may ask for it; every
    other place takes the fields from here. All are text, empty when not given.
    """

    tier: str = ""
    """Speed/quality setting of the pipeline; empty: the worker's default."""
    metadata: str = ""
    """The front end's own text, passed to the agent as it came. It may hold personal data, so it is never logged."""
    language: str = ""
    """BCP 47 tag of the language that the caller speaks, for the agent."""
    traceparent: str = ""
    """W3C trace context of the request that ordered the call; empty when nobody traces."""


ORDER_FIELDS = tuple(field.name for field in dataclasses.fields(CallOrder))


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What the controller keeps of a call from its order to its end."""

    room: str
    region: str
    order: CallOrder = CallOrder()
    key: str = ""
    """Name of the API key that asked for the call, for its limits; empty for a call that came without us."""
    max_duration_s: float = 0.0
    """The call is ended after this; 0 for no bound."""
    caller: str = ""
    """Identity of the ticket; empty for a call that came without us."""
    priority: int = 0
    """0 to 9; the higher one is served first, unless the other waits 10 s longer for each level between them."""
    outbound: bool = False
    """We dial the callee: see `contract.dials`."""
    placement: str = ""
    """Why it is in its region, in words; empty where there is only one, and for a call that came without us."""


@dataclass(frozen=True, slots=True)
class DispatchMetadata:
    """The text that travels in a LiveKit dispatch: from `POST /v1/calls`, or a front end's own token, to the job."""

    order: CallOrder = CallOrder()
    attempt: int = 0
    """0: LiveKit's own dispatch at room creation; n: the controller's n-th."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields of a front end's own token, or of a newer release: they stay as they are."""
    caller: str = ""
    """Identity of the participant that the call is for; empty: the first caller. It may hold personal data."""

    def encode(self) -> str:
        order = {name: text for name in ORDER_FIELDS if (text := getattr(self.order, name))}
        caller = {"caller": self.caller} if self.caller else {}
        return json.dumps({"v": 1, **order, "attempt": self.attempt, **caller, **self.extra}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> DispatchMetadata:
        """Read a dispatch's metadata. A front end that makes its own token may have put any text there: a text that
        is not ours is the call's metadata, whole."""
        own_text = cls(CallOrder(metadata=text))
        try:
            raw = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            return own_text
        if not isinstance(raw, dict) or "v" not in raw:
            return own_text
        known = {"v", "attempt", "caller", *ORDER_FIELDS}
        try:
            return cls(
                order=CallOrder(**{name: str(raw.get(name, "")) for name in ORDER_FIELDS}),
                attempt=int(raw.get("attempt", 0)),
                caller=str(raw.get("caller", "")),
                extra={k: v for k, v in raw.items() if k not in known},
            )
        except (TypeError, ValueError, OverflowError):
            # Somebody else's JSON that happens to have a "v": a caller must not be left in silence for it.
            return own_text
