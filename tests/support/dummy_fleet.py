"""A controller in a process of its own with a real Redis and LiveKit, and worker processes that only report."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio
import yaml
from livekit import api, rtc

from support.eventually import eventually
from voicefleet.contract.keys import Keys
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.guard import start_time
from voicefleet.stack import servers

KEYS = Keys("eu")
SECRET = "the-secret-of-me"
API_KEYS = f"me:{SECRET}:call+read+operate"
ME = {"Authorization": f"Bearer {SECRET}"}
DUMMY = Path(__file__).with_name("dummy_worker.py")
RUN = """
import asyncio, sys
from pathlib import Path
from voicefleet.contract.errors import UsageError
from voicefleet.controller.app import run_controller
from voicefleet.controller.settings.load import load_settings
try:
    asyncio.run(run_controller(load_settings(Path(sys.argv[1])), ready_file=Path(sys.argv[2])))
except UsageError as error:
    sys.exit(str(error))
"""


class Harness:
    """A controller in a process of its own, and what it left on disk."""

    def __init__(self, directory: Path, livekit: servers.LiveKit, redis_url: str) -> None:
        self.directory, self.livekit, self.redis_url = directory, livekit, redis_url
        self.state, self.logs, self.ready = directory / "state", directory / "logs", directory / "ready.json"
        self.http: aiohttp.ClientSession
        self.redis = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)

    def settings(self, *, pool: dict[str, Any] | None = None, **process: Any) -> Path:
        at = {"url": self.livekit.url, "api_key": self.livekit.api_key, "api_secret_env": "TEST_SECRET"}
        raw = {
            "redis_url_env": "TEST_REDIS",
            "listen": "127.0.0.1:0",
            "auth": "bearer",
            "api_keys_env": "TEST_API_KEYS",
            "tick_s": 0.2,
            "listing_s": 0.3,
            "waiting_grace_s": 0.5,
            "regions": {
                "eu": {
                    "livekit": at,
                    "waiting_message": None,
                    "pool": {
                        **{"min_workers": 1, "max_workers": 3, "slots": 2},
                        **{"policy": "buffer", "buffer": 0, "scale_down_delay_s": 0, **(pool or {})},
                    },
                    "process": {
                        "command": [sys.executable, str(DUMMY)],
                        "state_dir": str(self.state),
                        "log_dir": str(self.logs),
                        **process,
                        "env": {"DUMMY_DIR": str(self.directory), **process.get("env", {})},
                    },
                }
            },
        }
        path = self.directory / "controller.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    def start(self, settings: Path) -> Child:
        self.ready.unlink(missing_ok=True)
        return Child(
            "controller",
            [sys.executable, "-c", RUN, settings, self.ready],
            log_path=self.directory / "controller.log",
            stop_plan=((signal.SIGTERM, 30.0),),
            env={
                "TEST_REDIS": self.redis_url,
                "TEST_SECRET": self.livekit.api_secret,
                "TEST_API_KEYS": API_KEYS,
            },
        )

    @contextlib.asynccontextmanager
    async def controller(self, settings: Path) -> AsyncIterator[Child]:
        async with running(self.start(settings)) as child:
            await eventually(self.ready.exists)
            yield child

    def records(self) -> dict[str, int]:
        """Worker id -> pid of those whose process runs."""
        found: dict[str, int] = {}
        for path in self.state.glob("*.json"):
            record = json.loads(path.read_text())
            if record["pid"] and start_time(record["pid"]) == record["ticks"]:
                found[record["id"]] = record["pid"]
        return found

    async def get(self, path: str) -> dict[str, Any]:
        """What the controller answers to a GET of `path`."""
        url = json.loads(self.ready.read_text())["url"]
        async with self.http.get(url + path, headers=ME) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def post(self, path: str, body: Any) -> int:
        """The status of the answer to a POST of `body` to `path`."""
        url = json.loads(self.ready.read_text())["url"]
        async with self.http.post(url + path, json=body, headers=ME) as answer:
            return answer.status

    async def text(self, path: str) -> str:
        """What `path` answers, as it is."""
        url = json.loads(self.ready.read_text())["url"]
        async with self.http.get(url + path) as answer:
            return await answer.text()

    async def command(self, *arguments: str) -> tuple[int | None, str]:
        """Exit code and output of ``voicefleet ARGUMENTS``, told of this controller by the environment."""
        url = json.loads(self.ready.read_text())["url"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voicefleet.cli.app", *arguments),
            env={**os.environ, "VOICEFLEET_CONTROLLER_URL": url, "VOICEFLEET_CONTROLLER_KEY": SECRET},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode, out.decode()

    async def view(self) -> dict[str, Any]:
        """The region, as `/v1/regions` tells."""
        return dict((await self.get("/v1/regions"))["regions"][0])

    async def ready_workers(self) -> set[str]:
        return {w["id"] for w in (await self.view())["workers"] if w["state"] == "ready"}

    def says_live(self, worker: str, calls: int) -> None:
        path = self.directory / f"{worker}.live"
        path.with_suffix(".new").write_text(str(calls))
        path.with_suffix(".new").replace(path)

    @contextlib.asynccontextmanager
    async def callers(self, *names: str) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                room = rtc.Room()
                grants = api.VideoGrants(room_join=True, room=name)
                order = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")])
                token = api.AccessToken(self.livekit.api_key, self.livekit.api_secret).with_grants(grants)
                token = token.with_room_config(order)
                await room.connect(self.livekit.url, token.with_identity(f"caller-{name}").to_jwt())
                stack.push_async_callback(room.disconnect)
            yield


async def _delete_rooms(livekit: servers.LiveKit) -> None:
    """Those of the test before, whose callers ordered an agent: to an emptied Redis they are calls still to come."""
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
        for room in (await client.room.list_rooms(api.ListRoomsRequest())).rooms:
            await client.room.delete_room(api.DeleteRoomRequest(room=room.name))


@contextlib.asynccontextmanager
async def dummy_fleet(directory: Path, livekit: servers.LiveKit, redis_url: str) -> AsyncIterator[Harness]:
    """A harness; at the end no worker may be left."""
    made = Harness(directory, livekit, redis_url)
    await _delete_rooms(livekit)
    async with aiohttp.ClientSession() as made.http:
        yield made
    await made.redis.aclose()
    left = made.records()
    for pid in left.values():
        os.killpg(pid, signal.SIGKILL)
    assert not left, f"workers left behind: {left}"
