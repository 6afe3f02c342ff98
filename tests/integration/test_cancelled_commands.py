"""A task that is cancelled in a command to Redis ends, wherever in it the command is."""

from __future__ import annotations

import asyncio

import pytest

from voicefleet.runtime.redis.connection import RedisClient

pytestmark = pytest.mark.integration

TRIES = 1_000
STEPS = 14
"""Of the event loop within one command, and a few more: each is the moment of a cancellation in its turn."""


async def test_no_command_forgets_a_cancellation(redis: RedisClient) -> None:
    """redis-py sends through `asyncio.wait_for`, which before Python 3.12 forgets one that comes as the sending ends:
    half of these tasks went on."""
    ended = []
    for number in range(TRIES):
        command = asyncio.ensure_future(redis.incr("x"))
        for _ in range(number % STEPS):
            await asyncio.sleep(0)
        if command.done():
            continue
        command.cancel()
        await asyncio.wait({command})
        ended.append(command.cancelled())
        # Its answer is not taken for that of the next command.
        assert await redis.echo(f"after {number}") == f"after {number}"
    assert len(ended) > 200
    assert all(ended), f"{ended.count(False)} of {len(ended)} went on"
