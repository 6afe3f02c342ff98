"""Files by which a new controller finds the workers of the one before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.adapters.processes.records import Record, Records
from voicefleet.runtime.supervisor.guard import start_time

pytestmark = pytest.mark.unit


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    records = Records(tmp_path, "eu", field="f")
    assert [records.next_id() for _ in range(3)] == ["eu-1", "eu-2", "eu-3"]
    records.close()
    records = Records(tmp_path, "eu", field="f")
    assert records.next_id() == "eu-4"
    records.write(Record("eu-9", "eu"))
    (tmp_path / ".eu.next").write_text("")  # the counter is lost: go on above what is there
    assert records.next_id() == "eu-10"
    records.close()


def test_one_holder_a_region(tmp_path: Path) -> None:
    first = Records(tmp_path, "eu", field="state_dir")
    with pytest.raises(ConfigError, match="another controller"):
        Records(tmp_path, "eu", field="state_dir")
    Records(tmp_path, "eu-1", field="state_dir").close()
    first.close()
    Records(tmp_path, "eu", field="state_dir").close()


def test_records_of_other_regions_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    records = Records(tmp_path, "eu", field="f")
    records.write(Record("eu-1-1", "eu-1", 5))
    records.write(Record("eu-2", "eu", 5))
    (tmp_path / "eu-3.json").write_text("{half")
    assert records.all() == [Record("eu-2", "eu", 5)]
    records.remove("eu-2")
    records.remove("eu-2")
    assert records.all() == []
    records.close()


def test_a_pid_alone_does_not_make_a_process_alive() -> None:
    ticks = start_time(os.getpid()) or ""
    assert Record("eu-1", "eu", os.getpid(), ticks).alive
    assert not Record("eu-1", "eu", os.getpid(), "1").alive
    assert not Record("eu-1", "eu").alive
