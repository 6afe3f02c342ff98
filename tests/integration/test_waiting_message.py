"""The waiting message as a caller hears it: real livekit-server, real Redis, the announcer in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from livekit import api, rtc

from support.controlling import KEYS, Running, caller, controller, region
from support.eventually import eventually
from support.job import FakeJob
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.waiting_voice import WAITING_TEXT_ATTRIBUTE, WAITING_VOICE_ATTRIBUTE, is_waiting_voice
from voicefleet.controller.waiting_message.clip import built_in
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

AUDIBLE = 500
"""Peak of an int16 frame that is no silence: about -36 dBFS."""


class Ear:
    """What one caller hears of waiting voices: how often one came, and how long it was audible."""

    def __init__(self, room: rtc.Room) -> None:
        self.room = room
        self.heard_s = 0.0
        self.voices: list[rtc.RemoteParticipant] = []
        self._tasks: set[asyncio.Task[None]] = set()
        room.on("track_subscribed", self._subscribed)

    @property
    def speaking(self) -> bool:
        return any(is_waiting_voice(identity) for identity in self.room.remote_participants)

    def _subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        self.voices.append(participant)
        task = asyncio.create_task(self._hear(rtc.AudioStream(track, sample_rate=48_000, num_channels=1)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            samples = np.frombuffer(event.frame.data, dtype=np.int16)
            if np.abs(samples.astype(np.int32)).max() > AUDIBLE:
                self.heard_s += len(samples) / 48_000


@contextlib.asynccontextmanager
async def listening(url: str, token: str) -> AsyncIterator[Ear]:
    async with caller(url, token) as room:
        yield Ear(room)


@contextlib.asynccontextmanager
async def speaking_to_waiting(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str, *, after_s: float = 1.0, every_s: float = 9.0
) -> AsyncIterator[Running]:
    tmp_path.mkdir(exist_ok=True)
    regions = {"eu": region(livekit, waiting_message={"after_s": after_s, "every_s": every_s})}
    async with controller(tmp_path, livekit, redis_url, regions=regions) as running:
        yield running


async def spoken(running: Running, result: str) -> float:
    return await running.metric(f'voicefleet_waiting_messages_total{{region="eu",result="{result}"}}')


def announcers() -> list[int]:
    """Process ids of the announcers that this process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"waiting_message.announcer" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def test_a_waiting_caller_is_spoken_to_once_by_one_of_two_replicas(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with (
        speaking_to_waiting(tmp_path, livekit, redis_url) as running,
        speaking_to_waiting(tmp_path / "other", livekit, redis_url) as other,
    ):
        ticket = await running.ticket()
        async with listening(ticket["url"], ticket["token"]) as ear:

            async def over() -> bool:
                return await spoken(running, "spoken") + await spoken(other, "spoken") >= 1

            await eventually(over, 20.0)
            await eventually(lambda: _silent(ear))
            assert len(ear.voices) == 1
            voice = ear.voices[0]
            assert voice.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
            assert voice.attributes[WAITING_VOICE_ATTRIBUTE] == "1"
            assert voice.attributes[WAITING_TEXT_ATTRIBUTE] == built_in()["en"].text
            # Nearly all of it: words have gaps, and the codec may swallow an edge.
            assert 2.5 < ear.heard_s < 6.0, ear.heard_s
            # It was neither a caller, nor an agent that serves.
            found = await running.call(ticket["room"])
            assert found is not None
            assert found["state"] == "waiting"


async def test_a_waiting_caller_is_spoken_to_in_the_language_of_the_call(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with speaking_to_waiting(tmp_path, livekit, redis_url) as running:
        ticket = await running.ticket(language="de-AT")
        order = DispatchMetadata(CallOrder(language="fr")).encode()
        own = (  # A token of the front end's own: we never saw the call's order.
            api.AccessToken(livekit.api_key, livekit.api_secret)
            .with_identity("marie")
            .with_grants(api.VideoGrants(room_join=True, room="own-token-fr"))
            .with_room_config(
                api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet", metadata=order)])
            )
            .to_jwt()
        )
        async with listening(ticket["url"], ticket["token"]) as german, listening(ticket["url"], own) as french:
            for ear, language in ((german, "de"), (french, "fr")):

                async def came(ear: Ear = ear) -> bool:
                    return bool(ear.voices)

                await eventually(came, 20.0)
                await eventually(lambda ear=ear: _silent(ear), 20.0)  # type: ignore[misc]
                assert ear.voices[0].attributes[WAITING_TEXT_ATTRIBUTE] == built_in()[language].text
                assert 2.5 < ear.heard_s < 8.0, (language, ear.heard_s)
        # With its order it would wait for an agent in the next test, whose Redis knows nothing of this caller.
        await running.api.room.delete_room(api.DeleteRoomRequest(room="own-token-fr"))


async def _silent(ear: Ear) -> bool:
    return not ear.speaking


async def _speaking(ear: Ear) -> bool:
    return ear.heard_s > 0.3


async def test_the_waiting_voice_falls_silent_when_an_agent_comes(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with speaking_to_waiting(tmp_path, livekit, redis_url) as running:
        ticket = await running.ticket()
        async with listening(ticket["url"], ticket["token"]) as ear:
            await eventually(lambda: _speaking(ear))
            job = FakeJob(livekit, redis_url, ticket["room"], "w1", "AJ_wait")
            await job.start()
            try:
                await eventually(lambda: _silent(ear))
                await eventually(lambda: _is(running, "agent_came"))
                heard_s = ear.heard_s
                await asyncio.sleep(2.5)  # the retry after a message cut short would come now
                assert ear.heard_s - heard_s < 0.3
                assert not ear.speaking
            finally:
                await job.leave()


async def _is(running: Running, result: str) -> bool:
    return await spoken(running, result) == 1


async def test_a_caller_who_hangs_up_leaves_no_voice_behind(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with speaking_to_waiting(tmp_path, livekit, redis_url) as running:
        ticket = await running.ticket()
        async with listening(ticket["url"], ticket["token"]) as ear:
            await eventually(lambda: _speaking(ear))
        await eventually(lambda: _is(running, "no_caller"))

        async def alone() -> bool:
            request = api.ListParticipantsRequest(room=ticket["room"])
            try:
                there = await running.api.room.list_participants(request)
            except api.TwirpError as error:
                return error.code == "not_found"
            return not there.participants

        await eventually(alone)


async def test_the_announcer_is_killed_and_the_caller_is_spoken_to_all_the_same(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with speaking_to_waiting(tmp_path, livekit, redis_url) as running:
        (first,) = announcers()
        environment = Path(f"/proc/{first}/environ").read_text()
        assert "PATH=" in environment
        assert not any(secret in environment for secret in (livekit.api_secret, "SECRET", "REDIS"))
        ticket = await running.ticket()
        async with listening(ticket["url"], ticket["token"]) as ear:
            await eventually(lambda: _speaking(ear))
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: _is(running, "lost"))
            heard_s = ear.heard_s
            await eventually(lambda: _is(running, "spoken"), 25.0)
            assert ear.heard_s - heard_s > 2.5
            (second,) = announcers()
            assert second != first
    assert announcers() == []


async def test_redis_away_does_not_silence_the_waiting_voice(tmp_path: Path, livekit: servers.LiveKit) -> None:
    async with servers.redis_server() as own, speaking_to_waiting(tmp_path, livekit, own.url, after_s=3.0) as running:
        ticket = await running.ticket()
        async with listening(ticket["url"], ticket["token"]) as ear:

            async def waits() -> bool:
                return await running.redis.zscore(KEYS.waiting, ticket["room"]) is not None

            await eventually(waits)
            await own.stop()
            await eventually(lambda: _speaking(ear), 15.0)
