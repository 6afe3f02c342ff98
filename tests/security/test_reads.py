"""Reads: bounded, paged, and without a key nothing but a word."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from support.controlling import FRONT, FRONT_SECRET, OTHER_SECRET, controller, region
from support.eventually import eventually
from voicefleet.contract.answers import MOST_CALLS_A_PAGE
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.http import views
from voicefleet.controller.http.reads import READS_PER_MINUTE
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.servers import LiveKit, Redis

pytestmark = pytest.mark.integration

PLANTED = "planted-hush-4242"
MANY = 10_000


async def test_nobody_without_a_key_reads_a_workers_log(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    """Workers that end at their start have a key in their last lines."""
    program = f"print('OPENAI_API_KEY={PLANTED} is refused for room lobby-7', flush=True); raise SystemExit(3)"
    process = {"command": [sys.executable, "-S", "-c", program], "env": {"SOME_PROVIDER_TOKEN": PLANTED}}
    process |= {"state_dir": str(tmp_path / "state"), "log_dir": str(tmp_path / "logs")}
    eu = region(livekit, pool={"min_workers": 1}, process=process)
    async with controller(tmp_path, livekit, redis_url, regions={"eu": eu}) as fleet:

        async def reason() -> str:
            return str((await fleet.get("/v1/health"))["regions"]["eu"])

        async def told() -> bool:
            return "exited with 3 after" in await reason()

        await eventually(told, 20)
        assert "is refused for room lobby-7" in await reason()
        behind_a_key = [
            await fleet.get(f"/v1/{name}") for name in ("health", "regions", "decisions", "history", "incidents")
        ]
        assert PLANTED not in json.dumps(behind_a_key)
        for path in ("/healthz", "/livez", "/readyz", "/", "/page.js", "/metrics"):
            async with fleet.http.get(fleet.url + path) as answer:
                assert answer.status == 200
                text = await answer.text()
            assert PLANTED not in text
            assert "lobby-7" not in text
        async with fleet.http.get(f"{fleet.url}/healthz") as answer:
            assert await answer.json() == {"status": "failing"}
        async with fleet.http.get(f"{fleet.url}/v1/health") as answer:
            assert answer.status == 401


async def test_healthz_says_how_it_is_and_nothing_of_why(tmp_path: Path, livekit: LiveKit, redis_server: Redis) -> None:
    nobody = region(livekit) | {"livekit": region(livekit)["livekit"] | {"api_url": "http://127.0.0.1:9"}}
    regions = {"eu": region(livekit), "us": nobody}
    async with controller(tmp_path, livekit, redis_server.url, regions=regions) as fleet:

        async def says() -> tuple[int, Any]:
            async with fleet.http.get(f"{fleet.url}/healthz") as answer:
                return answer.status, await answer.json()

        async def failing() -> bool:
            return await says() == (200, {"status": "failing"})

        await eventually(failing, 20)  # once it is known that eu has no worker
        health = await fleet.get("/v1/health")
        assert health["status"] == "failing"
        assert health["findings"]["us"][0]["state"] == "unknown"
        assert "LiveKit did not answer" in health["regions"]["us"]


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    calls = tuple(Call(f"call-{number:05}", number // 3, None, None) for number in range(MANY))
    snapshot = Snapshot(MANY, calls, ())
    monkeypatch.setattr(Region, "fresh_snapshot", lambda self: snapshot)
    return snapshot


async def test_ten_thousand_calls_are_read_a_page_at_a_time(
    tmp_path: Path, livekit: LiveKit, redis_url: str, crowd: Snapshot
) -> None:
    async with controller(tmp_path, livekit, redis_url, listing_s=60) as fleet:
        first = await fleet.get("/v1/calls")
        assert len(first["calls"]) == 100
        assert first["calls"][0]["room"] == "call-00000"
        second = await fleet.get("/v1/calls", params={"cursor": first["next"], "limit": "2"})
        assert [call["room"] for call in second["calls"]] == ["call-00100", "call-00101"]
        # What one answer costs does not grow with the calls there are.
        most = await fleet.get("/v1/calls", params={"limit": str(MOST_CALLS_A_PAGE)})
        assert len(most["calls"]) == MOST_CALLS_A_PAGE
        async with ControllerClient(fleet.url, key=FRONT_SECRET) as client:
            assert [call.room for call in await client.calls()] == [call.room for call in crowd.calls]
        wrong: dict[str, list[Any]] = {"limit": [0, MOST_CALLS_A_PAGE + 1, "9" * 5_000, "ten", ""], "cursor": ["x", ""]}
        for name, values in wrong.items():
            for value in values:
                for path in ("/v1/calls", "/v1/decisions") if name == "limit" else ("/v1/calls",):
                    async with fleet.http.get(fleet.url + path, params={name: value}, headers=FRONT) as answer:
                        assert (answer.status, (await answer.json())["field"]) == (400, name)


async def test_the_workers_of_one_answer_are_bounded(
    tmp_path: Path, livekit: LiveKit, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "WORKERS_LISTED", 1)
    async with controller(tmp_path, livekit, redis_url) as fleet, fleet.worker("w-1"), fleet.worker("w-2"):

        async def ready() -> bool:
            (view,) = (await fleet.get("/v1/regions"))["regions"]
            return bool(view["ready"] == 2 and len(view["workers"]) == 1 and view["more_workers"] == 1)

        await eventually(ready)


async def test_who_reads_without_end_is_slowed_down_and_alone(
    tmp_path: Path, livekit: LiveKit, redis_url: str, crowd: Snapshot
) -> None:
    async with controller(tmp_path, livekit, redis_url, listing_s=60) as fleet:

        async def read(key: str) -> tuple[int, str | None]:
            headers = {"Authorization": f"Bearer {key}"}
            params = {"limit": str(MOST_CALLS_A_PAGE)}
            async with fleet.http.get(f"{fleet.url}/v1/calls", params=params, headers=headers) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After")

        pages = READS_PER_MINUTE // (1 + MOST_CALLS_A_PAGE // 100)
        answers = [await read(FRONT_SECRET) for _ in range(2 * pages)]
        refused = [wait for status, wait in answers if status == 429]
        assert refused
        assert all(wait == "1" for wait in refused)
        assert answers[0][0] == 200
        assert (await read(OTHER_SECRET))[0] == 200
        # A call is no read.
        assert (await fleet.post({}))[0] in (201, 503)
        await asyncio.sleep(0)
