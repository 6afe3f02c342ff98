"""A worker cut off from one of its servers, and media packets that are lost."""

from __future__ import annotations

from voicefleet.chaos.fault_context import FaultError, Scene
from voicefleet.chaos.launcher import group_id

LOSS_S = 20.0
LOSS_RATIO = 0.3
NO_REDIS_S = 15.0
NO_LIVEKIT_S = 12.0
"""The worker stays cut off to the end of the run; after this the callers' answers count towards their end."""


async def worker_no_redis(scene: Scene) -> None:
    """The busiest worker is cut off from Redis, and from nothing else, for 15 s."""
    worker, _ = await scene.busiest()
    rules = scene.packet_filter
    scene.undo.push_async_callback(rules.heal)
    scene.strike()
    await rules.cut_off(group_id(worker.id), tcp=[scene.fleet.redis.port])
    await scene.sleep(NO_REDIS_S)
    await _surely(scene)
    await rules.heal()


async def worker_no_livekit(scene: Scene) -> None:
    """The busiest worker is cut off from LiveKit, signalling and media, until the run is over."""
    worker, calls = await scene.busiest()
    rules, settings = scene.packet_filter, scene.livekit.settings
    scene.undo.push_async_callback(rules.heal)
    scene.strike(hit=calls)
    tcp = [port for port in (settings.port, settings.rtc_tcp_port) if port is not None]
    await rules.cut_off(group_id(worker.id), tcp=tcp, udp=[settings.rtc_udp_port])
    await scene.sleep(NO_LIVEKIT_S)
    await _surely(scene)


async def packet_loss(scene: Scene) -> None:
    """30 % of all media packets are lost for 20 s, callers' and agents' alike."""
    rules = scene.packet_filter
    scene.undo.push_async_callback(rules.heal)
    scene.strike()
    await rules.lose(scene.livekit.settings.rtc_udp_port, LOSS_RATIO)
    await scene.sleep(LOSS_S)
    await _surely(scene)
    await rules.heal()


async def _surely(scene: Scene) -> None:
    """Rules that met no packet broke nothing, and then a good row would be a lie."""
    if not await scene.packet_filter.dropped():
        raise FaultError("the packet filter dropped nothing")
