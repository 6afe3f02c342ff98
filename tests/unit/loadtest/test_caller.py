"""The caller's first moments in a room, against a room that is quicker than the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from support.virtual_time import LoopClock, run
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.port import RoomAct
from voicefleet.contract.api import CallTicket
from voicefleet.speech.clips import load_utterances

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


def test_the_client_acts_before_the_first_word_and_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc, "Room", EagerRoom)

    async def scenario() -> None:
        done: list[str] = []

        async def press(_: rtc.Room) -> None:
            done.append("press")

        async def release(_: rtc.Room) -> None:
            done.append("release")

        clock = LoopClock()
        settings = CallerSettings(before_question=press, after_question=release)
        caller = Caller("c", CallTicket(url="ws://x", token="t", room="r", region="eu"), (), settings, clock=clock)
        question = load_utterances()[0]
        end_s = question.speech_end_sample / question.sample_rate

        class Client:
            async def act(self, act: RoomAct) -> None:
                await act(rtc.Room())

            async def until_silent(self) -> None:
                done.append("silent")

            async def say(self, _: Any) -> float:
                done.append("say")
                return clock.monotonic()

        dialogue = SimpleNamespace(asked=lambda _start_s, _t0_s: done.append("asked"))
        began_s = clock.monotonic()
        caller._client = Client()  # type: ignore[assignment]
        await caller._ask(dialogue, question)  # type: ignore[arg-type]
        assert done == ["silent", "press", "say", "asked", "release"]
        assert clock.monotonic() - began_s == pytest.approx(end_s)

    run(scenario())
