"""What is told of outbound calls."""

from __future__ import annotations

from voicefleet.contract.dial_api import DialView
from voicefleet.contract.dials import Dial
from voicefleet.controller.regions.region import Region


async def dial_view(region: Region, room: str) -> DialView | None:
    """How the dial in `room` goes, or went, for a day; None: no number was to be called there.

    Raises `UnknownStateError`.
    """
    dial = await region.dials.get(room)
    return None if dial is None else view_of(dial)


def view_of(dial: Dial) -> DialView:
    return DialView(
        room=dial.room,
        region=dial.call.region,
        state=dial.state,
        attempt=dial.attempt,
        attempts=dial.order.attempts,
        sip_status_code=dial.sip_status_code,
        sip_status=dial.sip_status,
        detail=dial.detail,
    )
