"""The doctor on real servers: what works, what refuses us, what is not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from aiohttp import web
from rich.console import Console

from voicefleet.doctor import command
from voicefleet.doctor.servers import check_servers
from voicefleet.doctor.settings import Surroundings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.finding import Finding, Verdict
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


@pytest.fixture
def around(livekit: LiveKit, redis_url: str) -> Surroundings:
    return Surroundings(
        redis_url=redis_url,
        livekit_url=livekit.url,
        livekit_api_key=livekit.api_key,
        livekit_api_secret=livekit.api_secret,
        controller_url="",
        controller_key="",
    )


@pytest.fixture
async def dead_port() -> AsyncIterator[int]:
    with Ports() as ports:
        yield ports.tcp()


async def findings(around: Surroundings) -> dict[str, Finding]:
    return {f.subject: f async for f in check_servers(around, SystemClock())}


async def test_servers_that_work(around: Surroundings) -> None:
    found = await findings(around)
    assert {name: f.verdict for name, f in found.items()} == dict.fromkeys(
        ("redis", "clock", "redis policy", "livekit"), Verdict.OK
    )
    password = around.redis_url.split(":")[2].partition("@")[0]
    assert password not in str(found)


def test_the_command_says_a_line_a_finding_and_ends_with_0(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "surroundings", lambda: around)
    path = tmp_path / "doctor.json"
    assert command.doctor(json_path=path) == 0
    written = json.loads(path.read_text())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(written)
    assert any(line.startswith("ok") and around.livekit_url in line for line in lines)


def test_a_wrong_secret_is_a_failure_and_exit_code_1(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(around, livekit_api_secret="x" * 40)
    monkeypatch.setattr(command, "surroundings", lambda: wrong)
    console = Console(soft_wrap=True, record=True)
    assert command.doctor(json_path=None, console=console) == 1
    (line,) = (line for line in console.export_text().splitlines() if line.startswith("failure"))
    assert "livekit" in line
    assert "refuses our key and secret" in line
    assert "LIVEKIT_API_SECRET" in line
    assert "x" * 40 not in line


async def test_servers_that_are_not_there(around: Surroundings, dead_port: int) -> None:
    at = f"127.0.0.1:{dead_port}"
    found = await findings(
        replace(around, redis_url=f"redis://:geheim@{at}", livekit_url=f"ws://{at}", controller_url=f"http://{at}")
    )
    assert {name: f.verdict for name, f in found.items()} == dict.fromkeys(
        ("redis", "livekit", "controller"), Verdict.FAILURE
    )
    assert all(at in f.found and f.hint for f in found.values())
    assert "geheim" not in str(found)


async def test_a_redis_that_refuses_us(around: Surroundings) -> None:
    port = around.redis_url.rpartition(":")[2]
    found = await findings(replace(around, redis_url=f"redis://:geheim@127.0.0.1:{port}"))
    assert found["redis"].verdict is Verdict.FAILURE
    assert "credentials" in found["redis"].found
    assert "geheim" not in str(found)


async def test_a_redis_that_may_forget_claims(around: Surroundings) -> None:
    with redis.Redis.from_url(around.redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = await findings(around)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (found["redis policy"].verdict, found["redis policy"].found) == (Verdict.FAILURE, "allkeys-lru")


async def test_a_server_that_is_no_controller(around: Surroundings) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"regions": [{"hello": "world"}]})

    app = web.Application()
    app.router.add_get("/v1/regions", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        with Ports() as ports:
            port = ports.tcp()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            found = await asyncio.wait_for(findings(replace(around, controller_url=f"http://127.0.0.1:{port}")), 20)
    finally:
        await runner.cleanup()
    assert found["controller"].verdict is Verdict.FAILURE
