"""A worker cut off from one of its servers, and media packets that are lost."""

from __future__ import annotations

from voicefleet.chaos.fault_context import FaultContext, FaultError
from voicefleet.chaos.launcher import group_id

LOSS_S = 20.0
LOSS_RATIO = 0.3
NO_REDIS_S = 15.0
NO_LIVEKIT_S = 12.0
"""The worker stays cut off to the end of the run; after this the callers' answers count towards their end."""


async def worker_no_redis(context: FaultContext) -> None:
    """The busiest worker is cut off from Redis, and from nothing else, for 15 s."""
    worker, _ = await context.busiest()
    rules = context.packet_filter
    context.undo.push_async_callback(rules.heal)
    context.mark_injection()
    await rules.cut_off(group_id(worker.id), tcp=[context.fleet.redis.port])
    await context.sleep(NO_REDIS_S)
    await _require_dropped(context)
    await rules.heal()


async def worker_no_livekit(context: FaultContext) -> None:
    """The busiest worker is cut off from LiveKit, signalling and media, until the run is over."""
    worker, calls = await context.busiest()
    rules, settings = context.packet_filter, context.livekit.settings
    context.undo.push_async_callback(rules.heal)
    context.mark_injection(hit=calls)
    tcp = [port for port in (settings.port, settings.rtc_tcp_port) if port is not None]
    await rules.cut_off(group_id(worker.id), tcp=tcp, udp=[settings.rtc_udp_port])
    await context.sleep(NO_LIVEKIT_S)
    await _require_dropped(context)


async def packet_loss(context: FaultContext) -> None:
    """30 % of all media packets are lost for 20 s, callers' and agents' alike."""
    rules = context.packet_filter
    context.undo.push_async_callback(rules.heal)
    context.mark_injection()
    await rules.lose(context.livekit.settings.rtc_udp_port, LOSS_RATIO)
    await context.sleep(LOSS_S)
    await _require_dropped(context)
    await rules.heal()


async def _require_dropped(context: FaultContext) -> None:
    """Rules that matched no packet broke nothing, and a good result would be false."""
    if not await context.packet_filter.dropped():
        raise FaultError("the packet filter dropped nothing")
