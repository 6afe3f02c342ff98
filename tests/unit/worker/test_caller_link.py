"""Whom the session hears: no observer, the caller of the ticket before others, and the same one after a handoff."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents.voice.room_io import RoomOptions

from support.fake_job import FakeRoom
from voicefleet.contract.callers import ROLE_ATTRIBUTE
from voicefleet.worker.job.caller_link import NOBODY, CallerLink, callers_in

pytestmark = pytest.mark.unit

OBSERVER = {ROLE_ATTRIBUTE: "observer"}


class FakeRoomIO:
    """As `RoomIO`: who is linked, by which identity."""

    def __init__(self, room: FakeRoom, identity: str) -> None:
        self.room, self.identity = room, identity
        self.moves: list[str] = []

    @property
    def linked_participant(self) -> Any:
        return self.room.remote_participants.get(self.identity)

    def set_participant(self, identity: str) -> None:
        self.identity = identity
        self.moves.append(identity)


class Linked:
    """A link, and the session that starts with it."""

    def __init__(self, room: FakeRoom, *named: str, **options: Any) -> None:
        self.room, self.link = room, CallerLink(cast(Any, room), named)
        self.session = SimpleNamespace(_room_io=None)
        self.link.watch()
        given = {"room": room, "record": False, **options}
        self.given = self.link.options(cast(Any, self.session), given)

    def start(self) -> FakeRoomIO:
        self.session._room_io = room_io = FakeRoomIO(self.room, self.first)
        return room_io

    @property
    def first(self) -> str:
        """Whom the session is started with."""
        return str(self.given["room_options"].participant_identity)


def test_an_observer_who_joined_first_does_not_take_the_agents_ear() -> None:
    room = FakeRoom()
    room.joins("boss", more=OBSERVER)
    room.joins("wall", publishes=False)
    linked = Linked(room)
    assert linked.first == NOBODY, "and nobody else is linked meanwhile"
    room_io = linked.start()
    room.joins("ann")
    assert room_io.identity == "ann"
    assert callers_in(cast(Any, room)) == ["ann"]
    room.joins("late", more=OBSERVER)
    assert room_io.moves == ["ann"]


def test_a_caller_who_is_there_is_linked_from_the_start_and_what_the_team_gave_stays() -> None:
    room = FakeRoom()
    room.joins("ann")
    linked = Linked(room, room_input_options=None, room_options=RoomOptions(close_on_disconnect=False))
    assert linked.first == "ann"
    assert linked.given["room_options"].close_on_disconnect is False
    assert linked.given["record"] is False
    assert linked.start().moves == []


def test_the_caller_of_the_ticket_comes_before_who_joined_first() -> None:
    room = FakeRoom()
    room.joins("bob")
    linked = Linked(room, "ann", "")
    room_io = linked.start()
    assert room_io.identity == "bob"
    room.joins("ann")
    assert (room_io.identity, linked.link.caller) == ("ann", "ann")
    room.leaves("ann")
    assert room_io.identity == "bob", "somebody is there, and is heard"
    room.joins("ann")
    assert room_io.identity == "ann"


def test_whom_the_agent_heard_before_a_handoff_it_hears_after_it() -> None:
    room = FakeRoom()
    room.joins("bob")
    room.joins("ann")
    assert Linked(room, "", "ann").first == "ann"


def test_who_is_alone_and_comes_back_is_heard_as_before() -> None:
    room = FakeRoom()
    room.joins("ann")
    linked = Linked(room)
    room_io = linked.start()
    room.leaves("ann")
    assert linked.link.caller == "ann", "its transcript stays of the same caller"
    room.joins("ann")
    assert room_io.identity == "ann"


def test_a_participant_that_the_team_names_is_not_overruled() -> None:
    room = FakeRoom()
    room.joins("ann")
    linked = Linked(room, room_options=RoomOptions(participant_identity="bob"))
    assert linked.first == "bob"
    room.joins("bob")
    assert linked.start().moves == []
    room = FakeRoom()
    room.joins("ann")
    linked = Linked(room)
    room_io = linked.start()
    room.joins("bob")
    room_io.identity = "bob"  # the team's own `set_participant`
    room.joins("cid")
    assert room_io.moves == []


def test_a_role_that_does_not_exist_is_told_once_and_the_caller_served() -> None:
    room, told = FakeRoom(), []
    room.joins("ann", more={ROLE_ATTRIBUTE: "obsever"})
    link = CallerLink(cast(Any, room), (), lambda: told.append(1))
    link.watch()
    room.joins("bob")
    assert (link.caller, told) == ("ann", [1])


def test_a_session_without_a_room_is_left_as_it_is() -> None:
    link = CallerLink(cast(Any, FakeRoom()), ())
    given = {"record": False}
    assert link.options(cast(Any, SimpleNamespace(_room_io=None)), given) is given
