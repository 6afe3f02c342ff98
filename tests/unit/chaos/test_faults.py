"""The pure parts of the faults: which processes serve a call, and what a worker is started with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicefleet.chaos import launcher
from voicefleet.chaos.faults.operations import leavers
from voicefleet.chaos.faults.processes import connected_inodes, group
from voicefleet.chaos.faults.providers import write_faults
from voicefleet.chaos.fleet_harness import breakable_tiers

pytestmark = pytest.mark.unit

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:9C40 0100007F:4E20 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
   2: 0100007F:4E20 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 20 4 30 10 -1
   3: 0100007F:9C41 0100007F:4E20 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
"""


def test_connections_to_a_port_are_those_that_are_up() -> None:
    assert connected_inodes(TCP, 20_000) == {"222"}
    assert connected_inodes(TCP, 40_000) == {"333"}


def test_a_group_is_led_by_its_first() -> None:
    leader = os.getpgrp()
    assert os.getpid() in group(leader)
    assert group(2**22 + 1) == []


def test_those_who_leave_leave_a_call_on_every_worker_if_that_can_be() -> None:
    assert len(leavers({"a": "one", "b": "one", "c": "one", "d": "two"}, 2)) == 2
    assert "d" not in leavers({"a": "one", "b": "one", "c": "one", "d": "two"}, 2)
    even = {"a": "one", "b": "one", "c": "two", "d": "two"}
    assert {even[room] for room in leavers(even, 2)} == {"one", "two"}
    assert leavers({"a": "one"}, 0) == []


def test_every_worker_has_a_group_of_its_own() -> None:
    assert launcher.group_id("eu-1") == launcher.FIRST_GROUP + 1
    assert launcher.group_id("eu-2") != launcher.group_id("eu-1")
    assert launcher.group_id("odd") == launcher.FIRST_GROUP


def test_a_clock_of_its_own_leaves_durations_alone() -> None:
    environment = launcher.clock_environment("/lib/faketime.so", Path("/clocks/eu-1"))
    assert environment["LD_PRELOAD"] == "/lib/faketime.so"
    assert environment["FAKETIME_TIMESTAMP_FILE"] == "/clocks/eu-1"
    assert environment["FAKETIME_DONT_FAKE_MONOTONIC"] == "1"


def test_the_providers_file_is_whole_at_any_time(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    write_faults(file, {"stt": "hang"})
    assert file.read_text() == '{"stt": "hang"}'
    write_faults(file, {})
    assert file.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [file]


def test_breakable_tiers_name_the_file_in_every_stage() -> None:
    tiers = breakable_tiers(Path("/x/faults.json"))["tiers"]
    assert isinstance(tiers, dict)
    stages = tiers["synthetic"]
    assert {stages[stage]["args"]["faults_file"] for stage in ("stt", "llm", "tts")} == {"/x/faults.json"}
