"""A Redis user for each component and region: all that its code does, and nothing else, by the real server's word."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from livekit import api
from redis.exceptions import NoPermissionError, ResponseError

from support.controlling import FRONT, Running, caller, controller, region
from support.eventually import eventually
from support.redis_programs import Server, redis_programs, server
from voicefleet.callers.caller import Caller
from voicefleet.commands.redis_acl import setuser_commands
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.claims import Claim, ClaimState
from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.contract.keys import PREFIX, Keys
from voicefleet.runtime.redis import acl as rules
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts, connect_redis, script_names, script_text
from voicefleet.runtime.redis.scripts import ScriptArguments
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit, livekit_server
from voicefleet.worker.conversation.transcript import decode

pytestmark = pytest.mark.integration

TREE = Path(__file__).resolve().parents[2]
TESTS = str(TREE / "tests")
PROGRAMS = redis_programs()
REGIONS = ("test", "us")
KEYS, THEIRS = Keys("test"), Keys("us")


@dataclass
class Users:
    server: Server

    @property
    def controller(self) -> str:
        return self.server.url("voicefleet-controller", "controller-password")

    def worker(self, name: str) -> str:
        return self.server.url(f"voicefleet-worker-{name}", f"{name}-password")

    async def denied(self) -> list[dict[str, Any]]:
        """What Redis refused since the users were made."""
        return list(await self.server.admin.acl_log())


@pytest.fixture(params=sorted(PROGRAMS))
async def users(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Users]:
    """The users as an operator makes them: our lines, and a password each."""
    async with server(PROGRAMS[request.param], tmp_path / "redis") as found:
        made = Users(found)
        for line in setuser_commands(REGIONS, "voicefleet-controller").splitlines():
            assert await found.admin.execute_command(*line.split()) == "OK"  # type: ignore[no-untyped-call]
        passwords = {"voicefleet-controller": "controller-password"}
        passwords |= {f"voicefleet-worker-{name}": f"{name}-password" for name in REGIONS}
        for user, password in passwords.items():
            await found.admin.execute_command("ACL", "SETUSER", user, "on", f">{password}")  # type: ignore[no-untyped-call]
        await found.admin.acl_log_reset()
        yield made


def service(users: Users, livekit: LiveKit, tmp_path: Path) -> dict[str, Any]:
    """A region whose workers are processes with the worker's user."""
    command = [sys.executable, "-m", "voicefleet.cli.app", "worker", "--tiers", "synthetic"]
    env = {
        "VOICEFLEET_REDIS_URL": users.worker("test"),
        "PYTHONPATH": os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")]),
    }
    return region(
        livekit,
        pool={"min_workers": 1, "max_workers": 4, "slots": 1, "scale_down_delay_s": 600},
        process={
            "command": [*command, "--agent", "support.counting_agent:create"],
            "env": env,
            "state_dir": str(tmp_path / "workers"),
            "log_dir": str(tmp_path / "logs"),
        },
        waiting_message={"after_s": 1, "every_s": 7},
    )


async def claim_of(users: Users, room: str) -> Claim | None:
    text = await users.server.admin.get(KEYS.claim(room))
    claim = codec.load(Claim, text) if text else None
    return claim if claim is not None and claim.state == ClaimState.LIVE else None


async def test_a_fleet_lives_on_these_rights_and_redis_never_refuses_it(users: Users, tmp_path: Path) -> None:
    """Tickets, calls, the queue, waiting messages, a drain with its handoff, a killed job, limits, campaigns, ends of
    calls: with real workers and a real controller, each under its own user."""
    with Ports() as ports:
        port = ports.tcp()
    hook = f"http://127.0.0.1:{port}/webhooks/livekit/test"
    (tmp_path / "logs").mkdir()
    async with livekit_server("test", webhook_urls=[hook]) as livekit:
        regions = {"test": service(users, livekit, tmp_path)}
        async with controller(tmp_path, livekit, users.controller, port=port, regions=regions) as running:
            await a_day(users, running)
    refused = await users.denied()
    assert not refused, [(entry["username"], entry["reason"], entry["object"]) for entry in refused]


async def a_day(users: Users, running: Running) -> None:
    wanted = {"region": "test", "starts_in_s": 600, "duration_s": 60, "calls": 3}
    async with running.http.post(f"{running.url}/v1/campaigns", json=wanted, headers=FRONT) as answer:
        assert answer.status == 201, await answer.text()
    assert len((await running.get("/v1/campaigns"))["campaigns"]) == 1

    ticket = await running.ticket(region="test")
    admission = CallTicket.model_validate(ticket)
    utterances = load_utterances()[:8]
    talking = asyncio.create_task(Caller("first", admission, utterances).run())

    async def live() -> bool:
        return await claim_of(users, ticket["room"]) is not None

    await eventually(live, 40.0)
    first = await claim_of(users, ticket["room"])
    assert first is not None

    async def kept() -> bool:
        text = await users.server.admin.get(KEYS.transcript(ticket["room"]))
        return text is not None and decode(str(text)).kept.get("pid") is not None

    await eventually(kept, 20.0)
    text = str(await users.server.admin.get(KEYS.transcript(ticket["room"])))
    os.kill(int(decode(text).kept["pid"]), signal.SIGKILL)

    async def recovered() -> bool:
        claim = await claim_of(users, ticket["room"])
        return claim is not None and claim.job != first.job

    await eventually(recovered, 40.0)
    second = await claim_of(users, ticket["room"])
    assert second is not None
    # Nobody is free for another one: it waits, hears the waiting message, and is served by a new worker.
    other = await running.ticket(region="test")
    async with caller(other["url"], other["token"]):

        async def held() -> bool:
            return bool(await users.server.admin.exists(KEYS.waiting_message(other["room"])))

        await eventually(held, 20.0)

        async def served() -> bool:
            return await claim_of(users, other["room"]) is not None

        await eventually(served, 40.0)
    async with running.http.post(f"{running.url}/v1/workers/{second.worker}/drain", headers=FRONT) as answer:
        assert answer.status == 202, await answer.text()

    async def handed_over() -> bool:
        claim = await claim_of(users, ticket["room"])
        return claim is not None and claim.worker != second.worker

    await eventually(handed_over, 60.0)
    outcome = await talking
    assert not outcome.silent, outcome
    await running.api.room.delete_room(api.DeleteRoomRequest(room=ticket["room"]))

    async def over() -> bool:
        return not await users.server.admin.exists(KEYS.claim(ticket["room"]), KEYS.call(ticket["room"]))

    await eventually(over, 20.0)
    ledger = await users.server.admin.hgetall(KEYS.ledger)
    assert int(ledger["handed_over"]) >= 1
    assert int(ledger["recovered"]) >= 1


SERVER_COMMANDS = [
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "requirepass"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "default", "nopass"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SCRIPT", "FLUSH"),
    ("EVAL", "return 1", "0"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "NO", "ONE"),
    ("PSUBSCRIBE", "*"),
    ("SUBSCRIBE", THEIRS.events + "x", "__keyevent@0__:set"),
    ("GET", "room_node_map"),
    ("HGETALL", "rooms"),
    ("SET", "somebody-elses", "x"),
    ("PUBLISH", "rtc_node", "x"),
]
"""What nobody of ours may: `rooms` and the like are LiveKit's own."""

WORKER_COMMANDS = [
    ("GET", THEIRS.claim("room")),
    ("SET", THEIRS.claim("room"), "x"),
    ("GET", THEIRS.transcript("room")),
    ("ZADD", THEIRS.workers, "1", "w"),
    ("PUBLISH", THEIRS.events, "x"),
    ("SUBSCRIBE", THEIRS.job_channel("J1")),
    ("ZADD", KEYS.callers, "1", "room"),
    ("ZREM", KEYS.waiting, "room"),
    ("DEL", KEYS.inflight),
    ("GET", KEYS.call("room")),
    ("SADD", KEYS.drains, "w-2"),
    ("SET", KEYS.models, "x"),
    ("ZADD", KEYS.campaigns, "1", "x"),
    ("DEL", KEYS.waiting_message("room")),
    ("INCR", f"{PREFIX}:requests:{{web}}:1"),
    ("ZREM", f"{PREFIX}:calls:{{web}}", "eu/room"),
    ("INFO",),
    ("PUBSUB", "NUMSUB", KEYS.job_channel("J1")),
]
"""What is the controller's, another region's or another region's workers'."""


async def refuses(url: str, *command: str) -> bool:
    async with redis.asyncio.Redis.from_url(url, driver_info=None) as client:
        try:
            await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoPermissionError:
            return True
        except ResponseError as error:
            pytest.fail(f"{command}: {error}")
    return False


async def test_nobody_of_ours_may_touch_the_server_or_what_is_not_ours(users: Users) -> None:
    urls = (users.controller, users.worker("test"))
    allowed = [command for url in urls for command in SERVER_COMMANDS if not await refuses(url, *command)]
    assert not allowed


async def test_a_worker_reaches_neither_another_region_nor_what_is_the_controllers(users: Users) -> None:
    allowed = [command for command in WORKER_COMMANDS if not await refuses(users.worker("test"), *command)]
    assert not allowed


async def test_a_script_gives_no_rights_that_its_user_has_not(users: Users) -> None:
    """A worker may load scripts of its own making: what they run is held against its rights all the same."""
    client = connect_redis(users.worker("test"))
    try:
        for body, keys in {
            "return redis.call('GET', KEYS[1])": [THEIRS.transcript("room")],
            f"return redis.call('GET', '{THEIRS.transcript('room')}')": [KEYS.claim("room")],
            "return redis.call('FLUSHALL')": [KEYS.claim("room")],
            f"return redis.call('ZREM', '{KEYS.waiting}', 'room')": [KEYS.claim("room")],
        }.items():
            sha = await client.script_load(body)
            with pytest.raises(ResponseError, match=r"can't (access|run)|permissions"):
                await client.evalsha(sha, 1, *keys)
    finally:
        await client.aclose()


async def test_a_controller_of_one_region_reaches_no_other(users: Users) -> None:
    line = rules.setuser_lines(["test"], controller="one-region")[0]
    admin = users.server.admin
    await admin.execute_command(*line.split())  # type: ignore[no-untyped-call]
    await admin.execute_command("ACL", "SETUSER", "one-region", "on", ">one")  # type: ignore[no-untyped-call]
    url = users.server.url("one-region", "one")
    assert not await refuses(url, "GET", KEYS.models)
    for command in (("GET", THEIRS.models), ("DEL", THEIRS.waiting), ("PUBLISH", THEIRS.events, "x")):
        assert await refuses(url, *command)


@pytest.mark.parametrize("lacks", ["-zadd", "-evalsha", "resetkeys"])
async def test_a_user_that_lacks_a_right_is_told_the_hint(users: Users, lacks: str) -> None:
    """As after an upgrade that needs one more: not as if Redis were away."""
    await users.server.admin.execute_command("ACL", "SETUSER", "voicefleet-worker-test", lacks)  # type: ignore[no-untyped-call]
    client = connect_redis(users.worker("test"))
    try:
        with pytest.raises(UnknownStateError, match="voicefleet redis-acl REGION"):
            await ClaimStore(Scripts(client), "test").accept("room", "", worker="w", job="J1")
    finally:
        await client.aclose()


async def test_the_lines_may_be_run_again_and_keep_the_passwords(users: Users) -> None:
    for line in setuser_commands(REGIONS, "voicefleet-controller").splitlines():
        await users.server.admin.execute_command(*line.split())  # type: ignore[no-untyped-call]
    assert not await refuses(users.worker("us"), "GET", THEIRS.claim("room"))


async def test_a_user_has_no_password_and_is_off_until_the_operator_says_otherwise(users: Users) -> None:
    admin = users.server.admin
    line = rules.setuser_lines(["test"], controller="new")[0]
    await admin.execute_command(*line.split())  # type: ignore[no-untyped-call]
    made: Any = await admin.acl_getuser("new")
    assert "off" in made["flags"]
    assert not made["passwords"]


@pytest.mark.parametrize("name", ["EU", "eu us", "eu}", "*", ""])
def test_a_name_that_would_widen_the_rules_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="REGION"):
        setuser_commands([name], "voicefleet-controller")
    if name != "EU":
        with pytest.raises(ConfigError, match="--controller-user"):
            setuser_commands(["eu"], name)


# What the code sends, read from the code.

PIPES = {"pipe", "client", "redis", "_redis", "_client"}


def sent_by(*folders: str) -> Iterator[tuple[str, str]]:
    """(place, command) of each call on something that is named as a client of Redis."""
    for folder in folders:
        for path in sorted((TREE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                owner = ast.unparse(node.func.value).rpartition(".")[2]
                if owner in PIPES and (command := COMMANDS.get(node.func.attr, "")):
                    yield f"{path.relative_to(TREE)}:{node.lineno}", command


_SENT_AS = {
    "delete": "del",
    "incr": "incrby",
    "decr": "decrby",
    "script_load": "script|load",
    "pubsub_numsub": "pubsub|numsub",
}
COMMANDS = {
    name: _SENT_AS.get(name, name)
    for name in dir(redis.asyncio.Redis)
    if not name.startswith("_") and name.islower() and callable(getattr(redis.asyncio.Redis, name))
}
for no_command in (
    *("pipeline", "aclose", "close", "pubsub", "from_url", "from_pool", "register_script", "execute_command", "lock"),
    *("get_connection_kwargs", "get_encoder", "initialize", "parse_response", "client", "transaction"),
):
    COMMANDS.pop(no_command, None)


@pytest.mark.parametrize(
    ("granted", "folders"),
    [
        (rules.worker_rights("eu").commands, ("worker/voicefleet/worker", "worker/voicefleet/runtime")),
        (rules.controller_rights(["eu"]).commands, ("controller/voicefleet/controller", "worker/voicefleet/runtime")),
    ],
    ids=["worker", "controller"],
)
def test_every_command_in_the_code_is_granted(granted: tuple[str, ...], folders: tuple[str, ...]) -> None:
    sent = list(sent_by(*folders))
    assert len(sent) > 3  # it finds what there is
    missing = [f"{place}: {command}" for place, command in sent if command not in granted]
    assert not missing, "add them to runtime/redis/acl.py: " + ", ".join(missing)


def test_every_script_of_a_worker_is_known() -> None:
    """The worker's own, and those of the stores of claims and call logs that the controller does not keep to itself."""
    named = set()
    stores = (TREE / "worker/voicefleet/runtime/redis" / name for name in ("claim_store.py", "call_log_store.py"))
    for path in [*(TREE / "worker/voicefleet/worker").rglob("*.py"), *stores]:
        text = path.read_text(encoding="utf-8")
        named |= {kind.script for kind in ScriptArguments.__subclasses__() if re.search(rf"\b{kind.__name__}\(", text)}
    of_controller = {"handoff_begin", "recover", "fence", "trouble_move"}
    of_controller |= {"call_reason", "calls_due", "call_close", "call_note"}
    assert named - of_controller == set(rules.WORKER_SCRIPTS)


def test_every_call_of_a_script_is_seen() -> None:
    for name in script_names():
        text = script_text(name)
        calls = text.count("redis.call(") + text.count("redis.pcall(")
        assert len(rules._CALL.findall(text)) == calls, name


def test_every_key_in_the_workers_code_is_granted() -> None:
    rights = rules.worker_rights("eu")
    granted = {*rights.keys, *rights.channels}
    missing = []
    for path in sorted((TREE / "worker/voicefleet/worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] in ("keys", "_keys"):
                found = getattr(Keys("eu"), node.attr, None)
                pattern = found if isinstance(found, str) else found("*") if found else None
                if pattern is not None and pattern not in granted:
                    missing.append(f"{path.relative_to(TREE)}:{node.lineno}: {node.attr}")
    assert not missing, "add them to worker_rights in runtime/redis/acl.py: " + ", ".join(missing)
