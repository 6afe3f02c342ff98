"""What every integration test needs."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_children() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and children inherit that: the tests that
    send one would wait for ever. A handler, whichever, is the default again in a child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
