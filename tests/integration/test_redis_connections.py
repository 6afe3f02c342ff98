"""A region's claims behind Sentinels: a real failover, with the controller's and the worker's own clients."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from support.eventually import eventually
from voicefleet.contract.errors import MissingPartError, UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.pool.worker_store import WorkerStore
from voicefleet.runtime.redis.claim_store import Accepted, ClaimStore
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, Scripts, connect_redis, listen
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.stack.find import find_redis_server

pytestmark = pytest.mark.integration

PASSWORD, SENTINEL_PASSWORD = "server-secret", "sentinel-secret"
MASTER = "calls"
DOWN_AFTER_MS = 1_000
FAILOVER_LIMIT_S = 15.0
_UP_LIMIT_S = 10.0


@pytest.fixture(scope="module")
def program() -> Path:
    """A redis-server; where there is none, skip (in CI: fail)."""
    try:
        return find_redis_server().path
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make setup`.")


@dataclass
class Group:
    """Servers and Sentinels on loopback."""

    directory: Path
    program: Path
    stack: contextlib.AsyncExitStack
    ports: Ports
    servers: dict[int, Child] = field(default_factory=dict)
    sentinels: dict[int, Child] = field(default_factory=dict)

    async def server(self, replica_of: int | None = None) -> int:
        """Start one; its port."""
        lines = {"requirepass": PASSWORD, "masterauth": PASSWORD, "save": '""', "repl-diskless-sync-delay": "0"}
        if replica_of is not None:
            lines["replicaof"] = f"127.0.0.1 {replica_of}"
        port, child = await self._start("server", lines)
        self.servers[port] = child
        return port

    async def sentinel(self, master: int) -> int:
        """Start one that watches the server at `master`; its port."""
        lines = {
            "requirepass": SENTINEL_PASSWORD,
            "sentinel sentinel-pass": SENTINEL_PASSWORD,
            "sentinel monitor": f"{MASTER} 127.0.0.1 {master} 2",
            f"sentinel auth-pass {MASTER}": PASSWORD,
            f"sentinel down-after-milliseconds {MASTER}": str(DOWN_AFTER_MS),
            f"sentinel failover-timeout {MASTER}": "4000",
        }
        port, child = await self._start("sentinel", lines)
        self.sentinels[port] = child
        return port

    async def _start(self, kind: str, lines: Mapping[str, str]) -> tuple[int, Child]:
        port = self.ports.tcp()
        home = self.directory / f"{kind}-{port}"
        home.mkdir(mode=0o700)
        config = home / "redis.conf"
        every = {"bind": "127.0.0.1", "port": str(port), "dir": str(home), "protected-mode": "no", **lines}
        config.write_text("".join(f"{name} {value}\n" for name, value in every.items()))
        mode = ["--sentinel"] if kind == "sentinel" else []
        child = Child(f"{kind}-{port}", [self.program, config, *mode], log_path=home / "log")
        await self.stack.enter_async_context(running(child))
        password = SENTINEL_PASSWORD if kind == "sentinel" else PASSWORD
        async with redis.asyncio.Redis.from_url(f"redis://:{password}@127.0.0.1:{port}") as client:
            await eventually(lambda: _pings(client, child), _UP_LIMIT_S)
        return port, child

    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{MASTER}/0?sentinel_password={SENTINEL_PASSWORD}"


async def _pings(client: RedisClient, child: Child) -> bool:
    if not child.alive:
        pytest.fail(f"it did not start:\n{child.log_tail()}")
    with contextlib.suppress(*REDIS_FAILURES):
        return bool(await client.ping())
    return False


@contextlib.asynccontextmanager
async def _group(tmp_path: Path, program: Path) -> AsyncIterator[Group]:
    async with contextlib.AsyncExitStack() as stack:
        yield Group(tmp_path, program, stack, stack.enter_context(Ports()))


@contextlib.asynccontextmanager
async def _client(url: str) -> AsyncIterator[RedisClient]:
    client = connect_redis(url)
    try:
        yield client
    finally:
        await client.aclose()


async def test_claims_outlive_the_master_and_everybody_follows(tmp_path: Path, program: Path) -> None:
    """kill -9 of the master: controller and worker find the replica by themselves, and the call is still held."""
    async with _group(tmp_path, program) as group:
        master = await group.server()
        replica = await group.server(replica_of=master)
        for _ in range(3):
            await group.sentinel(master)
        sentinel = redis.asyncio.Redis(
            port=next(iter(group.sentinels)), password=SENTINEL_PASSWORD, decode_responses=True
        )
        group.stack.push_async_callback(sentinel.aclose)
        await eventually(lambda: _knows_all(sentinel), _UP_LIMIT_S)
        # The one that is asked first is away: the next one answers.
        group.sentinels[next(iter(group.sentinels))].send_signal(signal.SIGSTOP)
        async with _client(group.url()) as controller, _client(group.url()) as worker:
            book = CallStore(controller, Scripts(controller), "eu", grace_ms=1_000)
            claims = ClaimStore(Scripts(worker), "eu")
            heard: list[str] = []
            listening = asyncio.create_task(_listen(worker, Keys("eu").job_channel("J1"), heard))
            try:
                await book.caller_joined("room")
                assert await claims.accept("room", "", worker="w1", job="J1") == Accepted(1)
                assert await claims.renew("room", "", worker="w1", job="J1", epoch=1) is not None
                await eventually(lambda: _listens(book), _UP_LIMIT_S)
                before = await book.scan()
                assert [(c.room, c.state) for c in before.calls] == [("room", "live")]
                assert await controller.execute_command("WAIT", 1, 2_000) == 1  # type: ignore[no-untyped-call]

                group.servers[master].kill()
                killed_s = time.monotonic()
                await eventually(lambda: _renews(claims), FAILOVER_LIMIT_S)
                took_s = time.monotonic() - killed_s
                print(f"kill -9 of the master to a renewed claim on the replica: {took_s:.1f} s")
                # The controller's own connections follow as well.
                await eventually(lambda: _scans(book), FAILOVER_LIMIT_S)
                after = await book.scan()
                assert [(c.room, c.state) for c in after.calls] == [("room", "live")]
                assert after.server != before.server
                assert (await WorkerStore(controller, "eu").read()) == {}
                await eventually(lambda: _listens(book), _UP_LIMIT_S)
                info = await controller.info("replication")
                assert info["role"] == "master"
                assert (await controller.config_get("port"))["port"] == str(replica)
            finally:
                await cancel_and_wait([listening])
                group.sentinels[next(iter(group.sentinels))].send_signal(signal.SIGCONT)


async def _listen(client: RedisClient, channel: str, heard: list[str]) -> None:
    while True:
        await listen(client, [channel], heard.append)
        await asyncio.sleep(0.2)


async def _knows_all(sentinel: RedisClient) -> bool:
    masters: dict[str, dict[str, Any]] = await sentinel.sentinel_masters()  # type: ignore[assignment]
    state = masters[MASTER]
    return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)


async def _listens(book: CallStore) -> bool:
    await asyncio.sleep(0.2)  # asked anew in a scan after so long
    with contextlib.suppress(UnknownStateError):
        return "J1" not in (await book.scan()).not_listening
    return False


async def _renews(claims: ClaimStore) -> bool:
    with contextlib.suppress(UnknownStateError):
        held = await claims.renew("room", "", worker="w1", job="J1", epoch=1)
        assert held is not None, "the claim was lost"
        return True
    return False


async def _scans(book: CallStore) -> bool:
    with contextlib.suppress(UnknownStateError):
        await book.scan()
        return True
    return False
