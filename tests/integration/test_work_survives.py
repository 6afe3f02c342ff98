"""Work is no boundary, the current agent survives, and a page reloads: real workers, the controller's part by hand."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from integration.test_calls_survive import Fleet, fine, fleet, replies, speakers
from integration.test_worker import call, dispatch

from support.desk_agent import SEARCH_S
from support.eventually import eventually
from voicefleet.contract.claims import agent_identity
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


async def test_agents_work_and_callers_that_come_back(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with fleet(livekit, redis_url, tmp_path, agent="support.desk_agent:create") as f:
        await asyncio.gather(agent_killed(f), searching(f), second_tab(f))


async def test_callers_that_are_back_after_a_moment(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    """Of their own: a worker that another case cordons leaves the other one full, and our dispatch comes to nothing."""
    async with fleet(livekit, redis_url, tmp_path, agent="support.desk_agent:create") as f:
        await asyncio.gather(reloading(f), returning(f))


async def last_reply(f: Fleet, room: str) -> str:
    transcript = await f.transcript(room)
    assert transcript is not None
    return replies(transcript)[-1]


async def agent_killed(f: Fleet) -> None:
    """The second agent of the team has the call when its job is killed: it has it again."""
    room = "bill-1"
    talking = asyncio.create_task(call(f.livekit, room, turns=5))

    async def billed() -> bool:
        transcript = await f.transcript(room)
        return transcript is not None and bool(transcript.agent) and len(replies(transcript)) >= 1

    assert await eventually(billed, 40.0)
    assert "Billing gold, fresh" in await last_reply(f, room)
    old = await f.claim(room)
    os.kill(await f.pid(room), signal.SIGKILL)
    await f.recover(room, old)
    assert await eventually(lambda: f.moved(room, old), 5.0)

    async def answered_again() -> bool:
        return "Billing gold, recovered" in await last_reply(f, room)

    assert await eventually(answered_again, 25.0), await last_reply(f, room)
    fine(await talking)


async def searching(f: Fleet) -> None:
    """A handoff waits for the search in the background, and the successor knows its result."""
    room = "search-1"
    talking = asyncio.create_task(call(f.livekit, room, turns=6))

    async def searches() -> bool:
        transcript = await f.transcript(room)
        return transcript is not None and list(transcript.work) == ["tool search"]

    assert await eventually(searches, 40.0)
    began_s = time.monotonic()
    old = await f.claim(room)
    await f.workers[old.worker].order(1, cordon=True)
    assert await f.claims.begin_handoff(room, job=old.job)
    await dispatch(f.livekit, room)
    assert await eventually(lambda: f.moved(room, old), SEARCH_S + 12.0)
    assert time.monotonic() - began_s > SEARCH_S - 2.0

    async def answered() -> bool:
        return "handed_over, found." in await last_reply(f, room)

    assert await eventually(answered, 25.0), await last_reply(f, room)
    fine(await talking)


async def reloading(f: Fleet) -> None:
    """Back within a moment: the same agent, which hears and is heard as before."""
    room = "reload-1"
    await call(f.livekit, room, turns=1)
    before = await f.claim(room)
    await asyncio.sleep(1.0)
    outcome = await call(f.livekit, room, turns=2)
    fine(outcome)
    assert [t.answered for t in outcome.turns] == [True, True], outcome
    assert set(speakers(outcome)) == {before.job}
    assert re.match(r"Question [345], Desk, fresh", await last_reply(f, room)), "a pause may make two of one"


async def returning(f: Fleet) -> None:
    """Back when the job has ended: another job, the same conversation."""
    room = "return-1"
    await call(f.livekit, room, turns=1)
    before = await f.claim(room)

    async def over() -> bool:
        return not await f.redis.exists(f"voicefleet:{{test}}:claim:{room}")

    assert await eventually(over, 20.0)
    talking = asyncio.create_task(call(f.livekit, room, turns=2))
    await asyncio.sleep(1.0)
    await dispatch(f.livekit, room)  # the controller's part
    outcome = await talking
    assert [t.answered for t in outcome.turns] == [True, True], outcome
    assert agent_identity(before.job) not in {who for who, _, _ in outcome.voices}
    assert re.match(r"Question [345], Desk, returned", await last_reply(f, room)), "a pause may make two of one"


async def second_tab(f: Fleet) -> None:
    """The same identity once more: it replaces the first one, and has the conversation."""
    room = "tab-1"
    first = asyncio.create_task(call(f.livekit, room, turns=6))
    assert await eventually(lambda: f.answered(room, 1), 40.0)
    before = await f.claim(room)
    outcome = await call(f.livekit, room, turns=2)
    fine(outcome)
    assert [t.answered for t in outcome.turns] == [True, True], outcome
    assert set(speakers(outcome)) == {before.job}
    await first
