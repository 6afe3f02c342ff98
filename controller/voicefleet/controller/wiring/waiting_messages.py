"""Waiting messages: the announcer process, and the loop that speaks to the waiting callers of a region."""

from __future__ import annotations

import contextlib
import functools

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.dispatch_requests import language_of
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.load import inherited_environment
from voicefleet.controller.waiting_message.messages import LOOK_EVERY_S, WaitingMessages
from voicefleet.controller.waiting_message.process import AnnouncerProcess
from voicefleet.controller.wiring.shared import Loops, Shared
from voicefleet.runtime.supervisor.lifeline import lifeline

_CALLERS_KNOWN_S = 60.0
"""With Redis away, the callers known last are still spoken to for so long: each room is looked at first."""


def start_waiting_messages(stack: contextlib.AsyncExitStack, shared: Shared) -> Loops:
    """Start the announcer, if a region has a waiting message. At once: the first caller shall not wait for it.

    Returns:
        The loops that speak, by name.
    """
    asking = [(region, message) for region in shared.regions.values() if (message := region.settings.waiting_message)]
    loops: Loops = {}
    if not asking:
        return loops
    ours = inherited_environment()
    environment = {name: ours[name] for name in ours if name not in shared.settings.secret_variables}
    announcer = AnnouncerProcess(shared.clock, {**environment, **lifeline().environment()})
    stack.push_async_callback(announcer.close)
    announcer.start()
    for region, message in asking:
        messages = WaitingMessages(
            region.settings,
            message,
            region.livekit,
            shared.redis,
            announcer,
            shared.metrics,
            functools.partial(language_of, region),
        )
        stack.push_async_callback(messages.close)
        loops[f"waiting messages of {region.name}"] = functools.partial(speak_to_waiting, region, messages)
    return loops


async def speak_to_waiting(region: Region, messages: WaitingMessages) -> None:
    """Speak to the region's waiting callers until cancelled."""
    while True:
        if (snapshot := region.scans.within(_CALLERS_KNOWN_S)) is not None:
            nobody = await _expected(region) if snapshot.waiting else frozenset()
            calls = [call for call in snapshot.calls if call.room not in nobody]
            await messages.look(calls, region.scans.now_ms(snapshot))
        await region.clock.sleep(LOOK_EVERY_S)


async def _expected(region: Region) -> frozenset[str]:
    """Rooms that wait for an agent before anybody is there to be spoken to. With Redis away: none is known."""
    try:
        return await region.calls.expected()
    except UnknownStateError:
        return frozenset()
