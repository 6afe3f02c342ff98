"""What counts as a sign of life on a job's media path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import DTLS_TRANSPORT_CONNECTED, DTLS_TRANSPORT_CONNECTING, RtcStats

from support.virtual_time import LoopClock, run
from voicefleet.worker.job.media import STALLED_AFTER_S, TROUBLE, Media

pytestmark = pytest.mark.unit


class Room:
    """A room of which only the counters matter; at each look `grows_by` more checks were answered."""

    connection_state = rtc.ConnectionState.CONN_CONNECTED

    def __init__(self, dtls: int, grows_by: int) -> None:
        self.dtls = dtls
        self.grows_by = grows_by
        self._answered = 0

    def on(self, *_: object) -> None:
        """No event is of interest here."""

    async def get_rtc_stats(self) -> Any:
        self._answered += self.grows_by
        transport, pair = RtcStats(), RtcStats()
        transport.transport.transport.dtls_state = cast(Any, self.dtls)
        pair.candidate_pair.candidate_pair.responses_received = self._answered
        return SimpleNamespace(publisher_stats=[transport, pair], subscriber_stats=[])


def troubles(room: Room, *, change_after_s: float = 5.0, change: Mapping[str, int] | None = None) -> tuple[str, str]:
    """What the job says just after `change_after_s`, and as long again after `change`."""

    async def watched() -> tuple[str, str]:
        media = Media(cast(rtc.Room, room), LoopClock())
        media.watch()
        await asyncio.sleep(change_after_s + 0.1)
        first = media.trouble
        for name, value in (change or {}).items():
            setattr(room, name, value)
        await asyncio.sleep(change_after_s)
        media.end()
        return first, media.trouble

    return run(watched())


def test_a_path_on_which_something_arrives_is_well() -> None:
    assert troubles(Room(DTLS_TRANSPORT_CONNECTED, 1)) == ("", "")


def test_a_path_that_falls_silent_is_trouble() -> None:
    assert troubles(Room(DTLS_TRANSPORT_CONNECTED, 1), change={"grows_by": 0}) == ("", TROUBLE)


def test_a_handshake_that_does_not_end_is_trouble_although_checks_are_answered() -> None:
    assert troubles(Room(DTLS_TRANSPORT_CONNECTING, 1)) == (TROUBLE, TROUBLE)


def test_a_handshake_that_ends_late_ends_the_trouble() -> None:
    change = {"dtls": DTLS_TRANSPORT_CONNECTED}
    assert troubles(Room(DTLS_TRANSPORT_CONNECTING, 1), change=change) == (TROUBLE, "")


def test_a_handshake_under_way_is_no_trouble_yet() -> None:
    first, _ = troubles(Room(DTLS_TRANSPORT_CONNECTING, 1), change_after_s=STALLED_AFTER_S - 0.2)
    assert first == ""
