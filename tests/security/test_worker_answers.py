"""What a worker tells whoever reaches its port: everything there is without a key, so nothing there names a call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from livekit import api, rtc

from support.worker_process import worker
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

ROOM, CALLER = "erika-mustermann-4711", "+49-170-5551234"


async def test_no_route_of_a_worker_names_a_room_a_job_or_a_caller(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(CALLER)
        .with_grants(api.VideoGrants(room_join=True, room=ROOM))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
    )
    async with worker(livekit, redis_url, tmp_path) as w:
        caller = rtc.Room()
        await caller.connect(livekit.url, token.to_jwt())
        try:
            report = await w.until(lambda r: r.live == 1)
            assert report.rooms == [ROOM], "the controller, which reads reports in Redis, is told"
            assert report.jobs
            said = await answers(report.http_port)
        finally:
            await caller.disconnect()
    assert '"live":1' in said["/status"].replace(" ", "")
    for path, text in said.items():
        for secret in (ROOM, CALLER, *report.jobs):
            assert secret not in text, path


async def answers(port: int) -> dict[str, str]:
    """What each route says."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

        async def ask(path: str) -> str:
            async with http.get(path) as answer:
                assert answer.status == 200, path
                return await answer.text()

        paths = ("/livez", "/readyz", "/metrics", "/status")
        return dict(zip(paths, await asyncio.gather(*map(ask, paths)), strict=True))
