"""An agent whose voice comes from its avatar: what it says is over when the avatar leaves, and it waits for one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.room_io import ATTRIBUTE_PUBLISH_ON_BEHALF

from support.fake_job import FakeRoom
from support.virtual_time import now_s, run
from voicefleet.worker.job import sdk
from voicefleet.worker.job.avatar import READY_LIMIT_S, AvatarWatch, wait_for_avatar

pytestmark = pytest.mark.unit

US = "agent-AJ_1"


class Session:
    """Of `AgentSession`: what it says now, and whether it was interrupted."""

    def __init__(self) -> None:
        self.current_speech: object | None = object()
        self.interrupted: list[bool] = []

    def interrupt(self, *, force: bool = False) -> asyncio.Future[None]:
        self.interrupted.append(force)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def watched(session: Session) -> tuple[AvatarWatch, FakeRoom]:
    room = FakeRoom()
    room.local_participant = SimpleNamespace(identity=US)
    watch = AvatarWatch(cast(Any, session), cast(Any, room))
    watch.watch()
    return watch, room


def avatar(of: str) -> Any:
    return SimpleNamespace(identity="avatar", attributes={ATTRIBUTE_PUBLISH_ON_BEHALF: of})


def test_words_end_with_their_avatar_and_another_of_ours_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "avatar_of", lambda _: "avatar")

    async def case() -> None:
        session = Session()
        watch, room = watched(session)
        room.joins("bystander")
        room.leaves("bystander")
        assert (watch.lost, session.interrupted) == (False, [])
        room.emit("participant_disconnected", avatar(US))
        assert (watch.lost, session.interrupted) == (True, [True])
        room.emit("participant_connected", avatar("agent-AJ_2"))
        assert watch.lost, "it speaks for another agent"
        session.current_speech = None
        room.emit("participant_disconnected", avatar(US))
        assert session.interrupted == [True], "nothing was being said"
        room.emit("participant_connected", avatar(US))
        assert not watch.lost

    run(case())


def test_an_avatar_that_never_comes_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(sdk, "avatar_ready", never)

    async def case() -> None:
        await wait_for_avatar(cast(Any, None))
        assert now_s() == pytest.approx(READY_LIMIT_S)

    run(case())


async def test_a_session_without_an_avatar_has_none_and_is_ready() -> None:
    session: AgentSession[Any] = AgentSession()
    await session.start(Agent(instructions=""))
    assert sdk.avatar_of(session) is None
    await sdk.avatar_ready(session)
    await session.aclose()
