"""Webhooks: whatever is sent is answered with less than 500 and leaves no trace; sent again it does no harm."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from livekit import api

from support.controlling import KEYS, Running, caller, controller, region
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.calls import CallRecord
from voicefleet.contract.claims import Claim
from voicefleet.controller.rooms.webhooks import MAX_EVENT_BYTES
from voicefleet.runtime.http.connections import MAX_BODY_BYTES
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["participant_joined", "participant_left", "room_finished", "odd"]) | JSON,
        "room": st.fixed_dictionaries({}, optional={"name": st.text(max_size=9) | JSON, "sid": JSON}) | JSON,
        "participant": st.fixed_dictionaries({}, optional={"identity": JSON, "kind": st.just("SIP") | JSON}) | JSON,
        "id": JSON,
    },
)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    EVENTS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"[]",
            b'"text"',
            b"7",
            b"null",
            b"[" * 100_000,
            b'{"event":' * 3_000,
            b'{"event":"room_finished","room":{"name":"\\ud800"}}',
            b'{"event":"room_finished","room":null,"participant":[]}',
            b"9" * 5_000,
        ]
    ),
)
CLAIMS = st.dictionaries(st.sampled_from(["sha256", "exp", "nbf", "iat", "iss", "video", "sub"]), JSON, max_size=3)
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


def signed(livekit: LiveKit, body: bytes, **odd: Any) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": livekit.api_key, "exp": int(time.time()) + 300, "sha256": digest, **odd}
    return jwt.encode(claims, livekit.api_secret, algorithm="HS256", headers=None)


def raw_token(livekit: LiveKit, payload: bytes) -> str:
    """A token whose claims are no claims, rightly signed."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256","typ":"JWT"}', payload)]
    key = jwt.get_algorithm_by_name("HS256").prepare_key(livekit.api_secret)
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), key)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def event(name: str, room: str, sid: str = "RM_x", kind: str = "STANDARD") -> bytes:
    about = {"identity": "ann", "kind": kind}
    return json.dumps({"event": name, "room": {"name": room, "sid": sid}, "participant": about}).encode()


async def send(fleet: Running, body: bytes, token: str, path: str = "/webhooks/livekit/eu") -> int:
    async with fleet.http.post(fleet.url + path, data=body, headers={"Authorization": token}) as answer:
        await answer.read()
        return answer.status


def _fuzz(url: str, livekit: LiveKit, send: Callable[..., requests.Response]) -> set[int]:
    seen: set[int] = set()

    @given(
        body=BODIES,
        claims=CLAIMS,
        scheme=st.sampled_from(["", "Bearer ", "bearer ", "Basic "]),
        token=st.none() | HEADER_TEXT,
        path=st.sampled_from(["/webhooks/livekit", "/webhooks/livekit/eu", "/webhooks/livekit?region=eu"]),
        kind=st.none() | st.sampled_from(["application/webhook+json", "text/plain; charset=odd", "multipart/x"]),
    )
    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(body: bytes, claims: dict[str, Any], scheme: str, token: str | None, path: str, kind: str | None) -> None:
        try:
            made = signed(livekit, body, **claims) if token is None else token
        except (TypeError, ValueError):  # PyJWT itself makes no such token.
            made = raw_token(livekit, json.dumps(claims).encode())
        headers = {"Authorization": (scheme + made).strip().encode("latin-1")}
        answer = send(url + path, data=body, headers=headers | ({"Content-Type": kind.encode()} if kind else {}))
        assert answer.status_code < 500, (answer.text, body[:200], claims)
        seen.add(answer.status_code)

    ask()
    return seen


async def test_no_webhook_is_a_server_error_or_a_trace(
    tmp_path: Path,
    livekit: LiveKit,
    redis_url: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with controller(tmp_path, livekit, redis_url) as fleet:
        with requests.Session() as session, caplog.at_level(logging.WARNING):
            seen = await asyncio.to_thread(
                _fuzz, fleet.url, livekit, lambda *given, **more: session.post(*given, timeout=10, **more)
            )
            assert {200, 400, 401} <= seen
            for body in (b"[]", b'"text"', b"7", b"null", b"[" * 100_000, b"9" * 5_000, b'{"room": 3}'):
                assert await send(fleet, body, signed(livekit, body)) == 400
            for payload in (b"[]", b"[" * 5_000, b'{"iss": []}', b"\xff"):
                assert await send(fleet, b"{}", raw_token(livekit, payload)) == 401
        assert "Traceback" not in caplog.text + "".join(capsys.readouterr())


async def test_the_signature_comes_before_the_body(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    """Half a body is sent: who is not signed is answered at once, for nothing of it is waited for."""
    async with controller(tmp_path, livekit, redis_url) as fleet:
        host, port = fleet.url.removeprefix("http://").split(":")
        body = event("track_published", "r")

        async def half(token: str) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            lines = [
                "POST /webhooks/livekit/eu HTTP/1.1",
                "Host: c",
                f"Authorization: {token}",
                "Content-Length: 400000",
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            try:
                return (await reader.readline()).strip()
            finally:
                writer.close()

        old = signed(livekit, body, exp=int(time.time()) - 120)
        other = signed(livekit, body, iss="another")
        early = signed(livekit, body, nbf=int(time.time()) + 600)
        forged = jwt.encode({"iss": livekit.api_key, "exp": int(time.time()) + 60, "sha256": ""}, "x" * 32)
        endless = jwt.encode({"iss": livekit.api_key, "sha256": ""}, livekit.api_secret)
        refused = [half(token) for token in ("no.token.this", old, other, early, forged, endless)]
        assert {answer.split()[1] for answer in await asyncio.gather(*refused)} == {b"401"}
        # Who is signed is waited for, a while, and once at a time.
        token = signed(livekit, body)
        first = asyncio.create_task(half(token))
        await asyncio.sleep(0.3)
        assert await send(fleet, body, token) == 503
        assert (await first).split()[1] == b"408"
        assert await send(fleet, body, token) == 200


async def test_a_webhook_may_be_large_and_nothing_else(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    def padded(length: int) -> bytes:
        raw = json.dumps({"event": "participant_left", "room": {"name": "r", "metadata": ""}})
        return raw.replace('""', f'"{"m" * (length - len(raw))}"').encode()

    async with controller(tmp_path, livekit, redis_url) as fleet:
        large, too_large = padded(MAX_EVENT_BYTES), padded(MAX_EVENT_BYTES + 1)
        assert len(large) == MAX_EVENT_BYTES
        assert await send(fleet, large, signed(livekit, large)) == 200
        assert await send(fleet, too_large, signed(livekit, too_large)) == 413
        status, *_ = await fleet.post({"metadata": "m" * MAX_BODY_BYTES})
        assert status == 413


async def test_an_old_end_of_a_room_is_no_end_of_a_newer_one(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    """The name of a room recurs. A captured `room_finished` of the room before is sent again, and again."""
    regions = {"eu": region(livekit, rooms="all")}
    async with controller(tmp_path, livekit, redis_url, regions=regions, listing_s=60) as fleet:
        grants = api.VideoGrants(room_join=True, room="desk-1")
        token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("ann").with_grants(grants).to_jwt()
        old = event("room_finished", "desk-1", "RM_old")

        async def kept() -> dict[str, Any]:
            keys = (KEYS.transcript("desk-1"), KEYS.transcript_of("desk-1"), KEYS.call("desk-1"))
            return {key: await fleet.redis.get(key) for key in keys} | {
                "caller": await fleet.redis.zscore(KEYS.callers, "desk-1")
            }

        async with caller(livekit.url, token) as room:
            sid = await room.sid
            joined = event("participant_joined", "desk-1", sid)
            assert await send(fleet, joined, signed(livekit, joined)) == 200
            # Its agent died a moment ago: there is no claim, and the next agent needs what was said.
            await fleet.redis.set(KEYS.transcript("desk-1"), "what was said")
            await fleet.redis.set(KEYS.transcript_of("desk-1"), sid)
            await fleet.redis.set(KEYS.call("desk-1"), codec.dump(CallRecord("desk-1", "eu", key="front")))
            before = await kept()
            assert all(before.values())
            for _ in range(2):
                assert await send(fleet, old, signed(livekit, old)) == 200
                assert await kept() == before
        # The caller is gone for a moment, which LiveKit gives it; the room is still there.
        assert await send(fleet, old, signed(livekit, old)) == 200
        after = await kept()
        assert after[KEYS.transcript("desk-1")] == "what was said"
        assert after[KEYS.call("desk-1")]
        # The room is gone without a word: its conversation may still go on, and the old end does not end it.
        await fleet.api.room.delete_room(api.DeleteRoomRequest(room="desk-1"))
        await eventually(lambda: _gone(fleet))
        assert await send(fleet, old, signed(livekit, old)) == 200
        assert (await kept())[KEYS.transcript("desk-1")] == "what was said"
        true = event("room_finished", "desk-1", sid)
        assert await send(fleet, true, signed(livekit, true)) == 200
        assert not any((await kept()).values())


async def _gone(fleet: Running) -> bool:
    return not (await fleet.api.room.list_rooms(api.ListRoomsRequest(names=["desk-1"]))).rooms


async def test_the_claim_of_a_newer_room_stays(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url, listing_s=60) as fleet:
        claim = codec.dump(Claim(worker="w1", job="J1", epoch=1, state="live", room_sid="RM_new"))
        await fleet.redis.set(KEYS.claim("desk-2"), claim, px=60_000)
        old, new = (event("room_finished", "desk-2", sid) for sid in ("RM_old", "RM_new"))
        assert await send(fleet, old, signed(livekit, old)) == 200
        assert await fleet.redis.get(KEYS.claim("desk-2")) == claim
        assert await send(fleet, new, signed(livekit, new)) == 200
        assert await fleet.redis.get(KEYS.claim("desk-2")) is None
