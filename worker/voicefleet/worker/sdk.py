"""The one adapter to what livekit-agents keeps private. Pinned to 1.8.9; `tests/integration/test_worker.py` runs it.

The SDK tells LiveKit a worker's status every 2.5 s. Dispatches sent before the next status are answered 200 and
dropped, so a freed slot or a cordon is told at once here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Mapping

from livekit.agents import AgentServer, JobContext
from livekit.agents.utils import http_context
from livekit.agents.utils.aio import ChanClosed


async def push_status(server: AgentServer) -> None:
    """Tell LiveKit this worker's load and status now; nothing happens while it is not connected."""
    with contextlib.suppress(ChanClosed):
        await server._refresh_worker_load()
        await server._update_worker_status()


def on_job_process_closed(server: AgentServer, callback: Callable[[], None]) -> None:
    """Call `callback` each time a job process has ended and no longer counts in ``server.active_jobs``.

    To be called after the server has started ("worker_started"): its process pool does not exist before.
    """
    loop = asyncio.get_running_loop()
    # The event comes just before the pool takes the process off its list.
    server._proc_pool.on("process_closed", lambda _: loop.call_soon(callback))
    server._proc_pool.on("process_job_launched", lambda _: loop.call_soon(callback))


def set_certificate_fallback() -> None:
    """What the SDK does in a worker's main process before its fork server starts; ours has started by then."""
    http_context._set_default_cert_env()


def accepted_attributes(ctx: JobContext) -> Mapping[str, str]:
    """The attributes that our worker gave this job when it accepted it; the room shows them only once connected.

    From the token and unverified: it is our own, and `ctx.token_claims()` fails where a machine's clock is wrong.
    """
    payload = ctx._info.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims.get("attributes") or {}
