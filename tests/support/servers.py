"""Real servers as fixtures, for every folder of tests.

`livekit` and `redis_server` run once per module; `redis_url` gives each test an empty Redis. They are plain
(synchronous) fixtures: a server belongs to no event loop, so an async test may await its methods. A test that
stops or restarts a server starts its own with `async with livekit_server(...)`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import pytest
import redis

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack import servers

S = TypeVar("S")


@contextlib.contextmanager
def running_server(server: AbstractAsyncContextManager[S]) -> Iterator[S]:
    """Run an async server from a synchronous fixture; where it is not installed, skip (in CI: fail)."""
    # A factory keeps the runner from touching the current loop, which is pytest-asyncio's.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            started = runner.run(_enter(server))
        except MissingPartError as error:
            if environment().get("CI"):
                raise
            pytest.skip(f"{error} Or run `make setup`.")
        try:
            yield started
        finally:
            runner.run(_leave(server))


async def _enter(server: AbstractAsyncContextManager[S]) -> S:
    return await server.__aenter__()


async def _leave(server: AbstractAsyncContextManager[S]) -> None:
    await server.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def livekit() -> Iterator[servers.LiveKit]:
    """A running livekit-server with metrics, for all tests of the module."""
    with running_server(servers.livekit_server("test", prometheus=True)) as server:
        yield server


@pytest.fixture(scope="module")
def redis_server() -> Iterator[servers.Redis]:
    """A running Redis with a password, for all tests of the module."""
    with running_server(servers.redis_server()) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: servers.Redis) -> str:
    """The address of a Redis that is empty when the test begins."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
