"""What every integration test needs."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.redis.connection import RedisClient, connect_redis
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.caller_build import install_caller


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_children() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and children inherit that: the tests that
    send one would wait for ever. A handler, whichever, is the default again in a child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def caller_program() -> None:
    """The Go engine's program, built; where there is no Go the test is skipped, and in CI it fails."""
    try:
        install_caller(print)
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of a Redis that holds nothing."""
    client = connect_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()
