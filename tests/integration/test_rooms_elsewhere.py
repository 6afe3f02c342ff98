"""Rooms that somebody else made, on a real livekit-server and a real Redis; workers are reports written by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from support.controlling import FRONT, KEYS, Running, caller, controller, region
from support.eventually import eventually
from voicefleet.contract.calls import CallOrder
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def joined(livekit: LiveKit, room: str, *, ordering: bool = True) -> AsyncIterator[rtc.Room]:
    """A caller with a token of the team's own, which orders our agent as the README says."""
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("ann")
    token = token.with_grants(api.VideoGrants(room_join=True, room=room))
    if ordering:
        token = token.with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
    async with caller(livekit.url, token.to_jwt()) as there:
        yield there


async def made(running: Running, room: str, metadata: dict[str, Any] | None = None) -> None:
    text = json.dumps(metadata) if metadata else ""
    await running.api.room.create_room(api.CreateRoomRequest(name=room, metadata=text, empty_timeout=60))


async def ask(running: Running, room: str, **body: Any) -> tuple[int, Any]:
    url = f"{running.url}/v1/rooms/{room}/agent"
    async with running.http.post(url, json=body, headers=FRONT) as answer:
        return answer.status, await answer.json()


async def orders(running: Running, room: str) -> list[CallOrder]:
    return [sent.order for sent in await running.dispatches(room)]


async def test_a_room_made_beforehand_is_served_when_it_or_somebody_orders_an_agent(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    regions = {"eu": region(livekit, rooms="support-*", pool={"max_workers": 4, "slots": 4})}
    async with controller(tmp_path, livekit, redis_url, regions=regions) as running, running.worker("w1", slots=9):
        await made(running, "with-metadata", {"voicefleet": {"agent": "voicefleet", "tier": "fast", "metadata": "7"}})
        await made(running, "of-others", {"voicefleet": {"agent": "another"}})
        for name in ("asked-for", "support-1"):
            await made(running, name)
        async with contextlib.AsyncExitStack() as there:
            for name in ("with-metadata", "of-others", "asked-for", "support-1"):
                await there.enter_async_context(joined(livekit, name))
            (first, *_) = await eventually(lambda: orders(running, "with-metadata"))
            assert first == CallOrder("fast", "7")
            await eventually(lambda: running.dispatches("support-1"))
            await asyncio.sleep(1.0)
            assert await running.dispatches("asked-for") == [], "LiveKit ignores what a token orders for such a room"
            status, answer = await ask(running, "asked-for", tier="best", metadata="8")
            assert (status, answer["state"], answer["region"]) == (202, "requested", "eu")
            # No worker of this test takes it: the controller sends it again, with the same order.
            await eventually(lambda: running.dispatches("asked-for"))
            assert set(await orders(running, "asked-for")) == {CallOrder("best", "8")}
            assert await running.redis.zscore(KEYS.callers, "of-others") is None
            assert await running.dispatches("of-others") == []
        assert (await ask(running, "no-such-room"))[0] == 404
        assert (await ask(running, "asked-for", teir="fast"))[0] == 400


async def test_a_dispatch_into_an_empty_room_that_livekit_dropped_is_kept_counted_and_served(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        request = api.CreateAgentDispatchRequest(agent_name="voicefleet", room="outbound", metadata="dial 7")
        await running.api.agent_dispatch.create_dispatch(request)  # answered 200, and dropped: there is no worker

        async def waits() -> bool:
            (view,) = (await running.get("/v1/regions"))["regions"]
            return bool(view["waiting"] == 1)

        await eventually(waits)
        assert await running.dispatches("outbound") == []
        async with running.worker("w1"):
            await eventually(lambda: running.dispatches("outbound"))
            assert (await orders(running, "outbound"))[0] == CallOrder(metadata="dial 7")
        # Its callee comes and goes: no agent is sent where a caller just left.
        async with joined(livekit, "outbound", ordering=False):
            await eventually(lambda: _gone(running, KEYS.expected, "outbound"))
        await eventually(lambda: _gone(running, KEYS.callers, "outbound"))
        before = len(await running.dispatches("outbound"))
        async with running.worker("w1"):
            await asyncio.sleep(2.5)
            assert len(await running.dispatches("outbound")) == before
            assert await running.redis.zscore(KEYS.callers, "outbound") is None


async def _gone(running: Running, key: str, room: str) -> bool:
    return await running.redis.zscore(key, room) is None
