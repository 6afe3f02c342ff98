"""The doctor's findings: a line each, with the way out, and the exit code."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from voicefleet.checks import local_pipeline, programs
from voicefleet.contract.errors import MissingPartError
from voicefleet.doctor import command, machine
from voicefleet.doctor.servers import check_servers
from voicefleet.doctor.settings import Surroundings, surroundings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.finding import Finding, exit_code, failure, ok, warning
from voicefleet.stack.find import Found

pytestmark = pytest.mark.unit

NOWHERE = Surroundings("", "", "", "", "", "")


def doctor_says(findings: list[Finding], monkeypatch: pytest.MonkeyPatch, json_path: Path | None) -> tuple[int, str]:
    async def examined(_: Surroundings) -> list[Finding]:
        return findings

    monkeypatch.setattr(command, "examine", examined)
    out = io.StringIO()
    code = command.doctor(json_path=json_path, console=Console(file=out, soft_wrap=True, width=40))
    return code, out.getvalue()


def test_only_failures_fail() -> None:
    assert exit_code([]) == 0
    assert exit_code([ok("a", "b"), warning("a", "b", "c")]) == 0
    assert exit_code([ok("a", "b"), failure("a", "b", "c")]) == 1


def test_a_line_a_finding_however_long_and_whatever_it_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    findings = [
        ok("python", "3.11"),
        warning("livekit-agents", "not installed", "pip install 'voicefleet[worker,loadtest]'."),
        failure("redis", "no [bold]answer[/] at " + "x" * 200, "Start it."),
    ]
    path = tmp_path / "doctor.json"
    code, text = doctor_says(findings, monkeypatch, path)
    lines = text.splitlines()
    assert code == 1
    assert len(lines) == 3
    assert lines[0].split() == ["ok", "python", "3.11"]
    assert lines[1].endswith("-> pip install 'voicefleet[worker,loadtest]'.")
    assert "no [bold]answer[/] at" in lines[2]
    assert [f["verdict"] for f in json.loads(path.read_text())] == ["ok", "warning", "failure"]


async def test_servers_nobody_names_are_warnings_and_not_asked() -> None:
    found = [finding async for finding in check_servers(NOWHERE, SystemClock())]
    assert [(f.verdict, f.subject) for f in found] == [("warning", "redis"), ("warning", "livekit")]


async def test_an_address_of_livekit_without_a_key_says_so() -> None:
    around = Surroundings("", "ws://127.0.0.1:9", "", "", "", "")
    found = [finding async for finding in check_servers(around, SystemClock())]
    assert (found[-1].verdict, found[-1].found) == ("failure", "no key and secret for ws://127.0.0.1:9")


async def test_a_redis_address_that_is_none_is_a_failure() -> None:
    found = [f async for f in check_servers(Surroundings("nonsense", "", "", "", "", ""), SystemClock())]
    assert (found[0].verdict, found[0].subject) == ("failure", "redis")


def test_secrets_stay_out_of_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_REDIS_URL", "redis://:geheim@h")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "geheim")
    monkeypatch.setenv("VOICEFLEET_CONTROLLER_KEY", "geheim")
    around = surroundings()
    assert around.livekit_api_secret == "geheim"
    assert "geheim" not in repr(around)


def test_a_missing_program_is_a_warning_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Found:
        raise MissingPartError("it is nowhere", field="flite", hint="Install it.")

    found_path = Found(Path("livekit-server"), "PATH", "1.13.11")
    monkeypatch.setattr(programs, "find_flite", missing)
    monkeypatch.setattr(programs, "find_redis_server", missing)
    monkeypatch.setattr(programs, "find_livekit_server", lambda: found_path)
    monkeypatch.setattr(local_pipeline, "local_pipeline_missing", lambda: ["No flite."])
    found = {f.subject: f for f in machine.check_machine()}
    assert found["flite"] == warning("flite", "it is nowhere", "Install it.")
    assert found["livekit-server"] == ok("livekit-server", "1.13.11, livekit-server (PATH)")
    assert found["local pipeline"].verdict == "warning"
    assert found["livekit-agents"].verdict == "ok"


def test_another_version_than_the_tested_one_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PINNED", {"livekit-agents": "0.0.1", "no-such-package-of-ours": "1"})
    agents, absent = machine._packages()
    assert (agents.verdict, agents.hint) == ("warning", "pip install livekit-agents==0.0.1")
    assert (absent.verdict, absent.found) == ("warning", "not installed")


def test_little_room_to_work_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1024**3}))
    assert machine._cores() == warning("cores", "1", "The demo needs two; with one, answers come late.")
    assert machine._disk().verdict == "warning"
