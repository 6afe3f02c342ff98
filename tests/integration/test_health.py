"""What a real controller says of a fleet that is not well, and what it remembers of it after a restart."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.dummy_fleet import KEYS, Harness, dummy_fleet
from support.eventually import eventually
from voicefleet.stack import servers

pytestmark = pytest.mark.integration


@pytest.fixture
async def harness(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> AsyncIterator[Harness]:
    async with dummy_fleet(tmp_path, livekit, redis_url) as made:
        yield made


async def test_workers_that_cannot_start_are_failing_everywhere_with_their_error(harness: Harness) -> None:
    async with harness.controller(harness.settings(env={"DUMMY_CRASH": "1"})):

        async def failing() -> bool:
            view = await harness.view()
            return bool(view["status"] == "failing" and "no tiers file here" in view["reason"])

        await eventually(failing)
        (finding, *_) = (await harness.view())["findings"]
        assert finding["cause"].startswith("no worker is ready: ")
        assert "voicefleet check" in finding["hint"]
        assert json.loads(await harness.text("/healthz")) == {"status": "failing"}, "without a key, and no word of why"
        for command, code in ((("status",), 1), (("explain", "eu"), 1), (("doctor",), 1)):
            ended, said = await harness.command(*command)
            assert ended == code, said
            words = " ".join(said.split())
            assert "no worker is ready" in words
            assert "no tiers file here" in words
            assert "voicefleet check" in words


async def test_incidents_outlive_the_controller_that_noticed_them(harness: Harness) -> None:
    settings = harness.settings(pool={"min_workers": 2}, on_exit="leave")
    async with harness.controller(settings) as child:
        await eventually(lambda: _ready(harness, 2))
        os.killpg(harness.records()["eu-1"], signal.SIGKILL)
        await eventually(lambda: _told(harness, "eu-1 was killed by signal 9"))
        child.kill()
        await child.wait()
    assert await harness.redis.xlen(KEYS.incidents) >= 2
    async with harness.controller(harness.settings(pool={"min_workers": 2})):
        await eventually(lambda: _told(harness, "eu-1 was killed by signal 9"))
        await eventually(lambda: _ready(harness, 2))
        code, said = await harness.command("status")
        assert "eu-1 was killed by signal 9" in " ".join(said.split())
        assert code == 0, said
        (lost,) = [i for i in await _incidents(harness) if i["kind"] == "worker_lost"]
        assert (lost["subject"], lost["state"]) == ("eu-1", "degraded")
        assert lost["text"].endswith(", it had no call")


async def _incidents(harness: Harness) -> list[dict[str, str]]:
    return list((await harness.get("/v1/incidents?limit=20"))["incidents"])


async def _told(harness: Harness, text: str) -> bool:
    return any(text in incident["text"] for incident in await _incidents(harness))


async def _ready(harness: Harness, count: int) -> bool:
    return len(await harness.ready_workers()) == count
