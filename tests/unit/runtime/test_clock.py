"""The clocks of the machine."""

from __future__ import annotations

import time

import pytest

from voicefleet.runtime.clock import BootClock

pytestmark = pytest.mark.unit


def test_the_boot_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep_s = 3600.0
    machine = {time.CLOCK_MONOTONIC: 100.0, time.CLOCK_BOOTTIME: 100.0 + asleep_s}
    monkeypatch.setattr(time, "clock_gettime", machine.__getitem__)
    monkeypatch.setattr(time, "monotonic", lambda: machine[time.CLOCK_MONOTONIC])
    assert BootClock().monotonic() == 3700.0
