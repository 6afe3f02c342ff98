"""Has the agent speak although nobody said that its track is subscribed to.

livekit-agents holds every word back until LiveKit tells that the first participant subscribes to the track. LiveKit
tells it once, and livekit-rtc drops it where it comes before the track that was published is known to it
(`handle_track_subscribed` of rust-sdks; client-sdk-js had the same fault, #1878). On a busy machine that is a race, and
who loses it never hears a word. So a caller who is in the room for `LIMIT_S` with our track is taken for a listener.
"""

from __future__ import annotations

from livekit import rtc

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk
from voicefleet.worker.job.caller_link import callers_in

LIMIT_S = 1.5
"""A client subscribes within some round trips; one that asks its user first, and takes longer, misses first words."""
LOOK_EVERY_S = 0.25

log = get_logger(__name__)


async def assume_subscribers(room: rtc.Room, clock: Clock) -> None:
    """Watch the published tracks of `room` until cancelled."""
    untold_since_s: dict[str, float] = {}
    while True:
        await clock.sleep(LOOK_EVERY_S)
        untold = {} if not callers_in(room) else {p.sid: p for p in sdk.untold_publications(room)}
        now_s = clock.monotonic()
        untold_since_s = {sid: untold_since_s.get(sid, now_s) for sid in untold}
        for sid, publication in untold.items():
            if now_s - untold_since_s[sid] >= LIMIT_S:
                log.warning("nobody told that the caller hears the agent's track, it speaks all the same")
                sdk.tell_subscribed(publication)
