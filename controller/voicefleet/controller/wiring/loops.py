"""The loops of a controller, and how they run: each for ever, whatever happens to another."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from voicefleet.contract.keys import Keys
from voicefleet.controller.call_events.delivery import Deliveries
from voicefleet.controller.call_events.ends import CallEnds
from voicefleet.controller.call_events.event_queue import EventQueue
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.handoffs import Handoffs
from voicefleet.controller.calls.outbound import Dialer
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.calls.redis_outage import OutageDispatcher
from voicefleet.controller.canary.tier_analysis import PoolTier
from voicefleet.controller.health.watch import HealthWatch
from voicefleet.controller.http.answer_exchange import AnswerExchange
from voicefleet.controller.http.auth.key_file import KeyFile
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.pool.hung import HungWorkers
from voicefleet.controller.pool.reconciler import PoolReconciler
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.controller.wiring.canaries import build_canaries, build_tier_analysis
from voicefleet.controller.wiring.shared import Loops, Shared
from voicefleet.controller.wiring.web import Web
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import RedisClient, Scripts, listen
from voicefleet.runtime.tasks import cancel_and_wait

_AGAIN_S = 1.0

log = get_logger(__name__)


def build_listers(shared: Shared, web: Web) -> list[RoomLister]:
    """One for each region."""
    settings, longest_s = shared.settings, shared.settings.limits.max_call_duration_s
    return [
        RoomLister(region, web.joins, every_s=settings.listing_s, max_duration_s=longest_s)
        for region in shared.regions.values()
    ]


def build_loops(shared: Shared, leadership: Leadership, web: Web, listers: Iterable[RoomLister]) -> Loops:
    """Everything that a controller does by itself, by name."""
    settings, regions, redis = shared.settings, shared.regions, shared.redis
    loops: Loops = {"wake": lambda: _wake(redis, regions)}
    canaries = build_canaries(shared, leadership)
    for (name, region), lister in zip(regions.items(), listers, strict=True):
        loops[f"listing of {name}"] = lister.run
        loops[f"history of {name}"] = web.histories[name].run
        loops[f"health of {name}"] = HealthWatch(region, leadership).run
        loops[f"answers of {name}"] = AnswerExchange(region, redis).run
        loops[f"incidents of {name}"] = region.incidents.run
        canary = canaries.get(name)
        tiers = build_tier_analysis(shared, region, leadership)
        loops[f"dispatch of {name}"] = Dispatcher(region).run if canary is None else canary.dispatcher(region).run
        loops[f"pool of {name}"] = PoolReconciler(region, web.decisions, leadership, tick_s=settings.tick_s).run
        loops[f"recovery of {name}"] = Recovery(region).run
        told = [] if canary is None else [canary.note_over(region)]
        told += [] if tiers is None else [tiers.note_over]
        loops[f"ends of calls of {name}"] = CallEnds(region, told).run
        loops[f"call events of {name}"] = build_deliveries(shared, region).run
        loops[f"outage dispatch of {name}"] = OutageDispatcher(region).run
        if region.settings.trunks:
            loops[f"outbound calls of {name}"] = Dialer(region, settings.replica).run
        if region.settings.handoff:
            loops[f"handoffs of {name}"] = Handoffs(region).run
        if canary is not None and canary.is_canary(region):
            loops[f"canary {name}"] = canary.analysis.run
        if tiers is not None:
            loops[f"canary of tiers of {name}"] = tiers.run
        elif region.settings.only_tier:
            loops[f"tier of {name}"] = PoolTier(shared.redis, region, region.settings.only_tier).run
        if region.fleet is not None:
            loops[f"hung workers of {name}"] = HungWorkers(region, leadership).run
    if settings.api_keys_file is not None:
        loops["API keys"] = KeyFile(settings.api_keys_file, settings.regions, shared.clock, web.access.take).run
    return loops


def build_deliveries(shared: Shared, region: Region) -> Deliveries:
    """What tells the receivers of the settings of the region's call events."""
    # Another name for each process: one that was killed, and began anew under its replica's name, is not the same.
    holder = f"{shared.settings.replica}-{secrets.token_hex(4)}"
    queue = EventQueue(shared.redis, Scripts(shared.redis), region.name, holder)
    return Deliveries(region, queue, tuple(shared.settings.call_events.values()))


async def _wake(redis: RedisClient, regions: Mapping[str, Region]) -> None:
    """Pass on that something changed. Without it the loops look by themselves, only a little later."""
    channels = {Keys(name).events: region for name, region in regions.items()}
    await listen(redis, channels, lambda channel: channels[channel].note_change())


@contextlib.asynccontextmanager
async def running(loops: Loops) -> AsyncIterator[None]:
    """Run `loops` until the end of the context."""

    def task(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        loop: Coroutine[Any, Any, None] = _forever(name, run)
        return asyncio.create_task(loop, name=name)

    tasks = [task(name, run) for name, run in loops.items()]
    try:
        yield
    finally:
        await cancel_and_wait(tasks)


async def _forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever: an error of ours in one region must not end it, nor another's."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("loop failed, going on", loop=name)
        await asyncio.sleep(_AGAIN_S)
