"""The process fleet: real worker processes (dummies), real signals, a controller killed with kill -9."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from support.dummy_fleet import API_KEYS, KEYS, RUN, SECRET, Harness, dummy_fleet
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import ConfigError
from voicefleet.controller.adapters.processes import fleet as process
from voicefleet.controller.adapters.processes import worker_logs
from voicefleet.controller.adapters.processes.records import Record, Records
from voicefleet.controller.settings.load import load_settings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.supervisor.children import Child
from voicefleet.scaling.observation import LOST_AFTER_S
from voicefleet.stack import servers

pytestmark = pytest.mark.integration


@pytest.fixture
async def harness(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> AsyncIterator[Harness]:
    async with dummy_fleet(tmp_path, livekit, redis_url) as made:
        yield made


async def test_grows_with_waiting_calls_and_shrinks_only_past_live_ones(harness: Harness) -> None:
    async with harness.controller(harness.settings(pool={"max_workers": 2})):
        await eventually(lambda: _ready(harness, {"eu-1"}))
        pid = harness.records()["eu-1"]
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"LIVEKIT_API_SECRET=" + harness.livekit.api_secret.encode() in environ
        assert SECRET.encode() not in environ  # the controller's own keys are not a worker's business
        assert harness.livekit.api_secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        async with harness.callers("a", "b", "c"):
            await eventually(lambda: _ready(harness, {"eu-1", "eu-2"}))
            harness.says_live("eu-1", 2)
            harness.says_live("eu-2", 1)
            await eventually(lambda: _live(harness, 3))
        # The callers are gone; the workers still have their calls.
        await asyncio.sleep(1.0)
        assert await harness.ready_workers() == {"eu-1", "eu-2"}
        harness.says_live("eu-1", 1)  # 2 calls fit one worker: one is cordoned, and stays for its call
        await eventually(lambda: _draining(harness, 1))
        await asyncio.sleep(1.0)
        assert len(harness.records()) == 2
        draining = ({"eu-1", "eu-2"} - await harness.ready_workers()).pop()
        harness.says_live(draining, 0)
        await eventually(lambda: len(harness.records()) == 1)
        assert draining not in harness.records()
        await eventually(lambda: len(list(harness.state.glob("*.json"))) == 1)
    assert harness.records() == {}


async def _ready(harness: Harness, wanted: set[str]) -> bool:
    return bool(await harness.ready_workers() == wanted)


async def _live(harness: Harness, wanted: int) -> bool:
    return bool(sum(w["live"] for w in (await harness.view())["workers"]) == wanted)


async def _draining(harness: Harness, wanted: int) -> bool:
    return bool((await harness.view())["draining"] == wanted)


async def test_workers_survive_kill_9_of_the_controller_and_are_adopted(harness: Harness) -> None:
    settings = harness.settings(pool={"min_workers": 2})
    child = harness.start(settings)
    await eventually(harness.ready.exists)
    await eventually(lambda: _ready(harness, {"eu-1", "eu-2"}))
    before = harness.records()
    child.kill()
    await child.wait()
    await asyncio.sleep(0.5)
    assert harness.records() == before
    harness.says_live("eu-1", 1)
    # A process that only seems to be a worker: a record whose pid was used again.
    stranger = {"id": "eu-9", "region": "eu", "pid": os.getpid(), "ticks": "1", "stopping": False}
    (harness.state / "eu-9.json").write_text(json.dumps(stranger))
    # A record whose writer died between the start and noting the pid.
    (harness.state / "eu-2.json").write_text(json.dumps({"id": "eu-2", "region": "eu"}))
    async with harness.controller(settings):
        await eventually(lambda: _ready(harness, {"eu-1", "eu-2"}))
        assert harness.records() == before
        assert not (harness.state / "eu-9.json").exists()
        # A second controller on the same directory would start everything twice.
        second = Child(
            "second",
            [sys.executable, "-c", RUN, settings, harness.directory / "second.json"],
            log_path=harness.directory / "second.log",
            env={
                "TEST_REDIS": harness.redis_url,
                "TEST_SECRET": harness.livekit.api_secret,
                "TEST_API_KEYS": API_KEYS,
            },
        )
        assert await second.wait() == 1
        assert "another controller runs the workers of eu" in second.log_tail()
        # An adopted worker that dies is replaced too.
        os.killpg(before["eu-2"], signal.SIGKILL)
        await eventually(lambda: _ready(harness, {"eu-1", "eu-3"}))
    assert harness.records() == {}


async def test_a_second_controller_with_another_state_directory_is_refused(harness: Harness) -> None:
    settings = harness.settings()
    async with harness.controller(settings) as first:
        await eventually(lambda: _ready(harness, {"eu-1"}))
        other = harness.directory / "other.yaml"
        elsewhere = str(harness.directory / "o")
        other.write_text(settings.read_text().replace(str(harness.state), elsewhere))
        second = Child(
            "second",
            [sys.executable, "-m", "voicefleet.cli.app", "controller", "--config", other],
            log_path=harness.directory / "second.log",
            env={
                "TEST_REDIS": harness.redis_url,
                "TEST_SECRET": harness.livekit.api_secret,
                "TEST_API_KEYS": API_KEYS,
            },
        )
        assert await second.wait() == 2
        told = second.log_tail()
        assert "another controller runs the workers of eu" in told
        assert f"state directory {harness.state} on " in told
        assert set(harness.records()) == {"eu-1"}
        assert not list(Path(elsewhere).glob("*.json")), "it started nothing"
        # One that was killed is not locked out by its own lease.
        first.kill()
        await first.wait()
        began = time.monotonic()
        async with harness.controller(settings):
            await eventually(lambda: _ready(harness, {"eu-1"}))
        assert time.monotonic() - began < 8.0, "the promise itself: it does not wait for its own lease to run out"


async def test_while_redis_is_away_nothing_is_started_and_all_is_well_soon_after(
    tmp_path: Path, livekit: servers.LiveKit
) -> None:
    """Longer than a worker may be silent until it counts as lost; ten minutes are played in virtual time elsewhere."""
    async with (
        servers.redis_server() as redis,
        dummy_fleet(tmp_path, livekit, redis.url) as harness,
        harness.controller(harness.settings(pool={"min_workers": 3})),
    ):
        await eventually(lambda: _ready(harness, {"eu-1", "eu-2", "eu-3"}))
        redis.proc.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(5.0)
            os.killpg(harness.records()["eu-3"], signal.SIGKILL)
            await asyncio.sleep(LOST_AFTER_S + 3.0)
            assert (await harness.view())["status"] == "unknown"
            assert set(harness.records()) == {"eu-1", "eu-2"}
            assert (harness.state / ".eu.next").read_text() == "4", "no number was given to another worker"
        finally:
            redis.proc.send_signal(signal.SIGCONT)
        await eventually(lambda: _status(harness, "ok"), 5.0)
        await eventually(lambda: _ready(harness, {"eu-1", "eu-2", "eu-4"}))
        assert (harness.state / ".eu.next").read_text() == "5", "the one that died, and none for those not heard"


async def _status(harness: Harness, wanted: str) -> bool:
    return bool((await harness.view())["status"] == wanted)


async def test_left_running_when_asked(harness: Harness) -> None:
    async with harness.controller(harness.settings(on_exit="leave")):
        await eventually(lambda: _ready(harness, {"eu-1"}))
    left = harness.records()
    assert set(left) == {"eu-1"}
    async with harness.controller(harness.settings(on_exit="stop")):
        await eventually(lambda: _ready(harness, {"eu-1"}))
        assert harness.records() == left


async def test_a_worker_that_ignores_sigterm_is_killed_at_the_end(harness: Harness) -> None:
    stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"
    settings = harness.settings(command=[sys.executable, "-c", stubborn], stop_timeout_s=0.5)
    async with harness.controller(settings) as child:
        await eventually(lambda: len(harness.records()) == 1)
        await asyncio.sleep(0.5)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0
        # The promise itself: a worker that ignores SIGTERM is killed after `stop_timeout_s`, not before. It does not
        # last its 99 s either: the wait for the controller's end is shorter.
        assert time.monotonic() - began > 0.4
    assert harness.records() == {}


async def test_a_crash_loop_is_slowed_down_and_said(harness: Harness) -> None:
    async with harness.controller(harness.settings(env={"DUMMY_CRASH": "1"})):

        async def reason() -> str:
            return str((await harness.view())["reason"])

        await eventually(lambda: _has(reason, "3 failed starts in a row"))
        text = await reason()
        assert "exited with 3" in text
        assert "no tiers file here" in text
        assert "next in" in text
        assert len(list(harness.logs.glob("eu-*.log"))) <= 4


@pytest.mark.parametrize(
    ("code", "lived_s", "failed"),
    [(0, 11.0, False), (0, 3.0, True), (3, 11.0, True), (3, 61.0, False)],
    ids=["a restart in good order", "never a worker", "a crash at the start", "a crash later"],
)
async def test_what_counts_as_a_failed_start(
    code: int, lived_s: float, failed: bool, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "age_s", lambda record: lived_s)
    for name, value in (("TEST_SECRET", "s" * 32), ("TEST_REDIS", "redis://h"), ("TEST_API_KEYS", API_KEYS)):
        monkeypatch.setenv(name, value)
    started = harness.directory / "started"
    program = f"open({str(started)!r}, 'a').write('x'); raise SystemExit({code})"
    command = [sys.executable, "-S", "-c", program]
    region = load_settings(harness.settings(command=command)).regions["eu"]
    fleet = process.ProcessFleet(region, SystemClock(), environment={}, hidden=())
    fleet.open()
    await fleet.scale(1, ())
    await eventually(lambda: _ended(fleet))
    assert ("1 failed start in a row" in fleet.trouble()) is failed
    await fleet.scale(1, ())
    await eventually(lambda: _ended(fleet))
    assert started.read_text() == ("x" if failed else "xx"), "a failed start is not followed by the next at once"
    await fleet.close()


async def test_a_worker_that_dies_again_and_again_does_not_fill_the_disk(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_logs, "KEPT", 2)
    monkeypatch.setattr(process, "END_BYTES", 1_000)
    monkeypatch.setattr(worker_logs, "END_BYTES", 1_000)
    monkeypatch.setattr(process, "age_s", lambda record: 61.0)  # so that no start is held back
    for name, value in (("TEST_SECRET", "s" * 32), ("TEST_REDIS", "redis://h"), ("TEST_API_KEYS", API_KEYS)):
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-S", "-c", "print('a line of a log\\n' * 1000 + 'the end'); raise SystemExit(3)"]
    region = load_settings(harness.settings(command=command)).regions["eu"]
    fleet = process.ProcessFleet(region, SystemClock(), environment={}, hidden=())
    fleet.open()
    for _ in range(5):
        await fleet.scale(1, ())
        await eventually(lambda: _ended(fleet))
    assert all("the end" in departure.detail for departure in fleet.exits())
    await fleet.close()
    left = {path.name: path.stat().st_size for path in harness.logs.glob("eu-*.log")}
    assert left.keys() == {"eu-3.log", "eu-4.log", "eu-5.log"}, "the last one ended after its files were looked at"
    assert all(size <= 1_000 for size in left.values())


async def _ended(fleet: process.ProcessFleet) -> bool:
    return not await fleet.instances()


async def _has(read: Callable[[], Any], text: str) -> bool:
    return text in await read()


async def test_a_wedged_worker_is_replaced(harness: Harness) -> None:
    (harness.directory / "wedged").touch()
    async with harness.controller(harness.settings(pool={"start_timeout_s": 2, "max_workers": 1})):
        await eventually(lambda: set(harness.records()) == {"eu-1"})
        await eventually(lambda: "eu-1" not in harness.records())
        (harness.directory / "wedged").unlink()
        await eventually(lambda: _ready(harness, {"eu-2"}))


async def test_the_call_of_a_killed_worker_goes_to_the_head_of_the_queue(harness: Harness) -> None:
    settings = harness.settings(pool={"min_workers": 1, "max_workers": 2})
    async with harness.controller(settings):
        await eventually(lambda: _ready(harness, {"eu-1"}))
        async with harness.callers("older", "held"):
            held = Claim(worker="eu-1", job="J1", epoch=4, state="live")
            await harness.redis.set(KEYS.epoch("held"), 4)
            await harness.redis.set(KEYS.claim("held"), codec.dump(held))
            other = dataclasses.replace(held, worker="elsewhere", job="J2")
            await harness.redis.set(KEYS.claim("older"), codec.dump(other))
            await eventually(lambda: _both(harness))
            await harness.redis.delete(KEYS.claim("older"))
            os.killpg(harness.records()["eu-1"], signal.SIGKILL)
            await eventually(lambda: _waits(harness, "held"))
            await eventually(lambda: _waits(harness, "older"))
            assert await harness.redis.zrange(KEYS.waiting, 0, -1) == ["held", "older"]
            assert int(str(await harness.redis.get(KEYS.epoch("held")))) == 5  # the old job is fenced off
            assert await harness.redis.get(KEYS.claim("held")) is None


async def _both(harness: Harness) -> bool:
    return bool(await harness.redis.zcard(KEYS.callers) == 2)


async def _waits(harness: Harness, room: str) -> bool:
    return await harness.redis.zscore(KEYS.waiting, room) is not None


async def test_a_hung_worker_is_ended_once_it_has_no_call(harness: Harness) -> None:
    async with harness.controller(harness.settings(pool={"min_workers": 2, "max_workers": 2})):
        await eventually(lambda: _ready(harness, {"eu-1", "eu-2"}))
        async with harness.callers("held"):
            held = Claim(worker="eu-1", job="J1", epoch=1, state="live")
            await harness.redis.set(KEYS.claim("held"), codec.dump(held))
            hung = harness.records()["eu-1"]
            os.kill(hung, signal.SIGSTOP)
            await asyncio.sleep(12.0)
            assert harness.records()["eu-1"] == hung
            assert await harness.ready_workers() == {"eu-2"}
            await harness.redis.delete(KEYS.claim("held"))
            await eventually(lambda: _ready(harness, {"eu-2", "eu-3"}))
            assert "eu-1" not in harness.records()


async def test_an_ordered_drain_replaces_the_worker(harness: Harness) -> None:
    async with harness.controller(harness.settings(pool={"min_workers": 1, "max_workers": 1})):
        await eventually(lambda: _ready(harness, {"eu-1"}))
        code, said = await harness.command("drain", "eu-1", "--json", str(harness.directory / "drain.json"))
        assert (code, "eu-1 is empty after" in said) == (0, True), said
        result = json.loads((harness.directory / "drain.json").read_text())
        assert (result["worker"], result["region"], result["live"], result["empty"]) == ("eu-1", "eu", 0, True)
        await eventually(lambda: _ready(harness, {"eu-2"}))
        assert set(harness.records()) == {"eu-2"}
        assert await harness.redis.scard(KEYS.drains) == 0
        code, said = await harness.command("drain", "eu-1")
        assert (code, "no worker eu-1. Known: eu-2." in said) == (2, True), said
        code, said = await harness.command("drain", "eu-2", "--controller", "http://127.0.0.1:1")
        assert (code, "did not answer" in said) == (2, True), said


async def test_a_state_directory_that_cannot_be_used(harness: Harness) -> None:
    blocked = harness.directory / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        Records(blocked / "state", "eu", field="state_dir")


def test_a_worker_is_found_by_its_record_not_by_its_id(tmp_path: Path) -> None:
    """Two fleets on one machine may have workers of one id; each finds its own."""
    ours, theirs = Records(tmp_path / "a", "eu", field="f"), Records(tmp_path / "b", "eu", field="f")
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    environment = {**os.environ, "VOICEFLEET_WORKER_ID": "eu-2", **theirs.mark("eu-2")}
    with subprocess.Popen(sleeper, env=environment, start_new_session=True) as process:
        try:
            assert ours.find(Record("eu-2", "eu")) is None
            found = theirs.find(Record("eu-2", "eu"))
            assert found is not None
            assert (found.pid, found.alive) == (process.pid, True)
        finally:
            process.kill()
    assert theirs.find(Record("eu-2", "eu")) is None
    ours.close()
    theirs.close()
