"""Waiting messages: the announcer process, and the loop that speaks to the waiting callers of a region."""

from __future__ import annotations

import contextlib

from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.load import inherited_environment
from voicefleet.controller.waiting_message.messages import LOOK_EVERY_S, WaitingMessages
from voicefleet.controller.waiting_message.process import AnnouncerProcess
from voicefleet.controller.wiring.shared import Shared
from voicefleet.runtime.supervisor.lifeline import lifeline

_CALLERS_KNOWN_S = 60.0
"""With Redis away, the callers known last are still spoken to for so long: each room is looked at first."""


def start_waiting_messages(stack: contextlib.AsyncExitStack, shared: Shared) -> None:
    """Start the announcer, if a region has a waiting message. At once: the first caller shall not wait for it."""
    asking = [(region, message) for region in shared.regions.values() if (message := region.settings.waiting_message)]
    if not asking:
        return
    ours = inherited_environment()
    environment = {name: ours[name] for name in ours if name not in shared.settings.secret_variables}
    announcer = AnnouncerProcess(shared.clock, {**environment, **lifeline().environment()})
    stack.push_async_callback(announcer.close)
    announcer.start()
    for region, message in asking:
        messages = WaitingMessages(region.settings, message, region.livekit, shared.redis, announcer, shared.metrics)
        stack.push_async_callback(messages.close)
        region.waiting_messages = messages


async def speak_to_waiting(region: Region, messages: WaitingMessages) -> None:
    """Speak to the region's waiting callers until cancelled."""
    while True:
        snapshot, age_s = region.snapshot, region.clock.monotonic() - region.snapshot_at_s
        if snapshot is not None and age_s <= _CALLERS_KNOWN_S:
            await messages.look(snapshot.calls, snapshot.now_ms + round(age_s * 1000))
        await region.clock.sleep(LOOK_EVERY_S)
