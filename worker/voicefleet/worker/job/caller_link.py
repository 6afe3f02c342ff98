"""Links the session to the caller that it is to hear: the rule of `contract.callers`, applied as people come and go.

livekit-agents links a session to whoever is in the room first, an observer too, and keeps to that one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypeAlias, get_args

from livekit import rtc
from livekit.agents import AgentSession

from voicefleet.contract.callers import Presence, callers, choose_caller, unknown_role
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk

NOBODY = "voicefleet-no-caller-yet"
"""An identity that no participant has: until a caller is there, nobody is linked."""

PresenceEvent: TypeAlias = Literal[
    "participant_connected",
    "participant_disconnected",
    "participant_attributes_changed",
    "participant_permissions_changed",
]
PRESENCE_EVENTS: tuple[PresenceEvent, ...] = get_args(PresenceEvent)
"""What may change who is a caller."""

log = get_logger(__name__)


def presence_of(who: rtc.RemoteParticipant) -> Presence:
    """What the caller rule looks at of a participant."""
    permissions = who.permissions
    return Presence.of(
        who.identity,
        rtc.ParticipantKind.Name(who.kind),
        who.attributes,
        joined_ms=round(who.joined_at.timestamp() * 1000) if who.joined_at is not None else 0,
        may_publish=permissions.can_publish,
        sources=(rtc.TrackSource.Name(source) for source in permissions.can_publish_sources),
    )


def callers_in(room: rtc.Room) -> list[str]:
    """The identities of the callers in `room`, who joined first is first."""
    return [who.identity for who in callers(presence_of(p) for p in room.remote_participants.values())]


class CallerLink:
    """Which caller the session hears.

    Invariant: while a caller is in the room the session is linked to the first of these that is there: whom the call
    was ordered for, whom the agent heard before (in this job, or in the one that had the call), who joined first.
    Nobody who is no caller is ever linked. A team that names a participant itself
    (`RoomOptions.participant_identity`, or `room_io.set_participant`) is not overruled.

    Args:
        named: identities that come before all others, empty ones are left out.
        unknown_role: told once of each participant whose role does not exist.
    """

    def __init__(self, room: rtc.Room, named: Sequence[str], unknown_role: Callable[[], None] = lambda: None) -> None:
        self._room = room
        self._named = [identity for identity in named if identity]
        self._unknown_role = unknown_role
        self._kinds: Collection[int] | None = None
        self._session: AgentSession[Any] | None = None
        self._linked = ""
        """Whom we linked last; `NOBODY` before a caller came."""
        self._told: set[str] = set()
        self._ours = False
        """False: the team's own choice, or no session yet."""
        self.caller = ""
        """The caller that the agent hears, or heard last; empty before one came."""

    def watch(self) -> None:
        """Follow who comes and goes, from now on."""
        for event in PRESENCE_EVENTS:
            self._room.on(event, lambda *_: self.look())
        self.look()

    def options(self, session: AgentSession[Any], given: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `session.start`, with the room options that link the caller; before the start.

        Args:
            given: keyword arguments that the team, or we, start the session with.
        """
        if given.get("room") is None:
            return given
        options, rest = sdk.split_room_options(given)
        if sdk.names_participant(options):
            return given
        self._session, self._ours = session, True
        self._kinds = options.participant_kinds or None
        self.look()
        self._linked = self._linked or NOBODY
        return {**rest, "room_options": sdk.with_participant(options, self._linked)}

    def look(self) -> None:
        """Somebody came, went or changed."""
        there = [presence_of(p) for p in self._room.remote_participants.values() if self._takes(p)]
        for who in there:
            if unknown_role(who) and who.identity not in self._told:
                self._told.add(who.identity)
                log.warning("a participant's role does not exist, it counts as none", hint="The one role is: observer.")
                self._unknown_role()
        caller = choose_caller(there, self._named)
        if not caller:
            return  # whom the session heard may come back
        if caller not in self._named:
            # Who was first keeps the ear, also after being away for a moment.
            self._named.append(caller)
        self.caller = caller
        self._link(caller)

    def _takes(self, who: rtc.RemoteParticipant) -> bool:
        return self._kinds is None or who.kind in self._kinds

    def _link(self, caller: str) -> None:
        room_io = sdk.room_of(self._session) if self._session is not None and self._ours else None
        if room_io is None:
            self._linked = caller
            return
        current = room_io.linked_participant
        if current is not None and current.identity not in (caller, self._linked):
            self._ours = False  # the team linked somebody itself
            return
        self._linked = caller
        if current is None or current.identity != caller:
            room_io.set_participant(caller)
