"""The controller, Redis or LiveKit is killed, restarted, or stops answering."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

from voicefleet.chaos.fault_context import FaultContext, FaultError
from voicefleet.contract.errors import UsageError

CONTROLLER_AWAY_S = 2.0
REDIS_AWAY_S = 30.0
Start = Callable[[], Awaitable[None]]
AFTER_S = 2.0
"""What a restart upsets begins to show within this time; answers after it count towards the callers' end."""


async def controller_kill9(context: FaultContext) -> None:
    """The controller is killed, and started again after 2 s, as Kubernetes would."""
    controller = context.fleet.controller
    context.mark_injection()
    try:
        await controller.stop(kill=True)
        await context.sleep(CONTROLLER_AWAY_S)
    finally:
        # Also on Ctrl-C: the workers are its to stop.
        await _started(controller.start)
    await context.sleep(AFTER_S)


async def redis_restart_data(context: FaultContext) -> None:
    """Redis is killed and comes back with what it held."""
    context.mark_injection()
    await _started(lambda: context.fleet.redis.restart(kill=True, keep_data=True))
    await context.sleep(AFTER_S)


async def redis_restart_empty(context: FaultContext) -> None:
    """Redis is killed and comes back empty."""
    context.mark_injection()
    await _started(lambda: context.fleet.redis.restart(kill=True))
    await context.sleep(AFTER_S)


async def redis_away(context: FaultContext) -> None:
    """Redis accepts connections and answers nothing for 30 s."""
    redis = context.fleet.redis.proc
    context.undo.callback(redis.send_signal, signal.SIGCONT)
    context.mark_injection()
    redis.send_signal(signal.SIGSTOP)
    try:
        await context.sleep(REDIS_AWAY_S)
    finally:
        redis.send_signal(signal.SIGCONT)
    await context.sleep(AFTER_S)


async def livekit_restart(context: FaultContext) -> None:
    """livekit-server is killed and started again; it knows no room any more, and callers have to join again."""
    context.mark_injection(hit=context.callers.size)
    await _started(lambda: context.livekit.restart(kill=True))
    context.note(f"LiveKit was away for {context.since_injection_s:.1f} s")
    await context.sleep(AFTER_S)


async def _started(start: Start) -> None:
    try:
        await start()
    except UsageError as error:
        raise FaultError(f"did not come back: {error}") from error
