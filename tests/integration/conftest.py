"""What every integration test needs."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from voicefleet.runtime.redis.connection import RedisClient, connect_redis


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_children() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and children inherit that: the tests that
    send one would wait for ever. A handler, whichever, is the default again in a child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of a Redis that holds nothing."""
    client = connect_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()
