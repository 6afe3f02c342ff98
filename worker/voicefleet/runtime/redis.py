"""The connection to Redis and the Lua scripts in ``lua/``.

Each command is bounded in time: Redis being slow or away must never hold up a call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError

COMMAND_TIMEOUT_S = 1.0
_LISTEN_S = 5.0

RedisClient = Redis
REDIS_FAILURES = (RedisError, OSError, TimeoutError)
"""What a command raises when Redis is away, slow or refuses: the answer is unknown."""


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn a failure of Redis inside the block into ours.

    Raises:
        UnknownStateError: Redis was away, slow or refused; what was asked of it may or may not have been done.
    """
    try:
        yield
    except REDIS_FAILURES as error:
        raise UnknownStateError(f"Redis did not answer ({type(error).__name__})") from error


def shown_address(url: str) -> str:
    """`url` without its password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}:{parts.port or 6379}{parts.path}"


def connect_redis(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> RedisClient:
    """A client of the Redis at `url` (``redis://``, ``rediss://`` for TLS, or ``unix://``). It connects on first use.

    Commands fail within about `timeout_s`; they are not retried here, because the callers repeat on their own beat.

    Raises:
        ConfigError: `url` is not a Redis address.
    """
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
    except ValueError as error:
        raise ConfigError(
            f"not a Redis address ({error})",
            field="redis url",
            way_out="Give redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix://PATH.",
        ) from error


async def check_redis(client: RedisClient, url: str, *, field: str) -> None:
    """Ask Redis for a sign of life.

    Raises:
        UnreachableError: it does not answer, or refuses our credentials.
    """
    try:
        await client.ping()
    except (AuthenticationError, NoPermissionError) as error:
        raise UnreachableError(
            "Redis refuses our credentials",
            field=field,
            value=shown_address(url),
            way_out="Check the user name and password in the address.",
        ) from error
    except REDIS_FAILURES as error:
        raise UnreachableError(
            f"Redis does not answer ({type(error).__name__})",
            field=field,
            value=shown_address(url),
            way_out="Start Redis there, or give the address of one that runs.",
        ) from error


async def listen(client: RedisClient, channels: Iterable[str], heard: Callable[[str], None]) -> None:
    """Tell `heard` the channel of every message. Returns when Redis fails: then it is time to listen anew."""
    pubsub: PubSub = client.pubsub(ignore_subscribe_messages=True)
    try:
        await pubsub.subscribe(*channels)
        while True:
            if (message := await pubsub.get_message(timeout=_LISTEN_S)) is not None:
                heard(str(message["channel"]))
    except REDIS_FAILURES:
        return
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


@cache
def script_text(name: str) -> str:
    """The Lua script ``lua/<name>.lua``."""
    return (resources.files("voicefleet.runtime") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """The Lua scripts over one client. Redis keeps a script until it restarts; redis-py loads it again then."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._known: dict[str, AsyncScript] = {}

    async def run(self, name: str, keys: list[str], args: list[str | int | float]) -> Any:
        """Run ``lua/<name>.lua``.

        Raises:
            UnknownStateError: Redis was away, slow or refused; the script may or may not have run.
        """
        script = self._known.get(name)
        if script is None:
            script = self._known[name] = self._client.register_script(script_text(name))
        with answered():
            return await script(keys=keys, args=args)
