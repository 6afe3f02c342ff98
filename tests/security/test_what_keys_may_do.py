"""The findings about keys, replayed against a real controller: calls of others, campaigns, guesses, odd identities."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc
from yarl import URL

from support.controlling import Running, caller, controller, region
from support.eventually import eventually
from voicefleet.controller.http.auth.attempts import BURST
from voicefleet.controller.http.auth.keys import line_of
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

WEB, OTHER, OPS, SEES = (f"the-secret-of-{name}" for name in ("web", "other", "ops", "sees"))
KEYS = f"web:{WEB}:call,other:{OTHER}:call,ops:{OPS}:operate,sees:{SEES}:read"


async def asked(
    fleet: Running, method: str, path: str, secret: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    sent = {"Authorization": f"Bearer {secret}", **headers}
    async with fleet.http.request(method, fleet.url + path, json=body, headers=sent) as answer:
        text = await answer.text()
        return answer.status, await answer.json() if text else None


async def ticket(fleet: Running, secret: str) -> dict[str, str]:
    status, answer = await asked(fleet, "POST", "/v1/calls", secret, {"region": "eu"})
    assert status == 201, answer
    return dict(answer)


async def in_the_room(fleet: Running, room: str) -> bool:
    status, answer = await asked(fleet, "GET", "/v1/calls", SEES)
    return status == 200 and room in [call["room"] for call in answer["calls"]]


async def test_a_key_ends_its_own_call_for_good_and_nobody_elses(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    async with controller(tmp_path, livekit, redis_url, keys=KEYS) as fleet, fleet.worker("w-1"):
        mine = await ticket(fleet, WEB)
        path = f"/v1/calls/{mine['room']}"
        async with caller(mine["url"], mine["token"]) as room:
            gone = asyncio.Event()
            room.on("disconnected", lambda *_: gone.set())
            await eventually(lambda: in_the_room(fleet, mine["room"]))
            refused = await asked(fleet, "DELETE", path, OTHER)
            nowhere = await asked(fleet, "DELETE", "/v1/calls/call-that-is-not", OTHER)
            assert refused == nowhere, "that there is such a call is not told"
            assert refused[0] == 404
            assert (await asked(fleet, "DELETE", path, SEES))[0] == 403
            assert not gone.is_set()
            assert await asked(fleet, "DELETE", path, WEB) == (204, None)
            await asyncio.wait_for(gone.wait(), 5)
        # LiveKit lets the ticket in again, into a new room of the name; we do not.
        async with caller(mine["url"], mine["token"]) as again:
            ended = asyncio.Event()
            again.on("disconnected", lambda *_: ended.set())
            if again.connection_state != rtc.ConnectionState.CONN_DISCONNECTED:
                await asyncio.wait_for(ended.wait(), 10)
        assert await fleet.metric('voicefleet_joins_refused_total{reason="ended",region="eu"}') >= 1


async def test_an_operator_ends_any_call_of_its_regions(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with controller(tmp_path, livekit, redis_url, keys=KEYS) as fleet, fleet.worker("w-1"):
        one = await ticket(fleet, WEB)
        async with caller(one["url"], one["token"]) as room:
            gone = asyncio.Event()
            room.on("disconnected", lambda *_: gone.set())
            await eventually(lambda: in_the_room(fleet, one["room"]))
            assert (await asked(fleet, "DELETE", f"/v1/calls/{one['room']}?region=mars", OPS))[0] == 400
            assert (await asked(fleet, "DELETE", f"/v1/calls/{one['room']}", OPS))[0] == 204
            await asyncio.wait_for(gone.wait(), 5)


async def test_a_ticket_that_nobody_used_is_given_back(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    pool = {"max_workers": 1, "slots": 1}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, regions={"eu": region(livekit, pool=pool)}) as fleet:
        unused = await ticket(fleet, WEB)
        assert (await asked(fleet, "POST", "/v1/calls", WEB, {}))[0] == 429
        assert (await asked(fleet, "DELETE", f"/v1/calls/{unused['room']}", WEB))[0] == 204
        await ticket(fleet, WEB)


async def test_a_typo_of_ten_million_calls_is_a_400_that_says_the_cap(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    pool = {"min_workers": 1, "max_workers": 10, "slots": 4, "policy": "predictive"}
    regions = {"eu": region(livekit, pool=pool)}
    limits = {"campaigns": 3}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, regions=regions, limits=limits) as fleet:
        typo = {"region": "eu", "duration_s": 7 * 86_400, "calls": 10_000_000}
        assert (await asked(fleet, "POST", "/v1/campaigns", WEB, typo))[0] == 403
        status, answer = await asked(fleet, "POST", "/v1/campaigns", OPS, typo)
        assert (status, answer["field"]) == (400, "calls")
        assert "eu has 40 slots at most (10 workers of 4" in answer["error"]
        most = int(answer["hint"].split("at most ")[1].split()[0])
        assert (await asked(fleet, "POST", "/v1/campaigns", OPS, {**typo, "calls": most + 1000}))[0] == 400
        made = []
        for calls in (most // 2, most // 2):
            status, kept = await asked(fleet, "POST", "/v1/campaigns", OPS, {**typo, "calls": calls})
            assert status == 201, kept
            assert kept["key"] == "ops"
            made.append(kept["id"])
        # What was announced before counts too, for the same time only.
        status, answer = await asked(fleet, "POST", "/v1/campaigns", OPS, {**typo, "calls": most // 2})
        assert (status, "announced before" in answer["error"]) == (400, True)
        later = {"region": "eu", "starts_in_s": 8 * 86_400, "duration_s": 60, "calls": 10}
        assert (await asked(fleet, "POST", "/v1/campaigns", OPS, later))[0] == 201
        status, answer = await asked(fleet, "POST", "/v1/campaigns", OPS, {**later, "calls": 1})
        assert (status, "more than 3 campaigns of the key ops" in answer["error"]) == (409, True)

        async def wants(least: int) -> bool:
            _, answer = await asked(fleet, "GET", "/v1/decisions?limit=1", SEES)
            (decision,) = answer["decisions"]
            assert decision["desired"] <= 10
            return bool((decision["inputs"].get("need") or 0) >= least)

        # The pool is asked for what was announced, and no more than that is ever said to be wanted.
        await eventually(lambda: wants(5), 15)
        _, answer = await asked(fleet, "GET", "/v1/decisions?limit=1000", SEES)
        assert max(d["inputs"].get("need") or 0 for d in answer["decisions"]) <= 2 * 10
        for campaign in made:
            assert (await asked(fleet, "DELETE", f"/v1/campaigns/{campaign}", SEES))[0] == 403
            assert (await asked(fleet, "DELETE", f"/v1/campaigns/{campaign}", OPS))[0] == 204
            assert (await asked(fleet, "DELETE", f"/v1/campaigns/{campaign}", OPS))[0] == 404
        status, answer = await asked(fleet, "GET", "/v1/campaigns", SEES)
        assert [(c["calls_per_s"], c["key"]) for c in answer["campaigns"]] == [(pytest.approx(1 / 6), "ops")]


async def test_guesses_are_limited_by_address_and_lock_no_key_out(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    trusted = ["127.0.0.0/8"]
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, trusted_proxies=trusted) as fleet:

        async def guess(address: str) -> int:
            return (await asked(fleet, "GET", "/v1/regions", "a-guess-of-16-letters", **{"X-Forwarded-For": address}))[
                0
            ]

        statuses = [await guess("192.0.2.7") for _ in range(BURST + 5)]
        assert set(statuses[:BURST]) == {401}
        assert statuses[-1] == 429
        assert await guess("192.0.2.8") == 401, "another address"
        assert (await asked(fleet, "GET", "/v1/regions", SEES, **{"X-Forwarded-For": "192.0.2.7"}))[0] == 200
        async with fleet.http.get(
            f"{fleet.url}/v1/regions",
            headers={"Authorization": "Bearer another-guess-of-it", "X-Forwarded-For": "192.0.2.7"},
        ) as answer:
            assert (answer.status, int(answer.headers["Retry-After"]) >= 1) == (429, True)
        assert await fleet.metric('voicefleet_auth_failures_total{result="limited"}') >= 2


async def test_keys_of_a_file_change_without_a_restart(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line_of("sees", SEES, "read", "eu"))
    path.chmod(0o600)
    async with controller(tmp_path, livekit, redis_url, api_keys_file=str(path)) as fleet:
        assert (await asked(fleet, "GET", "/v1/regions", SEES))[0] == 200
        path.write_text(line_of("ops", OPS, "operate", "eu"))

        async def changed() -> bool:
            old, new = [(await asked(fleet, "GET", "/v1/regions", secret))[0] for secret in (SEES, OPS)]
            return (old in (401, 429), new) == (True, 200)

        await eventually(changed)


@pytest.mark.parametrize("identity", ["ann\0", "ann\nbob", "\x1b[2J", "a\u2028b", "a\u202eb", "\x7f", "a\x85"])
async def test_an_identity_with_control_characters_is_a_400(
    identity: str, livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    async with controller(tmp_path, livekit, redis_url, keys=KEYS) as fleet, fleet.worker("w-1"):
        status, answer = await asked(fleet, "POST", "/v1/calls", WEB, {"identity": identity})
        assert (status, answer["field"]) == (400, "identity")
        assert "control character" in answer["error"]
        assert (await asked(fleet, "POST", "/v1/calls", WEB, {"identity": "Änne O'Hara 愛"}))[0] == 201


async def known(fleet: Running) -> bool:
    _, answer = await asked(fleet, "GET", "/v1/regions", SEES)
    return answer["regions"][0]["waiting"] is not None and answer["regions"][0]["ready"] is not None


ODD = ["%00", "%0a", "..%2f..", "%ff", "%ed%a0%80", "%E2%80%AE", "a" * 3000, "';%20DROP", "{eu}", "*"]


async def test_odd_names_of_rooms_campaigns_and_workers_are_404(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    places = (("DELETE", "/v1/calls/"), ("DELETE", "/v1/campaigns/"), ("GET", "/v1/workers/"))
    async with controller(tmp_path, livekit, redis_url, keys=KEYS) as fleet, fleet.worker("w-1"):
        await eventually(lambda: known(fleet))
        for name, (method, path) in itertools.product(ODD, places):
            url = URL(fleet.url + path + name, encoded=True)
            async with fleet.http.request(method, url, headers={"Authorization": f"Bearer {OPS}"}) as answer:
                assert answer.status == 404, (method, path, await answer.text())


@pytest.mark.parametrize(
    "header", [b"Bearer \xff\xfe", b"Bearer", b"Bearer " + b"x" * 4000, b"\xe2\x80\xae", b"Basic e30="]
)
async def test_odd_authorization_is_a_401(header: bytes, livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with controller(tmp_path, livekit, redis_url, keys=KEYS) as fleet:
        host, _, port = fleet.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + header + b"\r\n\r\n"
        )
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.split()[1] == b"401", answer


async def test_keys_without_roles_are_said_once_at_the_start(
    livekit: LiveKit, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = f"{KEYS},old:the-secret-of-old,older:the-secret-of-older"
    async with controller(tmp_path, livekit, redis_url, keys=keys) as fleet:
        for method, path, body in (("GET", "/v1/regions", None), ("POST", "/v1/calls", {})):
            assert (await asked(fleet, method, path, "the-secret-of-old", body))[0] in (200, 201)
    said = [line for line in capsys.readouterr().out.splitlines() if "API keys without roles" in line]
    assert len(said) == 1
    assert "old" in said[0]
    assert "older" in said[0]
    assert "the-secret" not in said[0]
