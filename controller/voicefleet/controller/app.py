"""Start and stop of the controller: preflight, loops, HTTP; the reverse on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

from voicefleet.controller.metrics import Metrics
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.wiring.fleets import open_fleets
from voicefleet.controller.wiring.loops import build_listers, build_loops, running
from voicefleet.controller.wiring.regions import check_livekit, open_regions
from voicefleet.controller.wiring.shared import Shared
from voicefleet.controller.wiring.waiting_messages import start_waiting_messages
from voicefleet.controller.wiring.web import build_web
from voicefleet.runtime.clock import BootClock
from voicefleet.runtime.http.server import HttpServer
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import check_redis, connect_redis

log = get_logger(__name__)


async def run_controller(
    settings: Settings,
    *,
    on_ready: Callable[[str], None] | None = None,
    ready_file: Path | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run until SIGTERM, SIGINT or `stop`.

    Args:
        on_ready: told our own URL once we listen.
        ready_file: gets ``{"url": ...}`` then.
        stop: ends the run in good order when set.

    Raises:
        UnreachableError: Redis, every region's LiveKit, or our own port cannot be used; or LiveKit refuses us.
        ConfigError: a program or directory of the settings cannot be used.
    """
    stop = stop or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        _obey_signals(stack, stop)
        clock, metrics = BootClock(), Metrics()
        redis = connect_redis(settings.redis_address)
        stack.push_async_callback(redis.aclose)
        await check_redis(redis, settings.redis_address, field=settings.redis_field)
        shared = Shared(settings, clock, metrics, redis, open_regions(stack, settings, redis, clock, metrics))
        if unlimited := [key.name for key in settings.keys.keys if key.unlimited]:
            log.warning("API keys without roles may do everything; give them as name:secret:ROLES", names=unlimited)
        await check_livekit(shared.regions)
        leadership, election = await open_fleets(stack, shared)
        messages = start_waiting_messages(stack, shared)
        web = build_web(shared, leadership)
        server = HttpServer(web.app, metrics.registry)
        stack.push_async_callback(server.close)
        await server.start(settings.host, settings.port, field="listen")
        stack.push_async_callback(leadership.release)
        listers = build_listers(shared, web)
        # The first decisions should know the calls; a region that does not answer is unknown from the start.
        await asyncio.gather(*(lister.once() for lister in listers))
        loops = build_loops(shared, leadership, web, listers)
        await stack.enter_async_context(running({**election, **messages, **loops}))
        _tell_ready(f"http://{settings.host}:{server.port}", on_ready, ready_file)
        await stop.wait()
        log.info("controller stops")


def _obey_signals(stack: contextlib.AsyncExitStack, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only the main thread may; a run inside another one is stopped by its event.
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)


def _tell_ready(url: str, on_ready: Callable[[str], None] | None, ready_file: Path | None) -> None:
    log.info("controller listens", url=url)
    if ready_file is not None:
        temporary = ready_file.with_name(ready_file.name + ".new")
        temporary.write_text(json.dumps({"url": url}))
        temporary.replace(ready_file)
    if on_ready is not None:
        on_ready(url)
