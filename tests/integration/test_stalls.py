"""The sleeper that tells when the machine stands still, and one that was stopped."""

from __future__ import annotations

import signal
import time

import pytest
from stalls import STALL_S, Stalls

pytestmark = pytest.mark.integration

_LIMIT_S = 30.0


def test_a_sleeper_that_is_woken_late_says_so() -> None:
    stalls = Stalls(frozenset())
    stalls.pytest_sessionstart()
    try:
        began_s, stopped_s, deadline_s = time.monotonic(), STALL_S + 0.2, time.monotonic() + _LIMIT_S
        while not stalls.found(began_s) and time.monotonic() < deadline_s:
            stalls.sleeper.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            stalls.sleeper.send_signal(signal.SIGCONT)
            time.sleep(0.1)
        assert max(stalls.found(began_s)) >= STALL_S
        assert not stalls.found(time.monotonic() + _LIMIT_S)
    finally:
        stalls.pytest_unconfigure()
