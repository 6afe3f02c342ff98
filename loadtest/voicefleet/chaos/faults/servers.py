"""The controller, Redis and LiveKit end, start again, or do not answer."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

from voicefleet.chaos.fault_context import FaultError, Scene
from voicefleet.contract.errors import UsageError

CONTROLLER_AWAY_S = 2.0
REDIS_AWAY_S = 30.0
Start = Callable[[], Awaitable[None]]
AFTER_S = 2.0
"""What a restart upsets begins to show within this time; answers after it count towards the callers' end."""


async def controller_kill9(scene: Scene) -> None:
    """The controller is killed, and started again after 2 s, as Kubernetes would."""
    controller = scene.fleet.controller
    scene.strike()
    try:
        await controller.stop(kill=True)
        await scene.sleep(CONTROLLER_AWAY_S)
    finally:
        # Also on Ctrl-C: the workers are its to stop.
        await _started(controller.start)
    await scene.sleep(AFTER_S)


async def redis_restart_data(scene: Scene) -> None:
    """Redis is killed and comes back with what it held."""
    scene.strike()
    await _started(lambda: scene.fleet.redis.restart(kill=True, keep_data=True))
    await scene.sleep(AFTER_S)


async def redis_restart_empty(scene: Scene) -> None:
    """Redis is killed and comes back empty."""
    scene.strike()
    await _started(lambda: scene.fleet.redis.restart(kill=True))
    await scene.sleep(AFTER_S)


async def redis_away(scene: Scene) -> None:
    """Redis accepts connections and answers nothing for 30 s."""
    redis = scene.fleet.redis.proc
    scene.undo.callback(redis.send_signal, signal.SIGCONT)
    scene.strike()
    redis.send_signal(signal.SIGSTOP)
    try:
        await scene.sleep(REDIS_AWAY_S)
    finally:
        redis.send_signal(signal.SIGCONT)
    await scene.sleep(AFTER_S)


async def livekit_restart(scene: Scene) -> None:
    """livekit-server is killed and started again; it knows no room any more, and callers have to join again."""
    scene.strike(hit=scene.crowd.size)
    await _started(lambda: scene.livekit.restart(kill=True))
    scene.note(f"LiveKit was away for {scene.since_strike_s:.1f} s")
    await scene.sleep(AFTER_S)


async def _started(start: Start) -> None:
    try:
        await start()
    except UsageError as error:
        raise FaultError(f"did not come back: {error}") from error
