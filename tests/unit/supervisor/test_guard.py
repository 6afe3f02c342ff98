from __future__ import annotations

import os

import pytest

from voicefleet.runtime.supervisor import guard
from voicefleet.runtime.supervisor.guard import Register

pytestmark = pytest.mark.unit


def test_a_pid_is_remembered_with_its_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {5: "100"}
    monkeypatch.setattr(guard, "start_time", times.get)
    register = Register()
    register.apply("+pid 5")
    register.apply("+pid 6")
    assert register.live_leaders() == {5}
    times[5] = "200"
    assert register.live_leaders() == set(), "the number was given to another process"
    register.apply("-pid 5")
    assert register.leaders == {}


def test_only_our_own_directories_are_ever_removed() -> None:
    register = Register()
    for order in (
        "+dir /tmp/voicefleet-a",
        "+dir /home/me",
        "+dir /",
        "+dir /tmp/voicefleet-b",
        "-dir /tmp/voicefleet-b",
    ):
        register.apply(order)
    assert register.directories == {"/tmp/voicefleet-a"}


@pytest.mark.parametrize("line", ["", "+pid", "+pid x", "+pid -1", "kill 1", "+dir"])
def test_malformed_orders_are_ignored(line: str) -> None:
    register = Register()
    register.apply(line)
    assert not register.leaders
    assert not register.directories


def test_start_time_of_live_and_absent_processes() -> None:
    assert guard.start_time(os.getpid()) is not None
    assert guard.start_time(2**22 + 1) is None
