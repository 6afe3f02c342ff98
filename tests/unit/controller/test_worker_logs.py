"""The files that worker processes write: few, and none without a bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicefleet.controller.adapters.processes import worker_logs
from voicefleet.controller.adapters.processes.worker_logs import KEPT, WorkerLogs

pytestmark = pytest.mark.unit


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_of_workers_that_ended_the_newest_files_stay(tmp_path: Path) -> None:
    logs = WorkerLogs(tmp_path, "eu")
    for number in range(1, KEPT + 102):
        logs.path(f"eu-{number}").touch()
    logs.remove_old({"eu-1"})
    assert names(tmp_path) == {"eu-1.log", *(f"eu-{number}.log" for number in range(102, KEPT + 102))}


def test_files_of_others_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_logs, "KEPT", 1)
    others = {"eu-west-1.log", "eu-west-2.log", "us-1.log", "eu-1.log.gz", "controller.log", "eu-x.log"}
    for name in {*others, "eu-1.log", "eu-2.log", "eu-10.log"}:
        (tmp_path / name).touch()
    WorkerLogs(tmp_path, "eu").remove_old(())
    assert names(tmp_path) == {*others, "eu-10.log"}


def test_a_long_file_keeps_its_end_and_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_logs, "END_BYTES", 30)
    logs = WorkerLogs(tmp_path, "eu")
    descriptor = os.open(logs.path("eu-1"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b"".join(b"line %d\n" % number for number in range(100)))
        logs.cut(["eu-1"], 10_000)
        assert logs.path("eu-1").read_bytes().startswith(b"line 0\n"), "it is short enough"
        logs.cut(["eu-1"], 100)
        assert logs.path("eu-1").read_bytes() == b"line 97\nline 98\nline 99\n"
        os.write(descriptor, b"line 100\n")
        assert logs.path("eu-1").read_bytes() == b"line 97\nline 98\nline 99\nline 100\n"
    finally:
        os.close(descriptor)


def test_a_file_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    logs = WorkerLogs(tmp_path, "eu")
    logs.cut(["eu-1"])
    logs.remove_old(())
    assert names(tmp_path) == set()
