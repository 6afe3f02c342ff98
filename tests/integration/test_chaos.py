"""Chaos scenarios as their users start them: faults that the fleet survives, wrong options, Ctrl-C, its own tools."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from voicefleet.chaos import packets
from voicefleet.chaos.relay import Mode, Relay
from voicefleet.runtime.supervisor.guard import TAG_VARIABLE, tagged_pids
from voicefleet.runtime.supervisor.ports import Ports

pytestmark = pytest.mark.integration

RUN_LIMIT_S = 200.0
START_LIMIT_S = 60.0
PROMISED = {"scenario", "calls", "silent", "cut", "voice_back_p50_s", "voice_back_p95_s", "double_speech", "notes"}


async def chaos(directory: Path, *arguments: str, mark: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicefleet.cli.app", "chaos", *arguments),
        cwd=directory,
        env={**os.environ, TAG_VARIABLE: mark or f"chaos-{os.urandom(6).hex()}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process, limit_s: float = RUN_LIMIT_S) -> tuple[int | None, str]:
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, out.decode() + err.decode()


async def test_two_scenarios_and_their_result(tmp_path: Path) -> None:
    only = "controller-kill9,webhooks-lost"
    process = await chaos(tmp_path, "--quick", "--only", only, "--json", "out.json")
    code, text = await ended(process)
    result = json.loads((tmp_path / "out.json").read_text())
    assert [scenario["scenario"] for scenario in result["scenarios"]] == only.split(",")
    for scenario in result["scenarios"]:
        assert set(scenario) >= PROMISED
        assert scenario["runs"] + scenario["void"] >= 1
        assert scenario["calls"] == scenario["live"] + scenario["waiting"] or scenario["void"]
        assert scenario["voice_back_p50_s"] is None
    assert result["passed"] is (code == 0)
    assert all(scenario["passed"] for scenario in result["scenarios"] if not scenario["void"]), text
    assert result["seeds"] == [1]
    assert set(result["versions"]) >= {"voicefleet", "livekit-agents", "livekit-server", "redis-server"}
    assert "Traceback" not in text


async def test_a_killed_job_and_a_drained_worker_cost_no_call(tmp_path: Path) -> None:
    """Not the bounds of time, which a shared machine may miss: nobody is left in silence, and another agent answers."""
    process = await chaos(tmp_path, "--quick", "--only", "job-kill9,drain-handoff", "--json", "out.json")
    _, text = await ended(process)
    for scenario in json.loads((tmp_path / "out.json").read_text())["scenarios"]:
        if not scenario["void"]:
            assert (scenario["silent"], scenario["cut"], scenario["double_speech"], scenario["lost"]) == (0, 0, 0, 0), (
                text
            )
            assert scenario["replaced"] >= 1, text
    assert "Traceback" not in text


async def test_ctrl_c_undoes_the_fault_and_ends_everything(tmp_path: Path) -> None:
    mark = f"chaos-{os.urandom(6).hex()}"
    process = await chaos(tmp_path, "--quick", "--only", "redis-away-30s", "--json", "out.json", mark=mark)
    stopped = await asyncio.to_thread(_until_stopped, mark)
    process.send_signal(signal.SIGINT)
    code, text = await ended(process, 60)
    assert stopped, text
    assert code == 130, text
    assert "Traceback" not in text
    assert tagged_pids(mark) == set()
    assert list(tmp_path.iterdir()) == [], "an interrupted run has no result"


def _until_stopped(mark: str) -> bool:
    """Whether a process of the run was stopped by a signal, within the time that takes."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        for pid in tagged_pids(mark):
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    return True
            except OSError:
                continue
        time.sleep(0.1)
    return False


async def test_a_wrong_scenario_is_one_message(tmp_path: Path) -> None:
    code, text = await ended(await chaos(tmp_path, "--only", "worker-kill"), 30)
    assert (code, text) == (2, "voicefleet: --only = 'worker-kill': no such scenario. Did you mean worker-kill9?\n")


async def test_the_relay_passes_loses_and_repeats() -> None:
    taken: list[str] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(f"{request.headers['Authorization']} {await request.text()}")
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    with Ports() as ports:
        port = ports.tcp()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        relay = Relay(ports.tcp())
        url = relay.in_front_of(f"http://127.0.0.1:{port}/hook")

        async def send(text: str) -> int:
            async with aiohttp.ClientSession(headers={"Authorization": "me"}) as http, http.post(url, data=text) as a:
                return a.status

        try:
            async with relay.serving():
                assert await send("one") == 202
                relay.mode = Mode.LOSE
                assert await send("two") == 200
                relay.mode = Mode.MANGLE
                assert await send("three") == 200
                async with asyncio.timeout(10):
                    while len(taken) < 3:
                        await asyncio.sleep(0.05)
        finally:
            await runner.cleanup()
    assert taken == ["me one", "me three", "me three"]


@pytest.mark.skipif(
    not os.environ.get("CI") and (os.geteuid() != 0 or not shutil.which("iptables")),
    reason="the packet filter is root's alone; in CI it must be there",
)
async def test_the_packet_filter_cuts_one_group_off_and_leaves_no_rule() -> None:
    def rules() -> str:
        tables = ("filter", "mangle")
        said = [subprocess.run(["iptables-save", "-t", t], capture_output=True, check=True).stdout for t in tables]
        return b"".join(said).decode()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    talk = f"import socket; s = socket.create_connection(('127.0.0.1', {port}), 1); s.send(b'x'); print(s.recv(1))"

    async def reached(gid: int) -> bool:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", talk, group=gid, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return await process.wait() == 0

    # A chain of a process that was killed before it could remove it.
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    left = packets.PacketFilter(f"VOICEFLEET-{dead.pid}")
    await left.open()
    await left.lose(port, 1.0)

    mark = f"VOICEFLEET-{os.getpid()}"
    async with server, packets.open_filter() as rules_of_ours:
        assert f"VOICEFLEET-{dead.pid}" not in rules()
        assert await reached(61_001)
        await rules_of_ours.cut_off(61_001, tcp=[port])
        assert mark in rules()
        assert await rules_of_ours.dropped() == 0
        assert not await reached(61_001)
        assert await rules_of_ours.dropped() > 0
        assert await reached(61_002)
        await rules_of_ours.heal()
        assert await reached(61_001)
    assert mark not in rules()
