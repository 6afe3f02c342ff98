"""Who in a room is a caller, and which of several callers the agent listens to: one rule for worker and controller.

A caller is a person (or a phone, or a connector to one) that may be heard: of kind STANDARD, SIP or CONNECTOR, with
the right to publish a microphone, and no observer. Only callers get, hold or move an agent. Agents, recorders and
ingress streams are none; nor is who may not publish, says `voicefleet.role=observer`, or is an agent's avatar.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ON_BEHALF_ATTRIBUTE = "lk.publish_on_behalf"
"""livekit-agents' attribute of an avatar: the agent whose voice it is."""

ROLE_ATTRIBUTE = "voicefleet.role"
"""Participant attribute, put into the token by whoever makes it: one of `Role`."""

CALLER_KINDS = frozenset({"STANDARD", "SIP", "CONNECTOR"})
MICROPHONE = "microphone"


class Role(enum.StrEnum):
    """What a participant is there for. Without the attribute: a caller, if it may be heard."""

    CALLER = "caller"
    OBSERVER = "observer"
    """Listens, supervises or records: never a caller, whatever it may publish."""


@dataclass(frozen=True, slots=True)
class Presence:
    """One participant of a room, as far as the rule looks at it."""

    identity: str
    kind: str
    """LiveKit's name of it, such as ``STANDARD``."""
    joined_ms: int = 0
    """When it joined, on LiveKit's clock."""
    may_publish: bool = True
    sources: frozenset[str] = frozenset()
    """What it may publish, such as ``microphone``; empty: anything."""
    role: str = ""
    """Value of `ROLE_ATTRIBUTE`; empty when it has none."""
    speaks_for: str = ""
    """The agent that it is the avatar of; empty: of none."""

    @classmethod
    def of(
        cls,
        identity: str,
        kind: str,
        attributes: Mapping[str, str],
        *,
        joined_ms: int,
        may_publish: bool,
        sources: Iterable[str],
    ) -> Presence:
        """From what LiveKit's clients and its server API call things, whose names differ by a prefix."""
        return cls(
            identity,
            kind.removeprefix("PARTICIPANT_KIND_"),
            joined_ms,
            may_publish,
            frozenset(source.removeprefix("SOURCE_").lower() for source in sources),
            attributes.get(ROLE_ATTRIBUTE, ""),
            attributes.get(ON_BEHALF_ATTRIBUTE, ""),
        )


def is_caller(who: Presence) -> bool:
    """Whether `who` is a caller. A role that does not exist says nothing (see `unknown_role`)."""
    if who.kind not in CALLER_KINDS or who.role == Role.OBSERVER or who.speaks_for:
        return False
    return who.may_publish and (not who.sources or MICROPHONE in who.sources)


def unknown_role(who: Presence) -> bool:
    """Whether `who` has a role that does not exist: it is taken for what it is without one."""
    return bool(who.role) and who.role not in tuple(Role)


def callers(there: Iterable[Presence]) -> list[Presence]:
    """The callers among those in a room, the one who joined first is first."""
    return sorted((who for who in there if is_caller(who)), key=lambda who: (who.joined_ms, who.identity))


def choose_caller(there: Iterable[Presence], named: Iterable[str] = ()) -> str:
    """Identity of the caller that the agent listens to; empty when no caller is there.

    Args:
        named: identities that come before all others, the first of them first: whom the ticket is for, then whom the
            agent listened to before (in this job, or in the one that had the call).
    """
    found = callers(there)
    here = {who.identity for who in found}
    wanted = next((identity for identity in named if identity in here), "")
    return wanted or (found[0].identity if found else "")
