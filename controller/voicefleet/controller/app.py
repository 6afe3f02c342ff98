"""Start and stop of the controller: preflight, loops, HTTP; the reverse on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.contract.keys import Keys
from voicefleet.controller.adapters.livekit import LiveKit
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.handoffs import Handoffs
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.calls.redis_outage import OutageDispatcher
from voicefleet.controller.fleets import open_fleets
from voicefleet.controller.http.api import Api
from voicefleet.controller.http.auth.access import Access
from voicefleet.controller.http.auth.key_file import KeyFile
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.campaigns import Campaigns
from voicefleet.controller.http.end_call import EndCall
from voicefleet.controller.http.health import add_health
from voicefleet.controller.http.openapi import add_document
from voicefleet.controller.http.page import add_page
from voicefleet.controller.http.routes import require_entries
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.campaign_store import CampaignStore
from voicefleet.controller.pool.hung import HungWorkers
from voicefleet.controller.pool.model_store import ModelStore
from voicefleet.controller.pool.reconciler import DecisionLog, PoolReconciler
from voicefleet.controller.pool.worker_store import WorkerStore
from voicefleet.controller.ports import CredentialsRefusedError
from voicefleet.controller.regions.history import History
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.joins import JoinCounter
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.controller.rooms.webhooks import Webhooks
from voicefleet.controller.settings.load import RegionSettings, Settings, inherited_environment
from voicefleet.controller.waiting_message.messages import LOOK_EVERY_S, WaitingMessages
from voicefleet.controller.waiting_message.process import AnnouncerProcess
from voicefleet.runtime.clock import BootClock, Clock
from voicefleet.runtime.http.server import HttpServer, application, health_routes
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import RedisClient, Scripts, check_redis, connect_redis, listen
from voicefleet.runtime.supervisor.lifeline import lifeline
from voicefleet.runtime.tasks import end
from voicefleet.runtime.tracing import OtlpTracer, start_tracing

_AGAIN_S = 1.0
_CALLERS_KNOWN_S = 60.0
"""With Redis away, the callers known last are still spoken to for so long: each room is looked at first."""

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
        redis = connect_redis(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        await check_redis(redis, settings.redis_url, field=settings.redis_field)
        regions = {
            name: await _open_region(stack, settings, region, redis, clock, metrics)
            for name, region in settings.regions.items()
        }
        _trace(stack, settings, regions, metrics)
        if unlimited := [key.name for key in settings.keys.keys if key.unlimited]:
            log.warning("API keys without roles may do everything; give them as name:secret:ROLES", names=unlimited)
        await _check_livekit(regions)
        leadership, election = await open_fleets(stack, settings, regions, clock, metrics)
        _start_waiting_messages(stack, settings, regions, redis, clock, metrics)
        decisions = DecisionLog()
        histories = {name: History(region) for name, region in regions.items()}
        limiter = Limiter(
            redis, clock, per_minute=settings.limits.requests_per_minute, calls=settings.limits.concurrent_calls
        )
        joins = JoinCounter(regions, limiter, metrics, max_duration_s=settings.limits.max_call_duration_s)
        access = Access(settings, limiter, metrics, clock)
        app = _web_app(settings, regions, access, joins, limiter, decisions, metrics, histories, leadership)
        server = HttpServer(app, metrics.registry)
        stack.push_async_callback(server.close)
        await server.start(settings.host, settings.port, field="listen")
        stack.push_async_callback(leadership.release)
        listers = [_lister(settings, region, joins) for region in regions.values()]
        # The first decisions should know the calls; a region that does not answer is unknown from the start.
        await asyncio.gather(*(lister.once() for lister in listers))
        loops = _loops(settings, regions, listers, redis, decisions, histories, leadership)
        if settings.api_keys_file is not None:
            loops["API keys"] = KeyFile(settings.api_keys_file, settings.regions, clock, access.take).run
        await stack.enter_async_context(_running({**election, **loops}))
        _tell_ready(f"http://{settings.host}:{server.port}", on_ready, ready_file)
        await stop.wait()
        log.info("controller stops")


def _trace(stack: contextlib.AsyncExitStack, settings: Settings, regions: dict[str, Region], metrics: Metrics) -> None:
    tracer = start_tracing(settings.otlp_endpoint, "voicefleet-controller", {}, metrics.registry)
    if isinstance(tracer, OtlpTracer):
        stack.callback(tracer.close)
    for region in regions.values():
        region.tracer = tracer


def _obey_signals(stack: contextlib.AsyncExitStack, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only the main thread may; a run inside another one is stopped by its event.
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)


async def _open_region(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    region: RegionSettings,
    redis: RedisClient,
    clock: Clock,
    metrics: Metrics,
) -> Region:
    metrics.open_region(region.name)
    livekit = LiveKit(region.livekit, region.agent_name)
    stack.push_async_callback(livekit.close)
    return Region(
        settings=region,
        livekit=livekit,
        calls=CallStore(redis, Scripts(redis), region.name, grace_ms=round(settings.waiting_grace_s * 1000)),
        workers=WorkerStore(redis, region.name),
        models=ModelStore(redis, region.name),
        campaigns=CampaignStore(redis, region.name),
        fleet=None,
        clock=clock,
        metrics=metrics,
    )


def _start_waiting_messages(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    regions: dict[str, Region],
    redis: RedisClient,
    clock: Clock,
    metrics: Metrics,
) -> None:
    """Start the announcer, if a region has a waiting message. At once: the first caller shall not wait for it."""
    asking = [(region, message) for region in regions.values() if (message := region.settings.waiting_message)]
    if not asking:
        return
    ours = inherited_environment()
    environment = {name: ours[name] for name in ours if name not in settings.secret_variables}
    announcer = AnnouncerProcess(clock, {**environment, **lifeline().environment()})
    stack.push_async_callback(announcer.close)
    announcer.start()
    for region, message in asking:
        messages = WaitingMessages(region.settings, message, region.livekit, redis, announcer, metrics)
        stack.push_async_callback(messages.close)
        region.waiting_messages = messages


async def _check_livekit(regions: dict[str, Region]) -> None:
    """Ask every LiveKit once. One that does not answer is left unknown, as long as another does."""

    async def ask(region: Region) -> UnreachableError | None:
        livekit = region.settings.livekit
        at = f"regions.{region.name}.livekit"
        try:
            await region.livekit.list_rooms()
        except CredentialsRefusedError as error:
            raise UnreachableError(
                "LiveKit refuses our credentials",
                field=f"{at}.api_key",
                value=livekit.api_key,
                hint="Give the key and secret from that server's `keys`.",
            ) from error
        except UnknownStateError as error:
            region.read_failed("listing", error)
            failure = UnreachableError(
                "LiveKit does not answer",
                field=f"{at}.api_url",
                value=livekit.api_url,
                hint="Start LiveKit there, or give the address of one that runs.",
            )
            failure.__cause__ = error
            return failure
        return None

    failures = [failure for region in regions.values() if (failure := await ask(region))]
    if len(failures) == len(regions):
        raise failures[0]


def _web_app(
    settings: Settings,
    regions: dict[str, Region],
    access: Access,
    joins: JoinCounter,
    limiter: Limiter,
    decisions: DecisionLog,
    metrics: Metrics,
    histories: dict[str, History],
    leadership: Leadership,
) -> web.Application:
    app = application(middlewares=[access.guard])
    # A token needs neither Redis nor the loops, so whoever answers at all is ready and alive.
    health_routes(app, metrics.registry, ready=lambda: "", alive=lambda: "")
    add_health(app, settings.replica, regions, leadership)
    Api(settings, regions, access, joins, limiter, decisions, metrics, histories, leadership).add_routes(app)
    EndCall(regions, limiter).add_routes(app)
    Campaigns(regions, most=settings.limits.campaigns).add_routes(app)
    Webhooks(regions, limiter, joins, metrics).add_routes(app)
    add_document(app)
    add_page(app)
    require_entries(app)
    return app


def _lister(settings: Settings, region: Region, joins: JoinCounter) -> RoomLister:
    return RoomLister(region, joins, every_s=settings.listing_s, max_duration_s=settings.limits.max_call_duration_s)


def _loops(
    settings: Settings,
    regions: dict[str, Region],
    listers: list[RoomLister],
    redis: RedisClient,
    decisions: DecisionLog,
    histories: dict[str, History],
    leadership: Leadership,
) -> dict[str, Callable[[], Awaitable[None]]]:
    loops: dict[str, Callable[[], Awaitable[None]]] = {"wake": lambda: _wake(redis, regions)}
    for (name, region), lister in zip(regions.items(), listers, strict=True):
        loops[f"listing of {name}"] = lister.run
        loops[f"history of {name}"] = histories[name].run
        loops[f"dispatch of {name}"] = Dispatcher(region).run
        loops[f"pool of {name}"] = PoolReconciler(region, decisions, leadership, tick_s=settings.tick_s).run
        loops[f"recovery of {name}"] = Recovery(region).run
        loops[f"outage dispatch of {name}"] = OutageDispatcher(region).run
        if region.settings.handoff:
            loops[f"handoffs of {name}"] = Handoffs(region).run
        if region.fleet is not None:
            loops[f"hung workers of {name}"] = HungWorkers(region, leadership).run
        if region.waiting_messages is not None:
            loops[f"waiting messages of {name}"] = functools.partial(_speak_to_waiting, region, region.waiting_messages)
    return loops


async def _speak_to_waiting(region: Region, messages: WaitingMessages) -> None:
    while True:
        snapshot, age_s = region.snapshot, region.clock.monotonic() - region.snapshot_at_s
        if snapshot is not None and age_s <= _CALLERS_KNOWN_S:
            await messages.look(snapshot.calls, snapshot.now_ms + round(age_s * 1000))
        await region.clock.sleep(LOOK_EVERY_S)


async def _forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever: an error of ours in one region must not end it, nor another's."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("loop failed, going on", loop=name)
        await asyncio.sleep(_AGAIN_S)


@contextlib.asynccontextmanager
async def _running(loops: dict[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    def task(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        loop: Coroutine[Any, Any, None] = _forever(name, run)
        return asyncio.create_task(loop, name=name)

    tasks = [task(name, run) for name, run in loops.items()]
    try:
        yield
    finally:
        await end(tasks)


async def _wake(redis: RedisClient, regions: dict[str, Region]) -> None:
    """Pass on that something changed. Without it the loops look by themselves, only a little later."""
    channels = {Keys(name).events: region for name, region in regions.items()}
    await listen(redis, channels, lambda channel: channels[channel].note_change())


def _tell_ready(url: str, on_ready: Callable[[str], None] | None, ready_file: Path | None) -> None:
    log.info("controller listens", url=url)
    if ready_file is not None:
        temporary = ready_file.with_name(ready_file.name + ".new")
        temporary.write_text(json.dumps({"url": url}))
        temporary.replace(ready_file)
    if on_ready is not None:
        on_ready(url)
