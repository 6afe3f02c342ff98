"""A caller hears the agent although the word of its subscription was lost; where nobody is there, it is waited for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from support.virtual_time import LoopClock, run
from voicefleet.worker.job.subscription import LIMIT_S, LOOK_EVERY_S, assume_subscribers

pytestmark = pytest.mark.unit


def told(at_s: float, *, caller_at_s: float | None = 0.0, really_at_s: float | None = None) -> bool:
    """Whether the words may be spoken at `at_s`: the track is published at 0, the caller comes at `caller_at_s`."""

    async def watched() -> bool:
        caller = SimpleNamespace(
            identity="caller",
            kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
            attributes={},
            permissions=SimpleNamespace(can_publish=True, can_publish_sources=[]),
            joined_at=datetime.fromtimestamp(0, UTC),
        )
        subscribed = asyncio.get_running_loop().create_future()
        track = SimpleNamespace(sid="TR_1", _first_subscription=subscribed)
        room: Any = SimpleNamespace(
            remote_participants={} if caller_at_s else {"caller": caller},
            local_participant=SimpleNamespace(track_publications={"TR_1": track}),
        )
        loop = asyncio.get_running_loop()
        if caller_at_s:
            loop.call_later(caller_at_s, room.remote_participants.update, {"caller": caller})
        if caller_at_s is None:
            room.remote_participants.clear()
        if really_at_s is not None:
            loop.call_later(really_at_s, subscribed.set_result, None)
        watching = asyncio.create_task(assume_subscribers(cast(rtc.Room, room), LoopClock()))
        await asyncio.sleep(at_s)
        assert not watching.done(), "what it watches is watched until the end of the call"
        watching.cancel()
        return subscribed.done()

    return run(watched())


def test_a_caller_who_is_there_with_the_track_counts_as_subscribed_after_a_moment() -> None:
    assert not told(LIMIT_S - 0.1)
    assert told(LIMIT_S + 2 * LOOK_EVERY_S)


def test_the_moment_counts_from_the_caller_s_coming() -> None:
    assert not told(6.0 + LIMIT_S - 0.1, caller_at_s=6.0)
    assert told(6.0 + LIMIT_S + 2 * LOOK_EVERY_S, caller_at_s=6.0)


def test_nobody_there_is_waited_for() -> None:
    assert not told(60.0, caller_at_s=None)


def test_a_word_from_livekit_does_as_before() -> None:
    assert told(0.2, really_at_s=0.1)
    assert told(LIMIT_S + 5.0, really_at_s=0.1)
