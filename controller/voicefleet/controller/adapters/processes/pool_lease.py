"""One controller for each pool of processes, held by a lease in Redis.

The lock in a state directory keeps a second controller away from the same directory. One with another directory, on
this machine or elsewhere, would start a second pool on the same Redis and LiveKit: it is refused here. The directory
says who holds the lease, so that a controller that was killed and starts again has it at once; one with another
directory waits until the lease of a dead one has run out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import Protocol

from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import RedisClient, Scripts, translate_redis_errors
from voicefleet.runtime.redis.scripts import Lease

LEASE_S = 8.0
RENEW_EVERY_S = 2.0
_LOOK_EVERY_S = 0.5

log = get_logger(__name__)


class LeaseStore(Protocol):
    """Where the lease is. Each method raises `UnknownStateError` when that does not answer."""

    async def hold(self, holder: str, for_s: float) -> bool:
        """Take or keep the lease; 0.0: give it up. False: another has it, or it is given up."""
        ...

    async def holder(self) -> str:
        """Who has it; empty: nobody."""
        ...


class RedisLease:
    """The lease of one pool in Redis."""

    def __init__(self, redis: RedisClient, pool: str) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._key = Keys(pool).pool_lease

    async def hold(self, holder: str, for_s: float) -> bool:
        return bool(await self._scripts.run([self._key], Lease(holder=holder, ttl_ms=round(for_s * 1000))))

    async def holder(self) -> str:
        with translate_redis_errors():
            return str(await self._redis.get(self._key) or "")


class PoolLease:
    """The lease of the pool `pool` for the controller whose state directory is `directory`.

    Args:
        field: the setting that names the directory, for messages.
    """

    def __init__(self, store: LeaseStore, pool: str, directory: Path, clock: Clock, *, field: str) -> None:
        self._store = store
        self._pool = pool
        self._directory = directory
        self._clock = clock
        self._field = field
        self._us = ""
        self._rival = ""

    @property
    def refusal(self) -> str:
        """Why this controller may start no worker now; empty: it may. Unknown is no reason: what runs is ours."""
        return f"another controller runs this pool ({self._rival}): nothing is started here" if self._rival else ""

    async def take(self) -> None:
        """Take the lease; wait for one that nobody renews any more.

        Raises:
            ConfigError: another controller has it, and renews it; or the directory cannot be used.
        """
        self._us = _identity(self._directory, self._pool, self._field)
        began_s = self._clock.monotonic()
        told = False
        with contextlib.suppress(UnknownStateError):  # `run` goes on asking
            while not await self._store.hold(self._us, LEASE_S):
                other = _named(await self._store.holder())
                if self._clock.monotonic() - began_s > LEASE_S + _LOOK_EVERY_S:
                    raise ConfigError(
                        f"another controller runs the workers of {self._pool} ({other})",
                        field=self._field,
                        value=str(self._directory),
                        hint="Stop that one, or give this one another Redis; with its state directory this one would "
                        "take over its workers.",
                    )
                if not told:
                    log.warning(
                        "another controller had this pool, waiting whether it lives", pool=self._pool, other=other
                    )
                    told = True
                await self._clock.sleep(_LOOK_EVERY_S)

    async def run(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            with contextlib.suppress(UnknownStateError):
                await self.renew()
            await self._clock.sleep(RENEW_EVERY_S)

    async def renew(self) -> None:
        """Once. Raises `UnknownStateError`."""
        before = self._rival
        self._rival = "" if await self._store.hold(self._us, LEASE_S) else _named(await self._store.holder())
        if self._rival and self._rival != before:
            log.error("another controller took this pool, nothing is started here", pool=self._pool, other=self._rival)

    async def release(self) -> None:
        """Give it up: this controller ends in good order."""
        with contextlib.suppress(UnknownStateError):
            await self._store.hold(self._us, 0.0)


def _named(holder: str) -> str:
    """A holder without the mark that tells it from others of the same name."""
    return holder.partition(" ")[2] or "unknown"


def _identity(directory: Path, pool: str, field: str) -> str:
    """Who holds the lease: a mark that stays in the directory, and words for people."""
    path = directory / f".{pool}.id"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(8))
        mark = path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"cannot be used ({error.strerror})", field=field, value=str(directory), hint="Name a directory."
        ) from error
    return f"{mark} state directory {directory.absolute()} on {socket.gethostname()}"
