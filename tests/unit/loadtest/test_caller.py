"""The caller's first moments in a room, against a room that is quicker than the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from voicefleet.callers.caller import Caller
from voicefleet.contract.api import CallTicket

pytestmark = pytest.mark.unit


class EagerRoom:
    """Delivers an agent's arrival on the next turn of the loop after the join, as the SDK may."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.remote_participants: dict[str, Any] = {}
        self.local_participant = SimpleNamespace(publish_track=self._refuse)
        self.disconnected = False

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        self.handlers[event] = handler

    async def connect(self, _url: str, _token: str, _options: rtc.RoomOptions) -> None:
        agent = SimpleNamespace(kind=rtc.ParticipantKind.PARTICIPANT_KIND_AGENT, identity="agent")
        asyncio.get_running_loop().call_soon(self.handlers["participant_connected"], agent)

    async def disconnect(self) -> None:
        self.disconnected = True

    async def _refuse(self, *_: Any) -> None:
        raise RuntimeError("publishing refused")


async def test_what_happens_right_after_the_join_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    room = EagerRoom()
    monkeypatch.setattr(rtc, "Room", lambda: room)
    outcome = await Caller("c", CallTicket(url="ws://x", token="t", room="r", region="eu"), ()).run()
    assert outcome.wait_s is not None
    assert [kind for _, kind in outcome.events] == ["joined", "agent_joined"]


async def test_a_failure_of_our_own_is_an_error_and_not_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    room = EagerRoom()
    monkeypatch.setattr(rtc, "Room", lambda: room)
    outcome = await Caller("c", CallTicket(url="ws://x", token="t", room="r", region="eu"), ()).run()
    assert "publishing refused" in str(outcome.error)
    assert (outcome.cut, outcome.silent, room.disconnected) == (False, False, True)
