"""The local stack on real servers: they start, restart in place, stop, and never outlive us."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio
import redis.exceptions
from aiohttp import web
from livekit import api, rtc
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.runtime.supervisor import ports
from voicefleet.runtime.supervisor.children import (
    Child,
    UnexpectedExit,
    first_unexpected_exit,
    leftover_pids,
    private_directory,
    running,
)
from voicefleet.runtime.supervisor.guard import start_time
from voicefleet.stack.servers import LiveKit, Redis, livekit_server, redis_server

pytestmark = pytest.mark.integration

GONE_LIMIT_S = 10.0


def token(livekit: LiveKit, identity: str, room: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_grants(grants).to_jwt()


async def rooms(livekit: LiveKit) -> list[str]:
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as client:
        answer = await client.room.list_rooms(api.ListRoomsRequest())
    return [room.name for room in answer.rooms]


def everyone_gone(pids: set[int]) -> bool:
    deadline = time.monotonic() + GONE_LIMIT_S
    while time.monotonic() < deadline:
        if all(start_time(pid) is None for pid in pids):
            return True
        time.sleep(0.05)
    return False


async def test_two_participants_hear_each_other_over_loopback(livekit: LiveKit) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    one, two = rtc.Room(), rtc.Room()

    def on_data(packet: rtc.DataPacket) -> None:
        if not heard.done():
            heard.set_result(packet.data)

    two.on("data_received", on_data)
    try:
        await two.connect(livekit.url, token(livekit, "two", "talk"))
        await one.connect(livekit.url, token(livekit, "one", "talk"))
        await one.local_participant.publish_data(b"hello")
        assert await asyncio.wait_for(heard, 15) == b"hello"
        assert await rooms(livekit) == ["talk"]
    finally:
        await one.disconnect()
        await two.disconnect()


async def test_livekit_serves_metrics_and_shuts_strangers_out(livekit: LiveKit) -> None:
    assert livekit.metrics_url is not None
    async with aiohttp.ClientSession() as http, http.get(livekit.metrics_url) as answer:
        assert "livekit_room_total" in await answer.text()
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, "x" * 48) as stranger:
        with pytest.raises(api.TwirpError):
            await stranger.room.list_rooms(api.ListRoomsRequest())


def test_secrets_are_neither_in_the_command_line_nor_in_the_repr(livekit: LiveKit, redis_server: Redis) -> None:
    assert len(livekit.api_secret) >= 32
    assert redis_server.password is not None
    for secret, server in ((livekit.api_secret, livekit), (redis_server.password, redis_server)):
        assert secret not in repr(server)
        assert secret.encode() not in Path(f"/proc/{server.proc.pid}/cmdline").read_bytes()
        assert server.config_path.stat().st_mode & 0o777 == 0o600
        assert server.config_path.parent.stat().st_mode & 0o777 == 0o700


async def test_webhooks_arrive_signed_with_the_servers_key() -> None:
    events: asyncio.Queue[str] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        receiver = api.WebhookReceiver(api.TokenVerifier(server.api_key, server.api_secret))
        events.put_nowait(receiver.receive(await request.text(), request.headers["Authorization"]).event)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    with ports.Ports() as pool:
        port = pool.tcp()
        await web.TCPSite(runner, ports.LOOPBACK, port).start()
        try:
            async with livekit_server("hooks", webhook_urls=[f"http://{ports.LOOPBACK}:{port}/hook"]) as server:
                async with api.LiveKitAPI(server.http_url, server.api_key, server.api_secret) as client:
                    await client.room.create_room(api.CreateRoomRequest(name="r"))
                assert await asyncio.wait_for(events.get(), 10) == "room_started"
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("kill", [False, True])
async def test_livekit_restarts_in_place_and_frees_its_ports(kill: bool) -> None:
    async with livekit_server("eu") as server:
        before, url = server.proc.pid, server.url
        await server.restart(kill=kill)
        assert server.proc.pid != before
        assert server.url == url
        assert await rooms(server) == []
        directory = server.config_path.parent
    assert everyone_gone({before, server.proc.pid})
    assert ports.is_free(server.port, "tcp")
    assert ports.is_free(server.settings.rtc_udp_port, "udp")
    assert not directory.exists()


async def test_a_livekit_server_with_someone_in_a_room_still_stops_soon() -> None:
    room = rtc.Room()
    async with livekit_server("eu") as server:
        await room.connect(server.url, token(server, "stays", "r"))
        # livekit-server itself waits for its participants without a limit: that this ends at all is the promise.
        await asyncio.wait_for(server.stop(), 60)
    await room.disconnect()


async def test_two_regions_run_side_by_side_and_know_nothing_of_each_other() -> None:
    async with livekit_server("eu") as eu, livekit_server("us") as us:
        async with api.LiveKitAPI(eu.http_url, eu.api_key, eu.api_secret) as client:
            await client.room.create_room(api.CreateRoomRequest(name="only-eu"))
        assert await rooms(eu) == ["only-eu"]
        assert await rooms(us) == []


async def test_redis_restarts_with_or_without_its_data() -> None:
    async def claim(server: Redis) -> object:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            return await client.get("claim")

    async with redis_server() as server:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await client.set("claim", "1")
        await server.restart(keep_data=True)
        assert await claim(server) == b"1"
        await server.restart(kill=True, keep_data=True)
        assert await claim(server) == b"1"
        await server.restart()
        assert await claim(server) is None
    assert ports.is_free(server.port, "tcp")


async def test_redis_asks_for_its_password_and_never_evicts(redis_server: Redis, redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert await client.config_get("save") == {"save": ""}
        assert await client.dbsize() == 0
    async with redis.asyncio.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0)) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await stranger.ping()


async def test_a_redis_without_a_password() -> None:
    async with redis_server(password=False) as server, redis.asyncio.Redis.from_url(server.url) as client:
        assert "@" not in server.url
        assert await client.ping()


async def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as holder:
        holder.bind((ports.LOOPBACK, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match="already in use") as caught:
            async with redis_server(port=port):
                pass
        assert (caught.value.field, caught.value.value) == ("redis.port", port)
        with pytest.raises(ConfigError) as caught:
            async with livekit_server("eu", port=port):
                pass
        assert (caught.value.field, caught.value.value) == ("livekit-server-eu.port", port)


async def test_a_server_that_ends_at_its_start_shows_its_last_lines() -> None:
    with pytest.raises(UsageError, match="no_such_setting"):
        async with livekit_server("eu", overrides={"no_such_setting": 1}):
            pass


async def test_a_wrong_path_is_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_LIVEKIT_SERVER", "/no/such/livekit-server")
    with pytest.raises(MissingPartError, match="VOICEFLEET_LIVEKIT_SERVER"):
        async with livekit_server("eu"):
            pass


async def test_a_death_that_nobody_asked_for_is_reported() -> None:
    told: asyncio.Future[UnexpectedExit] = asyncio.get_running_loop().create_future()
    async with redis_server(on_exit=told.set_result) as server:
        watch = asyncio.create_task(first_unexpected_exit([server.proc]))
        server.proc.send_signal(signal.SIGKILL)
        ended = await asyncio.wait_for(told, 5)
        assert ended == await asyncio.wait_for(watch, 5)
        assert ended.returncode == -signal.SIGKILL
        assert "was killed by signal 9" in ended.describe()
        assert "Ready to accept connections" in ended.log_tail


async def test_a_stop_is_no_death() -> None:
    told: list[UnexpectedExit] = []
    async with redis_server(on_exit=told.append) as server:
        await server.restart()
    assert told == []
    assert server.proc.unexpected_exit() is None


async def test_a_child_that_ignores_sigterm_is_killed_with_its_family(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo $!; while :; do sleep 1; done"
    child = Child("deaf", ["sh", "-c", script], log_path=tmp_path / "log", stop_plan=((signal.SIGTERM, 0.3),))
    async with running(child):
        grandchild = int(first_line(child.log_path))
    assert child.returncode == -signal.SIGKILL
    assert everyone_gone({child.pid, grandchild})


async def test_when_a_child_dies_its_family_goes_too(tmp_path: Path) -> None:
    child = Child("parent", ["sh", "-c", "sleep 600 & echo $!; wait"], log_path=tmp_path / "log")
    async with running(child):
        grandchild = int(first_line(child.log_path))
        child.send_signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert everyone_gone({grandchild})


async def test_a_program_that_cannot_be_run_is_a_missing_part(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="cannot be started"):
        Child("x", ["/no/such/program"], log_path=tmp_path / "log")


async def test_a_waiter_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    async with running(Child("cat", ["sleep", "600"], log_path=tmp_path / "log")) as child:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(child.wait(), 0.05)
        assert child.alive
    assert child.returncode == -signal.SIGTERM


def test_private_directories_are_private_and_go_away() -> None:
    with private_directory("x") as directory:
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()


def test_ctrl_c_at_the_terminal_does_not_reach_the_servers(tmp_path: Path) -> None:
    """The whole foreground group gets SIGINT; the program stops its servers itself, in its own order."""
    program = start_program(tmp_path)
    pids = reported_pids(tmp_path)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(GONE_LIMIT_S) == 0
    assert (tmp_path / "stopped").read_text() == "alive until stopped"
    assert everyone_gone(pids)


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_9_of_the_program_leaves_no_process_and_no_secret(tmp_path: Path, frozen: bool) -> None:
    program = start_program(tmp_path)
    pids = reported_pids(tmp_path)
    directories = [Path(line) for line in (tmp_path / "directories").read_text().split()]
    assert len(pids) == 3
    assert all(directory.exists() for directory in directories)
    if frozen:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
    program.kill()
    program.wait()
    assert everyone_gone(pids)
    deadline = time.monotonic() + GONE_LIMIT_S
    while any(directory.exists() for directory in directories) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(directory.exists() for directory in directories)


def test_a_child_may_outlive_a_crash_but_not_the_stack_around_it(tmp_path: Path) -> None:
    """As a worker outlives a controller that crashes, and ends with the demo that started both."""
    program = start_program(tmp_path, NESTED)
    inner, worker = (int(pid) for pid in wait_for(tmp_path / "pids").split())
    os.kill(inner, signal.SIGKILL)
    assert everyone_gone({inner})
    time.sleep(1.0)  # longer than a guard needs to see the end of the program it guards
    assert start_time(worker) is not None
    program.kill()
    program.wait()
    assert everyone_gone({worker})


PROGRAM = """
import asyncio, pathlib, signal, sys
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.stack.servers import livekit_server, redis_server
folder = pathlib.Path(sys.argv[1])

async def main():
    # A grandchild in a session of its own is found by its tag alone.
    stray = Child("stray", ["sh", "-c", "setsid sleep 600 & echo $!; wait"], log_path=folder / "log")
    async with livekit_server("eu") as livekit, redis_server() as redis, running(stray):
        while not (line := stray.log_tail()):
            await asyncio.sleep(0.02)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        (folder / "directories").write_text(f"{livekit.config_path.parent} {redis.config_path.parent}")
        (folder / "new").write_text(f"{livekit.proc.pid} {redis.proc.pid} {int(line)}")
        (folder / "new").rename(folder / "pids")
        await stop.wait()
        if livekit.proc.alive and redis.proc.alive:
            (folder / "stopped").write_text("alive until stopped")

asyncio.run(main())
"""

NESTED = """
import asyncio, pathlib, sys
from voicefleet.runtime.supervisor.children import Child
folder = pathlib.Path(sys.argv[1])

async def main(inner):
    if inner:
        child = Child("worker", ["sleep", "600"], log_path=folder / "log", outlive=True)
        import os
        (folder / "new").write_text(f"{os.getpid()} {child.pid}")
        (folder / "new").rename(folder / "pids")
    else:
        child = Child("controller", [sys.executable, *sys.orig_argv[1:], "inner"], log_path=folder / "log")
    await asyncio.sleep(600)

asyncio.run(main(len(sys.argv) > 2))
"""


def start_program(folder: Path, source: str = PROGRAM) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", source, str(folder)], start_new_session=True)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)
    return path.read_text()


def reported_pids(folder: Path) -> set[int]:
    return {int(pid) for pid in wait_for(folder / "pids").split()}


def first_line(log: Path) -> str:
    deadline = time.monotonic() + 5
    while not (text := log.read_text()).endswith("\n"):
        assert time.monotonic() < deadline, f"nothing was written to {log}"
        time.sleep(0.02)
    return text


def test_leftovers_are_seen_at_any_depth(tmp_path: Path) -> None:
    process = Child("outer", ["sh", "-c", "setsid sleep 600 & echo $!; wait"], log_path=tmp_path / "log")
    grandchild = int(first_line(process.log_path))
    assert {process.pid, grandchild} <= leftover_pids()
    os.kill(grandchild, signal.SIGKILL)
    asyncio.run(process.stop())
    assert everyone_gone({process.pid, grandchild})
    assert not leftover_pids() & {process.pid, grandchild}
