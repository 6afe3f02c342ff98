"""Connections that do not stay with a server that has stopped being the master, and can be cancelled at any time.

After a failover without Sentinels a name leads to the new master, and the old one, a replica now, keeps our
connections: it answers reads from what it knows, and each write with READONLY, for ever. So such an answer ends the
connection, and with it all others of its pool, for those that only read or listen would never hear it: a job that
listens on the old master counts as silent on the new one. The next command asks the name anew.

They also keep a cancellation: redis-py sends through `asyncio.wait_for`, and before Python 3.12 that forgets one which
comes in the moment the sending is done. Whoever was cancelled there would go on as if nothing had been said.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError

_NOT_MASTER = ("READONLY", "MASTERDOWN", "NOREPLICAS")
"""A replica; a replica without its master; a master that its replicas have left, as a cut-off one is."""
_ALL_EVERY_S = 1.0
"""As long as the name still leads to the old master, its pool is not emptied more often than this."""


class NotMasterError(ConnectionError):
    """The server is not, or cannot act as, the master; the command was not run. The connection is closed."""


def is_not_master(error: ResponseError) -> bool:
    """Whether the answer says that its server is no master (any more).

    A script's own commands are answered in the script's name: from Redis 7 on with the same code, before it inside the
    text ("ERR Error running script (...): -READONLY You can't write against a read only replica").
    """
    if isinstance(error, ReadOnlyError):
        return True
    code = getattr(error, "status_code", None) or ""
    text = str(error)
    return code in _NOT_MASTER or text.startswith(_NOT_MASTER) or any(f" -{word} " in text for word in _NOT_MASTER)


def follow_the_master(pool: ConnectionPool) -> None:
    """Have the connections that `pool` makes from now on end when their server is no master."""
    kind = pool.connection_class
    emptied = _Emptied(pool)

    class Following(kind):  # type: ignore[valid-type, misc]
        async def send_packed_command(self, *args: Any, **options: Any) -> None:
            task = asyncio.current_task()
            before = task.cancelling() if task else 0
            await super().send_packed_command(*args, **options)
            if task and task.cancelling() > before:
                # The answer would be taken for that of the next command.
                await self.disconnect(nowait=True)
                raise asyncio.CancelledError

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except ResponseError as error:
                if not is_not_master(error):
                    raise
                await self.disconnect(nowait=True)
                emptied.once_in_a_while(self)
                raise NotMasterError(f"the server is no master ({type(error).__name__})") from error

    Following.__name__ = Following.__qualname__ = f"Following{kind.__name__}"
    pool.connection_class = Following


class _Emptied:
    """Hangs up the other connections of a pool. Who waits for an answer on one has a connection error, and repeats on
    its own beat; who listens subscribes anew."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._next_s = 0.0

    def once_in_a_while(self, but: AbstractConnection) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _ALL_EVERY_S
        for connection in (*self._pool._available_connections, *self._pool._in_use_connections):
            # Only the line: what redis-py knows of a connection that a task is using is that task's to change.
            if connection is not but and (writer := connection._writer) is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    writer.close()
