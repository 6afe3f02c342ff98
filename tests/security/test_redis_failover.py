"""Redis fails over without Sentinels: the name leads elsewhere, and nobody stays with the server that was demoted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from support.eventually import eventually
from support.redis_programs import PASSWORD, Name, Server, redis_programs, server
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.claim_store import Accepted, ClaimStore
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, Scripts, connect_redis, listen
from voicefleet.runtime.redis.following import is_not_master
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.integration

PROGRAMS = redis_programs()
CHANNEL = Keys("eu").job_channel("J1")
LIMIT_S = 10.0


@dataclass
class Pair:
    """A master, its replica, and the name that clients know."""

    old: Server
    new: Server
    name: Name

    async def fail_over(self) -> None:
        """As a managed Redis does it: what was written has come over, and no connection is closed by the servers."""
        written = (await self.old.admin.info("replication"))["master_repl_offset"]

        async def in_step() -> bool:
            return bool((await self.new.admin.info("replication"))["slave_repl_offset"] >= written)

        await eventually(in_step, LIMIT_S)
        await self.new.admin.replicaof("NO", "ONE")
        await self.old.admin.replicaof("127.0.0.1", str(self.new.port))
        self.name.leads_to = self.new.port


@pytest.fixture(params=sorted(PROGRAMS))
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    program = PROGRAMS[request.param]
    async with contextlib.AsyncExitStack() as stack:
        old = await stack.enter_async_context(server(program, tmp_path / "old"))
        new = await stack.enter_async_context(
            server(program, tmp_path / "new", replicaof=f"127.0.0.1 {old.port}", replica_serve_stale_data="yes")
        )
        name = await stack.enter_async_context(Name(old.port).resolved())

        async def in_step() -> bool:
            return bool((await new.admin.info("replication"))["master_link_status"] == "up")

        await eventually(in_step, LIMIT_S)
        yield Pair(old, new, name)


@contextlib.asynccontextmanager
async def client(name: Name) -> AsyncIterator[RedisClient]:
    made = connect_redis(f"redis://:{PASSWORD}@127.0.0.1:{name.port}/0")
    try:
        yield made
    finally:
        await made.aclose()


async def keep_listening(made: RedisClient, heard: list[str]) -> None:
    while True:
        await listen(made, [CHANNEL], heard.append)
        await asyncio.sleep(0.05)


async def test_claims_go_on_at_the_new_master_and_whoever_listens_follows(pair: Pair) -> None:
    async with client(pair.name) as made:
        claims = ClaimStore(Scripts(made), "eu")
        heard: list[str] = []
        listening = asyncio.create_task(keep_listening(made, heard))
        try:
            assert await claims.accept("room", "", worker="w1", job="J1") == Accepted(1)
            assert await claims.renew("room", "", worker="w1", job="J1", epoch=1) is not None
            await eventually(lambda: listens(pair.old), LIMIT_S)
            await pair.fail_over()

            async def renewed() -> bool:
                with contextlib.suppress(UnknownStateError):
                    return await claims.renew("room", "", worker="w1", job="J1", epoch=1) is not None
                return False

            # The demoted one refuses, and at once the very next try goes where the name leads.
            await eventually(renewed, LIMIT_S)
            assert (await pair.new.admin.get(Keys("eu").claim("room"))) is not None
            await eventually(lambda: listens(pair.new), LIMIT_S)
            await pair.new.admin.publish(CHANNEL, "handoff")
            await eventually(lambda: _heard(heard), LIMIT_S)
            await eventually(lambda: nobody_left(pair), LIMIT_S)
        finally:
            await cancel_and_wait([listening])


@pytest.mark.parametrize("how", ["command", "transaction", "pipeline", "script"])
async def test_each_way_to_write_leaves_the_demoted_server(pair: Pair, how: str) -> None:
    async with client(pair.name) as made:

        async def write() -> None:
            match how:
                case "command":
                    await made.set("k", how)
                case "script":
                    await made.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "k", how)
                case _:
                    async with made.pipeline(transaction=how == "transaction") as pipe:
                        pipe.set("k", how)
                        pipe.set("l", how)
                        await pipe.execute()

        await write()
        await pair.fail_over()

        async def written() -> bool:
            with contextlib.suppress(*REDIS_FAILURES):
                await write()
                return True
            return False

        await eventually(written, LIMIT_S)
        assert await pair.new.admin.get("k") == how


async def test_a_name_that_still_leads_to_the_demoted_server_is_unknown_and_asked_again(pair: Pair) -> None:
    """DNS takes its time: until then every command fails as Redis' being away does, and none hangs."""
    async with client(pair.name) as made:
        claims = ClaimStore(Scripts(made), "eu")
        assert await claims.accept("room", "", worker="w1", job="J1") == Accepted(1)
        await pair.fail_over()
        pair.name.leads_to = pair.old.port
        for _ in range(5):
            with pytest.raises(UnknownStateError):
                await claims.renew("room", "", worker="w1", job="J1", epoch=1)
        pair.name.leads_to = pair.new.port
        assert await claims.renew("room", "", worker="w1", job="J1", epoch=1) is not None


async def test_a_replica_that_lost_its_master_and_serves_nothing_is_left(pair: Pair) -> None:
    """MASTERDOWN: reads fail too, so readers leave as well."""
    async with client(pair.name) as made:
        await made.set("k", "v")
        await pair.fail_over()
        await pair.old.admin.config_set("replica-serve-stale-data", "no")
        await pair.old.admin.replicaof("127.0.0.1", "1")

        async def read() -> bool:
            with contextlib.suppress(*REDIS_FAILURES):
                return await made.get("k") == "v"
            return False

        await eventually(read, LIMIT_S)


def test_what_says_that_a_server_is_no_master() -> None:
    old_script = (
        "Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica."
    )
    new_script = "READONLY You can't write against a read only replica. script: 1, on @user_script:1."
    for error in (ReadOnlyError("You can't write"), ResponseError(old_script), ResponseError(new_script)):
        assert is_not_master(error)
    for text in ("MASTERDOWN Link with MASTER is down", "NOREPLICAS Not enough good replicas to write."):
        assert is_not_master(ResponseError(text))
    for text in ("MISCONF Redis is configured to save RDB snapshots", "NOPERM READONLY", "WRONGTYPE", "OOM command"):
        assert not is_not_master(ResponseError(text))


async def listens(at: Server) -> bool:
    return bool((await at.admin.pubsub_numsub(CHANNEL))[0][1])


async def nobody_left(pair: Pair) -> bool:
    here: list[dict[str, str]] = await pair.old.admin.client_list()
    return not [c for c in here if "N" in c["flags"] and c["cmd"] not in ("client", "client|list")] and not any(
        c for c in here if "P" in c["flags"]
    )


async def _heard(heard: list[str]) -> bool:
    return CHANNEL in heard
