"""Redis as production runs it: TLS with an authority of its own, a password, and Sentinels that change the master."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.certificates import Authority
from cluster.process import Daemons
from cluster.programs import find
from voicefleet.contract.errors import UnreachableError
from voicefleet.runtime.redis.address import with_authority
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, check_redis, connect_redis, listen
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports

pytestmark = pytest.mark.cluster

PASSWORD, QUOTED = "p@ss/word", "p%40ss%2Fword"
UP_LIMIT_S, FAILOVER_LIMIT_S = 20.0, 30.0


class Servers:
    """Servers of Redis that speak TLS and nothing else."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.daemons = Daemons(folder)
        self._folder = folder
        self._ports = ports
        authority = Authority(folder)
        self.authority = str(authority.certificate)
        self._pair = authority.server("redis", [LOOPBACK, "localhost"])

    def redis(self, name: str, *more: str) -> int:
        """Start a server; returns its port."""
        return self._start(name, ['save ""', "appendonly no", f'requirepass "{PASSWORD}"', *more], find("redis-server"))

    def sentinel(self, master: int) -> int:
        """Start a Sentinel that watches the master on that port, and alone decides when another must take over."""
        watched = [
            f"sentinel monitor main {LOOPBACK} {master} 1",
            f'sentinel auth-pass main "{PASSWORD}"',
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
        ]
        return self._start("sentinel", watched, find("redis-server"), "--sentinel")

    def url(self, scheme: str, port: int, path: str) -> str:
        """An address with the password and the authority."""
        return with_authority(f"{scheme}://:{QUOTED}@{LOOPBACK}:{port}/{path}", self.authority, field="test")

    def _start(self, name: str, lines: list[str], program: Path, *options: str) -> int:
        port = self._ports.tcp()
        (self._folder / name).mkdir()
        config = self._folder / f"{name}.conf"
        secured = [
            *("port 0", f"tls-port {port}", f"bind {LOOPBACK}", f"dir {self._folder / name}", "tls-auth-clients no"),
            *(f"tls-cert-file {self._pair.certificate}", f"tls-key-file {self._pair.key}"),
            *(f"tls-ca-cert-file {self.authority}", "tls-replication yes", f'masterauth "{PASSWORD}"'),
        ]
        if options:
            secured.pop()  # a Sentinel has no master of its own
        config.write_text("\n".join([*secured, *lines]) + "\n")
        self.daemons.start(name, [program, config, *options])
        return port


@pytest.fixture
def servers() -> Iterator[Servers]:
    with Ports() as ports, private_directory("redis") as folder:
        running = Servers(folder, ports)
        yield running
        running.daemons.stop_all()


async def until_it_answers(url: str, limit_s: float) -> float:
    """Write until the write is taken; returns after how long, in seconds."""
    client, began = connect_redis(url), time.monotonic()
    try:
        while True:
            try:
                await client.set("probe", "x")
                return time.monotonic() - began
            except REDIS_FAILURES:
                assert time.monotonic() - began < limit_s, "no write was taken"
                await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def replicas_that_have_it(client: RedisClient, limit_s: float) -> int:
    """How many replicas have what we wrote, once one has."""
    deadline = time.monotonic() + limit_s
    while not (count := int(await client.wait(1, 500))) and time.monotonic() < deadline:
        await client.set("kept", "y")
    return count


async def test_tls_with_an_authority_of_its_own_and_a_password(servers: Servers) -> None:
    url = servers.url("rediss", servers.redis("redis"), "0")
    await until_it_answers(url, UP_LIMIT_S)
    client = connect_redis(url)
    await check_redis(client, url, field="redis_url_env")
    await client.aclose()


async def test_without_the_authority_or_the_password_it_is_said(servers: Servers) -> None:
    port = servers.redis("redis")
    await until_it_answers(servers.url("rediss", port, "0"), UP_LIMIT_S)
    for url, reason in (
        (f"rediss://:{QUOTED}@{LOOPBACK}:{port}/0", "Redis does not answer"),
        (
            with_authority(f"rediss://:wrong@{LOOPBACK}:{port}/0", servers.authority, field="t"),
            "refuses our credentials",
        ),
    ):
        client = connect_redis(url)
        with pytest.raises(UnreachableError, match=reason) as caught:
            await check_redis(client, url, field="redis_url_env")
        assert PASSWORD not in str(caught.value)
        assert QUOTED not in str(caught.value)
        await client.aclose()


async def test_when_the_master_dies_sentinels_name_another(servers: Servers) -> None:
    first = servers.redis("first")
    await until_it_answers(servers.url("rediss", first, "0"), UP_LIMIT_S)
    servers.redis("second", f"replicaof {LOOPBACK} {first}")
    watching = servers.sentinel(first)
    url = servers.url("rediss+sentinel", watching, "main/0")
    client = connect_redis(url)
    try:
        await until_it_answers(url, UP_LIMIT_S)
        await check_redis(client, url, field="redis_url_env")
        await client.set("kept", "y")
        assert await replicas_that_have_it(client, UP_LIMIT_S) == 1
        sentinel = connect_redis(f"rediss://{LOOPBACK}:{watching}/0?ssl_ca_certs={servers.authority}")
        while not await sentinel.sentinel_slaves("main"):
            await asyncio.sleep(0.1)
        await sentinel.aclose()

        heard: asyncio.Queue[str] = asyncio.Queue()
        listening = asyncio.create_task(listen(client, ["events"], heard.put_nowait))
        servers.daemons.stop("first", grace_s=0.0)
        assert await until_it_answers(url, FAILOVER_LIMIT_S) < FAILOVER_LIMIT_S
        # The client that was there before finds the new master, and what it held.
        assert await client.get("kept") == "y"
        await asyncio.wait_for(listening, 10.0)  # it ends, so that its loop listens anew
        again = asyncio.create_task(listen(client, ["events"], heard.put_nowait))
        while not await client.publish("events", "x"):
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(heard.get(), 5.0) == "events"
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
    finally:
        await client.aclose()
