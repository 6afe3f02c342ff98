"""What a ticket lets its caller do: speak, and nothing else unless the request asked for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from livekit import rtc

from support.controlling import FRONT, Running, controller
from voicefleet.contract.calls import TICKET_TTL_S
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


async def ticket(fleet: Running, **wanted: Any) -> dict[str, Any]:
    async with fleet.http.post(f"{fleet.url}/v1/calls", json={"region": "eu", **wanted}, headers=FRONT) as answer:
        assert answer.status == 201, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_a_ticket_is_for_a_microphone_and_for_a_minute(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with controller(tmp_path, livekit, redis_url) as fleet, fleet.worker("w-1"):
        plain, chatty = await ticket(fleet), await ticket(fleet, data=True)
        claims = jwt.decode(plain["token"], options={"verify_signature": False})
        assert claims["exp"] - time.time() <= TICKET_TTL_S
        video = claims["video"]
        assert video["canPublishSources"] == ["microphone"]
        assert (video["canPublishData"], video["canUpdateOwnMetadata"]) == (False, False)

        room = rtc.Room()
        await room.connect(plain["url"], plain["token"])
        try:
            permissions = room.local_participant.permissions
            assert permissions.can_publish
            assert not permissions.can_publish_data
            assert list(permissions.can_publish_sources) == [rtc.TrackSource.SOURCE_MICROPHONE]
            source = rtc.AudioSource(48_000, 1)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("mic", source), options)
        finally:
            await room.disconnect()

        asked = jwt.decode(chatty["token"], options={"verify_signature": False})["video"]
        assert asked["canPublishData"]
