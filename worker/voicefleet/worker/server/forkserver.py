"""Makes this process's multiprocessing fork server by forking, with everything that is imported already.

The standard library starts its fork server as a new interpreter, which imports livekit-agents a second time: more
than a second of CPU and 100 MB for every worker. A fork shares both. It is safe where the standard one is: before the
process has threads or an event loop.
"""

from __future__ import annotations

import os
import socket
from multiprocessing import connection, forkserver, resource_tracker, util
from pathlib import Path
from typing import Any


def start_by_fork() -> None:
    """Start the fork server that `multiprocessing` uses from now on. To be called once, before any thread starts.

    It ends when this process ends, as the standard one does: both ends of the `alive` pipe are gone then.
    """
    resource_tracker.ensure_running()
    with socket.socket(socket.AF_UNIX) as listener:
        address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
        listener.bind(address)
        if not util.is_abstract_socket_namespace(address):
            Path(address).chmod(0o600)
        listener.listen()
        alive_r, alive_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(alive_w)
            _serve_and_exit(listener.detach(), alive_r)
        os.close(alive_r)
    # What its own `ensure_running` does at its end; it finds this server alive and leaves it.
    server: Any = forkserver._forkserver
    server._forkserver_address = address
    server._forkserver_alive_fd = alive_w
    server._forkserver_pid = pid


def _serve_and_exit(listener_fd: int, alive_r: int) -> None:
    status = 1
    try:
        forkserver.main(listener_fd, alive_r, [])
        status = 0
    except SystemExit:
        status = 0
    finally:
        # A fork must never run on into its parent's code.
        os._exit(status)
