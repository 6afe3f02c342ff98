"""Outbound calls on a real livekit-server and a real Redis, with LiveKit's SIP service as a recorded API (it cannot be
installed here): see `support.recorded_sip`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from support.controlling import FRONT, FRONT_SECRET, KEYS, OTHER, OTHER_SECRET, Running, caller, controller, region
from support.eventually import eventually
from support.recorded_sip import Phone, RecordedSip, recorded_sip
from support.worker_process import worker
from voicefleet.contract import codec
from voicefleet.contract.claims import Claim
from voicefleet.contract.dials import Dial
from voicefleet.contract.keys import Keys
from voicefleet.stack.servers import LiveKit
from voicefleet.worker.call import TransferFailedError
from voicefleet.worker.job.transfer import transfer

pytestmark = pytest.mark.integration

AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

NUMBER, ABROAD = "+4922198765", "+33123456789"
NOBODY: dict[str, Any] = {"from": "nobody"}
TRUNKS = {"ST_1": {"concurrent": 2, "per_s": 50, "prefixes": ["+49"], "keys": {"front": []}}}
DIALS = f"front:{FRONT_SECRET}:call+dial+read+operate,other:{OTHER_SECRET}:call+dial"


@contextlib.asynccontextmanager
async def fleet(
    folder: Path, livekit: LiveKit, redis_url: str, **more: Any
) -> AsyncIterator[tuple[Running, RecordedSip]]:
    async with recorded_sip(livekit) as sip:
        eu = region(livekit, trunks=TRUNKS)
        eu["livekit"]["api_url"] = sip.http_url
        async with controller(folder, livekit, redis_url, **{"keys": DIALS, "regions": {"eu": eu}, **more}) as running:
            yield running, sip


async def dial(running: Running, key: dict[str, str] = FRONT, **body: Any) -> tuple[int, Any]:
    status, answer, _ = await running.post({"dial": body}, headers=key)
    return status, answer


async def kept(running: Running, room: str) -> Dial:
    return codec.load(Dial, await running.redis.get(KEYS.dial(room)) or "")


async def reached(running: Running, room: str, state: str) -> Dial:
    async def so() -> Dial | None:
        now = await kept(running, room)
        return now if now.state == state else None

    found: Dial = await eventually(so)
    return found


async def agent(running: Running, room: str) -> None:
    """A worker's job has the call, as Redis sees it."""
    claim = Claim(worker="w1", job="J1", epoch=1, state="live")
    await running.redis.set(KEYS.claim(room), codec.dump(claim), px=60_000)


async def test_an_agent_first_then_the_dial_and_its_outcome(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    async with fleet(tmp_path, livekit, redis_url) as (running, sip), running.worker("w1", slots=9):
        status, answer = await dial(running, to=NUMBER, headers={"X-Campaign": "7"})
        assert (status, answer["state"], answer["region"]) == (202, "queued", "eu")
        room = answer["room"]
        (order, *_) = await eventually(lambda: running.dispatches(room))
        assert order.extra == {"outbound": 1}
        assert sip.dialled == [], "the agent comes first"
        await agent(running, room)
        await reached(running, room, "answered")
        (asked,) = sip.dialled
        assert (asked.sip_trunk_id, asked.sip_call_to, asked.room_name) == ("ST_1", NUMBER, room)
        assert (asked.participant_identity, asked.wait_until_answered) == ("callee-1", True)
        assert (asked.ringing_timeout.seconds, dict(asked.headers)) == (30, {"X-Campaign": "7"})
        assert await running.metric('voicefleet_dials_total{region="eu",result="answered"}') == 1
        # A busy one is over, its room too, and nobody is sent there.
        sip.phones[NUMBER] = Phone(refuses=486)
        busy = (await dial(running, to=NUMBER))[1]["room"]
        await eventually(lambda: running.dispatches(busy))
        await agent(running, busy)
        ended = await reached(running, busy, "busy")
        assert (ended.sip_status_code, ended.sip_status) == (486, "Busy Here")
        shown = (await running.get(f"/v1/calls/{busy}"))["dial"]
        assert (shown["state"], shown["sip_status_code"], shown["attempt"]) == ("busy", 486, 1)
        await eventually(lambda: _no_room(running, busy))
        await running.redis.delete(KEYS.claim(busy))
        await asyncio.sleep(2.0)
        assert await _no_room(running, busy)
        assert await running.redis.zscore(KEYS.callers, busy) is None
        # DELETE ends one that rings.
        sip.phones[NUMBER] = Phone(rings_s=5.0)
        rings = (await dial(running, to=NUMBER))[1]["room"]
        await eventually(lambda: running.dispatches(rings))
        await agent(running, rings)
        await reached(running, rings, "ringing")
        async with running.http.delete(f"{running.url}/v1/calls/{rings}", headers=FRONT) as deleted:
            assert deleted.status == 204
        assert (await reached(running, rings, "failed")).detail == "cancelled"
        await eventually(lambda: _no_room(running, rings))
        assert len(sip.dialled) == 3


async def _no_room(running: Running, room: str) -> bool:
    return not (await running.api.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms


async def test_a_controller_that_dies_while_it_rings_is_followed_by_another_that_does_not_dial(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    async with recorded_sip(livekit) as sip:
        eu = region(livekit, trunks=TRUNKS)
        eu["livekit"]["api_url"] = sip.http_url
        sip.phones[NUMBER] = Phone(rings_s=6.0)
        first = controller(tmp_path, livekit, redis_url, keys=DIALS, regions={"eu": eu})
        async with first as running, running.worker("w1"):
            room = (await dial(running, to=NUMBER))[1]["room"]
            await eventually(lambda: running.dispatches(room))
            await agent(running, room)
            await reached(running, room, "ringing")
        # Its end says nothing to Redis of the dial, as kill -9 would not.
        async with controller(folder, livekit, redis_url, keys=DIALS, regions={"eu": eu}) as second:
            await reached(second, room, "answered")
            assert len(sip.dialled) == 1


async def test_a_real_worker_s_agent_is_there_first_and_speaks_once_somebody_has_answered(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    async with recorded_sip(livekit) as sip:
        test = region(livekit, trunks={"ST_1": {}})
        test["livekit"]["api_url"] = sip.http_url
        sip.phones[NUMBER] = Phone(rings_s=3.0)
        async with (
            controller(tmp_path, livekit, redis_url, keys=DIALS, regions={"test": test}) as running,
            worker(livekit, redis_url, tmp_path) as working,
        ):
            room = (await dial(running, to=NUMBER))[1]["room"]
            callee = await eventually(lambda: _callee(sip, room))
            voice = asyncio.create_task(_first_voice_s(callee))
            await asyncio.sleep(2.0)
            assert not voice.done(), "nobody is spoken to while it rings"
            assert [p.kind for p in callee.remote_participants.values()] == [AGENT]
            await asyncio.wait_for(voice, 5.0)
            assert await running.metric('voicefleet_dials_total{region="test",result="answered"}') == 1
            assert voice.result() - sip.answered_s[room] < 2.0
            # A busy one: the agent's slot is free at once, and its claim given back.
            sip.phones[NUMBER] = Phone(refuses=486)
            busy = (await dial(running, to=NUMBER))[1]["room"]
            keys = Keys("test")

            async def over() -> bool:
                return codec.load(Dial, await running.redis.get(keys.dial(busy)) or "").state == "busy"

            await eventually(over)
            await working.until(lambda r: r.live == 1, 5.0)
            assert await running.redis.get(keys.claim(busy)) is None


async def _callee(sip: RecordedSip, room: str) -> rtc.Room | None:
    return sip.callees.get(room)


async def _first_voice_s(callee: rtc.Room) -> float:
    """When the callee first hears more than silence, monotonic."""
    heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def listen(track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track):
            if max(abs(sample) for sample in event.frame.data) > 500 and not heard.done():
                heard.set_result(time.monotonic())
                return

    tasks: list[asyncio.Task[None]] = []
    callee.on("track_subscribed", lambda track, *_: tasks.append(asyncio.create_task(listen(track))))
    return await heard


async def test_a_phone_is_transferred_and_a_refusal_names_sip_s_status(livekit: LiveKit) -> None:
    async with (
        recorded_sip(livekit) as sip,
        api.LiveKitAPI(sip.http_url, livekit.api_key, livekit.api_secret) as lk,
    ):
        request = api.CreateSIPParticipantRequest(sip_trunk_id="ST_1", sip_call_to=NUMBER, room_name="a-call")
        request.participant_identity, request.wait_until_answered = "callee-1", True
        await lk.sip.create_sip_participant(request)
        token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("agent-x").with_kind("agent")
        grants = api.VideoGrants(room_join=True, room="a-call")
        async with caller(livekit.url, token.with_grants(grants).to_jwt()) as room:
            sip.transfer_refused = 486
            with pytest.raises(TransferFailedError) as refused:
                await transfer(lk, room, ABROAD, play_dialtone=False, headers={})
            assert refused.value.sip_status_code == 486
            sip.transfer_refused = 0
            await transfer(lk, room, ABROAD, play_dialtone=False, headers={"X-From": "agent"})
            asked = sip.transferred[-1]
            assert (asked.transfer_to, asked.participant_identity) == (f"tel:{ABROAD}", "callee-1")
            await eventually(lambda: _alone(room))
            with pytest.raises(TransferFailedError, match="0 phones"):
                await transfer(lk, room, ABROAD, play_dialtone=False, headers={})


async def _alone(room: rtc.Room) -> bool:
    return not room.remote_participants


async def test_what_may_not_be_dialled_is_refused_and_no_number_is_repeated(
    tmp_path: Path, livekit: LiveKit, redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with fleet(tmp_path, livekit, redis_url) as (running, sip):
        seen: list[str] = []

        async def refused(status: int, field: str, key: dict[str, str] = FRONT, **body: Any) -> str:
            got, answer = await dial(running, key, **body)
            assert (got, answer["field"]) == (status, field), answer
            assert answer["hint"], answer
            seen.append(json.dumps(answer))
            return str(answer["error"])

        assert await refused(400, "dial.trunk", to=NUMBER, trunk="ST_2") == "no trunk ST_2"
        await refused(400, "dial.to", to="+49 30 123456")
        await refused(400, "dial.to", to="sip:ann@example.com")
        await refused(400, "dial.to")
        await refused(400, "dial.ring_timeout_s", to=NUMBER, ring_timeout_s=4)
        await refused(400, "dial.ring_timeout_s", to=NUMBER, ring_timeout_s=81)
        await refused(400, "dial.from", to=NUMBER, **NOBODY)
        await refused(400, "dial.headers", to=NUMBER, headers={"From": "x"})
        await refused(400, "dial.headers", to=NUMBER, headers={"X-A": "a\r\nFrom: b"})
        await refused(400, "dial.retry.attempts", to=NUMBER, retry={"attempts": 9})
        await refused(403, "dial.to", to=ABROAD)
        await refused(403, "dial.to", OTHER, to=NUMBER)  # the trunk is not for this key
        assert not any(number.strip("+") in text for number in (NUMBER, ABROAD) for text in seen)
        # The same Idempotency-Key is the same call, and another key's is not.
        again = {**FRONT, "Idempotency-Key": "order-7"}
        rooms = {(await dial(running, again, to=NUMBER))[1]["room"] for _ in range(2)}
        assert len(rooms) == 1
        assert (await dial(running, to=NUMBER))[1]["room"] not in rooms
        assert sip.dialled == []
    out = "".join(capfd.readouterr())
    assert NUMBER not in out
    assert "outbound call ordered" in out


async def test_without_a_trunk_or_the_role_nothing_is_dialled(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url, keys=DIALS) as running:
        status, answer = await dial(running, to=NUMBER)
        assert (status, answer["field"]) == (400, "dial.trunk")
        assert "trunks" in answer["hint"]
    keys = f"front:{FRONT_SECRET}"  # without roles: all but this one
    async with fleet(tmp_path, livekit, redis_url, keys=keys) as (running, _):
        status, answer = await dial(running, to=NUMBER)
        assert (status, answer["error"]) == (403, "the key front lacks the role dial")
