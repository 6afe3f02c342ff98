"""A running fleet of the last promised version becomes one of this version, under live calls, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from livekit import api
from redis.asyncio import Redis as RedisClient

from support.previous import CURRENT, Program, previous
from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.contract.keys import Keys
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
START_S = 40.0
MOVE_S = 60.0


@dataclass
class Upgrade:
    """One region whose controller and workers are of either version."""

    directory: Path
    livekit: LiveKit
    redis_url: str
    http: aiohttp.ClientSession
    calls: list[asyncio.Task[CallOutcome]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def controller(self, of: Program, workers: Program, on_exit: str = "leave") -> AsyncIterator[Child]:
        """A controller, which adopts the workers that are there, and starts others as `workers` says."""
        file, self.ready = self.directory / "controller.yaml", self.directory / f"{secrets.token_hex(4)}.json"
        file.write_text(yaml.safe_dump(self._settings(workers, on_exit)))
        child = Child(
            "controller",
            [*of.words, "controller", "--config", file, "--ready-file", self.ready],
            log_path=self.directory / f"{self.ready.stem}.log",
            env={**of.env, "TEST_REDIS": self.redis_url, "TEST_SECRET": self.livekit.api_secret},
            stop_plan=((signal.SIGTERM, 30.0),),
        )
        async with running(child):
            await self.until("the controller listens", self._listens, START_S)
            yield child

    def _settings(self, workers: Program, on_exit: str) -> dict[str, Any]:
        at = {"url": self.livekit.url, "api_key": self.livekit.api_key, "api_secret_env": "TEST_SECRET"}
        pool = {"min_workers": 1, "max_workers": 4, "slots": 2, "policy": "buffer", "buffer": 0}
        process = {
            "command": [*workers.words, "worker", "--tiers", "synthetic"],
            "env": dict(workers.env),
            "state_dir": str(self.directory / "state"),
            "log_dir": str(self.directory / "logs"),
            "on_exit": on_exit,
        }
        return {
            "redis_url_env": "TEST_REDIS",
            "listen": "127.0.0.1:0",
            "auth": "none",
            "tick_s": 0.5,
            "listing_s": 0.5,
            "regions": {"eu": {"livekit": at, "pool": pool, "process": process, "waiting_message": None}},
        }

    def redis(self) -> RedisClient:
        return RedisClient.from_url(self.redis_url, decode_responses=True)

    async def _listens(self) -> bool:
        return self.ready.exists()

    async def _api(self, method: str, path: str) -> Any:
        url = json.loads(self.ready.read_text())["url"]
        async with self.http.request(method, url + path) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def workers(self) -> dict[str, dict[str, Any]]:
        region = (await self._api("GET", "/v1/regions"))["regions"][0]
        return {worker["id"]: worker for worker in region["workers"]}

    async def ready_workers(self) -> set[str]:
        return {name for name, worker in (await self.workers()).items() if worker["state"] == "ready"}

    async def live(self) -> dict[str, int]:
        """Worker -> its live calls, of those that have any."""
        return {name: worker["live"] for name, worker in (await self.workers()).items() if worker.get("live")}

    async def drain(self, worker: str) -> None:
        await self._api("POST", f"/v1/workers/{worker}/drain")

    def call(self, turns: int) -> None:
        """One more caller, who asks `turns` questions."""
        room = f"call-{secrets.token_hex(4)}"
        token = (
            api.AccessToken(self.livekit.api_key, self.livekit.api_secret)
            .with_identity(f"caller-{room}")
            .with_grants(api.VideoGrants(room_join=True, room=room))
            .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
        )
        ticket = CallTicket(url=self.livekit.url, token=token.to_jwt(), room=room, region="eu")
        utterances = load_utterances()
        asked = [utterances[n % len(utterances)] for n in range(turns)]
        self.calls.append(asyncio.create_task(Caller(room, ticket, asked).run()))

    async def outcomes(self) -> Sequence[CallOutcome]:
        return await asyncio.gather(*self.calls)

    async def until(self, what: str, check: Any, limit_s: float = MOVE_S) -> None:
        try:
            async with asyncio.timeout(limit_s):
                while not await check():
                    for call in self.calls:
                        assert not call.done(), f"a call ended before {what}: {call}"
                    await asyncio.sleep(0.1)
        except TimeoutError:
            seen = await self.workers() if self.ready.exists() else None
            pytest.fail(f"not within {limit_s:g} s: {what}; workers: {seen}")


@pytest.fixture
async def upgrade(tmp_path: Path, livekit: LiveKit, redis_url: str) -> AsyncIterator[Upgrade]:
    async with aiohttp.ClientSession() as http:
        made = Upgrade(tmp_path, livekit, redis_url, http)
        yield made


@pytest.mark.timeout(280)
@pytest.mark.parametrize("first", ["controller", "workers"])
async def test_a_fleet_is_upgraded_under_live_calls(upgrade: Upgrade, first: str, tmp_path: Path) -> None:
    old = previous(tmp_path / "previous")
    try:
        await _upgrade(upgrade, old, first)
    finally:
        upgrade.calls.clear()
        async with upgrade.controller(CURRENT, CURRENT, on_exit="stop"):
            """Its end is the end of the workers that the others left."""


async def _upgrade(upgrade: Upgrade, old: Program, first: str) -> None:
    async with upgrade.controller(old, old):
        await upgrade.until("an old worker is ready", upgrade.ready_workers)
        before = await upgrade.ready_workers()
        for _ in range(2):
            upgrade.call(turns=8)

        async def both() -> bool:
            return sum((await upgrade.live()).values()) == 2

        await upgrade.until("both callers have an agent", both)

    async def moved() -> bool:
        live = await upgrade.live()
        return sum(live.values()) == 2 and not set(live) & before

    # Between the two a fleet is mixed; a rollout may begin at either end.
    mixed = (CURRENT, CURRENT) if first == "controller" else (old, CURRENT)
    async with upgrade.controller(*mixed):
        await upgrade.until("the old workers are known", upgrade.workers)
        assert before <= set(await upgrade.workers()), "workers that were there are adopted, not started again"
        for worker in before:
            await upgrade.drain(worker)
        await upgrade.until("the calls are with new workers", moved)
    async with upgrade.controller(CURRENT, CURRENT), upgrade.redis() as redis:
        outcomes = await upgrade.outcomes()
        upgrade.calls.clear()

        async def nothing_is_kept() -> bool:
            return not await redis.exists(
                *(key(outcome.room) for outcome in outcomes for key in (KEYS.claim, KEYS.transcript))
            )

        await upgrade.until("what either version stored of a call is deleted at its end", nothing_is_kept)
    for outcome in outcomes:
        assert outcome.error is None, outcome
        assert not outcome.silent, outcome
        assert not outcome.cut, outcome
        assert outcome.double_speech == 0, outcome
        assert all(turn.answered for turn in outcome.turns), outcome
        assert len({identity for identity, _, _ in outcome.voices}) == 2, "each call was handed from version to version"
