"""The API's handlers on fakes, behind the middleware of keys: tickets, limits, the end of a call, what is unknown."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from aiohttp import web

from support.fake_region import FakeRegion, Run, with_region
from support.http_requests import request, told
from support.region_settings import LIVEKIT, POOL
from voicefleet.contract.calls import CallOrder, CallRecord, DispatchMetadata
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.http.api import Api
from voicefleet.controller.http.auth.access import Access
from voicefleet.controller.http.end_call import EndCall
from voicefleet.controller.http.rejoin import Rejoin
from voicefleet.controller.http.tickets import Tickets
from voicefleet.controller.leader.leadership import AlwaysLeads
from voicefleet.controller.pool.reconciler import DecisionLog
from voicefleet.controller.regions.history import History
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.tracing import parse_traceparent

pytestmark = pytest.mark.unit

SECRETS = {name: f"the-secret-of-{name}-key" for name in ("front", "other", "ops", "reader", "mars")}
KEYS = ",".join(
    f"{name}:{SECRETS[name]}:{roles}"
    for name, roles in (
        ("front", "call"),
        ("other", "call"),
        ("ops", "operate"),
        ("reader", "read"),
        ("mars", "call+read+operate:mars"),
    )
)


def lister(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=1.0, max_duration_s=0.0).run


def app_of(fakes: FakeRegion, *, concurrent_calls: int = 0) -> web.Application:
    regions = {"eu": fakes.region}
    region = {"livekit": LIVEKIT, "pool": POOL}
    given = {
        "redis_url": "redis://fake",
        "api_keys_env": "KEYS",
        "limits": {"concurrent_calls": concurrent_calls, "max_call_duration_s": 60, "unused_tickets_ratio": 0.5},
        "regions": {"eu": region, "mars": region},
    }
    settings = Settings.model_validate(given, context={"KEYS": KEYS, "SECRET": "secret"})
    limiter = cast(Any, fakes.limiter)
    access = Access(settings, limiter, fakes.metrics, fakes.clock, {"eu": fakes.region})
    app = web.Application(middlewares=[access.guard])
    histories = {"eu": History(fakes.region)}
    leader = AlwaysLeads("r1")
    Tickets(settings, regions, access, fakes.joins, limiter, fakes.metrics).add_routes(app)
    Api(settings, regions, DecisionLog(), histories, leader).add_routes(app)
    EndCall(regions, limiter).add_routes(app)
    Rejoin(regions).add_routes(app)
    return app


class Client:
    """Asks one application, as one key or another."""

    def __init__(self, fakes: FakeRegion, **settings: int) -> None:
        self._app = app_of(fakes, **settings)

    async def __call__(self, method: str, path: str, body: object = b"", *, key: str = "front") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {SECRETS[key]}"} if key else {}
        answer = await request(self._app, method, path, body, headers=headers)
        return answer.status, told(answer)


async def known(fakes: FakeRegion, workers: int = 1, slots: int = 2) -> None:
    """The calls and the reports of the region are known."""
    for number in range(workers):
        fakes.workers.add(f"w{number}", slots=slots)
    await fakes.clock.sleep(0.1)
    await fakes.region.reports.read()
    assert fakes.region.fresh_snapshot() is not None


def test_a_ticket_orders_an_agent_and_the_call_has_a_record() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        status, ticket = await Client(fakes)(
            "POST", "/v1/calls", {"tier": "fast", "metadata": "order 7", "priority": 3}
        )
        assert status == 201
        token = json.loads(ticket["token"])
        traced = DispatchMetadata.decode(token["metadata"]).order.traceparent
        assert parse_traceparent(traced) is not None, "every call has a trace, though nobody exports any"
        order = CallOrder("fast", "order 7", traceparent=traced)
        assert DispatchMetadata.decode(token["metadata"]) == DispatchMetadata(order, caller=ticket["identity"])
        assert (token["room"], token["key"], token["data"]) == (ticket["room"], "front", False)
        record = CallRecord(
            ticket["room"], "eu", order, key="front", max_duration_s=60.0, priority=3, caller=ticket["identity"]
        )
        assert fakes.store.redis.records == {ticket["room"]: record}
        assert ticket["room"] in fakes.region.reservations.rooms, "its slot is not given to the next one"

    with_region(story, lister)


def test_a_page_that_reloads_gets_another_ticket_for_its_own_call_alone() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        client = Client(fakes)
        _, first = await client("POST", "/v1/calls", {"tier": "fast", "identity": "ann"})
        path = f"/v1/calls/{first['room']}/ticket"
        status, ticket = await client("POST", path, {"identity": "ann"})
        assert status == 201
        assert (ticket["room"], ticket["identity"], ticket["region"]) == (first["room"], "ann", "eu")
        assert json.loads(ticket["token"]) == json.loads(first["token"]), "the same rights"
        assert (await client("POST", path, key="other"))[0] == 404
        assert (await client("POST", path, key="reader"))[0] == 403
        assert (await client("POST", "/v1/calls/nobodys/ticket"))[0] == 404
        assert (await client("POST", path, {"identity": "a\nb"}))[0] == 400
        assert (await client("POST", path, {"region": "mars"}))[0] == 400
        fakes.store.redis.away = True
        assert (await client("POST", path))[0] == 503
        fakes.store.redis.away = False
        assert (await client("DELETE", f"/v1/calls/{first['room']}"))[0] == 204
        assert (await client("POST", path))[0] == 404, "it was ended on purpose"

    with_region(story, lister)


def test_with_redis_away_a_ticket_is_given_all_the_same() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.limiter.error = ConnectionError()
        assert (await Client(fakes)("POST", "/v1/calls"))[0] == 201

    with_region(story)


def test_with_redis_away_a_key_with_a_bound_gets_none() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.limiter.error, fakes.limiter.most = ConnectionError(), 5
        status, problem = await Client(fakes, concurrent_calls=5)("POST", "/v1/calls")
        assert status == 503, problem
        assert fakes.region.reservations.rooms == set()

    with_region(story)


def test_a_key_with_as_many_calls_as_it_may_gets_no_more_and_keeps_no_reservation() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes, workers=4)
        fakes.limiter.most = 1
        client = Client(fakes, concurrent_calls=1)
        assert (await client("POST", "/v1/calls"))[0] == 201
        assert (await client("POST", "/v1/calls"))[0] == 429
        assert len(fakes.region.reservations.rooms) == 1

    with_region(story, lister)


def test_tickets_that_nobody_joined_with_close_the_fleet_to_their_key_alone() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes, workers=1, slots=2)  # at its maximum the pool has four workers of one slot
        client = Client(fakes)
        answers = [(await client("POST", "/v1/calls"))[0] for _ in range(3)]
        assert answers == [201, 201, 429], "half of the four free slots"
        assert (await client("POST", "/v1/calls", key="other"))[0] == 201
        await fakes.clock.sleep(6.0)
        await fakes.region.reports.read()
        assert (await client("POST", "/v1/calls"))[0] == 201, "its callers were expected for 5 s"

    with_region(story, lister)


def test_a_full_region_refuses_and_an_unknown_one_does_not() -> None:
    async def story(fakes: FakeRegion) -> None:
        for number in range(4):
            await fakes.call(f"r{number}")
        await fakes.clock.sleep(1.5)
        await fakes.region.reports.read()
        assert (await Client(fakes)("POST", "/v1/calls"))[0] == 503
        fakes.livekit.away = True
        await fakes.clock.sleep(12.0)
        assert (await Client(fakes)("POST", "/v1/calls"))[0] == 201, "unknown is never full"
        assert requests_for_calls(fakes) == {"full": 1, "ticket": 1}

    with_region(story, lister)


def requests_for_calls(fakes: FakeRegion) -> dict[str, float]:
    """What was counted of requests for calls in eu; without zeros."""
    results = catalogue.CALL_REQUESTS.values["result"]
    name, registry = catalogue.CALL_REQUESTS.samples[0], fakes.metrics.registry
    found = {result: registry.get_sample_value(name, {"region": "eu", "result": result}) for result in results}
    return {result: count for result, count in found.items() if count}


def test_every_caller_who_is_turned_away_is_counted_and_why() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        client, fakes.limiter.most = Client(fakes, concurrent_calls=1), 1
        assert (await client("POST", "/v1/calls", {"region": "eu"}))[0] == 201
        assert (await client("POST", "/v1/calls"))[0] == 429
        fakes.limiter.error = UnknownStateError("Redis is away")
        assert (await client("POST", "/v1/calls", key="other"))[0] == 503
        assert requests_for_calls(fakes) == {"ticket": 1, "limited": 1, "unavailable": 1}
        # Their own mistakes are no caller turned away, and who has no key is nobody's caller.
        await client("POST", "/v1/calls", {"priority": 10})
        await client("POST", "/v1/calls", {"region": "asia"})
        await client("POST", "/v1/calls", key="reader")
        await client("POST", "/v1/calls", key="")
        assert sum(requests_for_calls(fakes).values()) == 3

    with_region(story, lister)


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "status"),
    [
        ("POST", "/v1/calls", b"", "", 401),
        ("POST", "/v1/calls", b"", "reader", 403),
        ("POST", "/v1/calls", {"region": "eu"}, "mars", 403),
        ("POST", "/v1/calls", {"region": "asia"}, "front", 400),
        ("POST", "/v1/calls", {"priority": 10}, "front", 400),
        ("POST", "/v1/calls", b"[", "front", 400),
        ("GET", "/v1/calls", b"", "front", 403),
        ("GET", "/v1/calls?limit=0", b"", "reader", 400),
        ("GET", "/v1/calls?cursor=%20", b"", "reader", 400),
        ("POST", "/v1/workers/w0/drain", b"", "reader", 403),
        ("GET", "/v1/nothing", b"", "reader", 404),
    ],
)
def test_requests_that_are_refused(method: str, path: str, body: object, key: str, status: int) -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        answer, problem = await Client(fakes)(method, path, body, key=key)
        assert (answer, bool(problem)) == (status, True)
        assert not fakes.store.redis.records
        assert not fakes.region.reservations.rooms

    with_region(story, lister)


def test_calls_are_listed_while_they_are_known_and_never_as_none_while_they_are_not() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        await fakes.call("a")
        await fakes.clock.sleep(1.1)
        client = Client(fakes)
        status, page = await client("GET", "/v1/calls", key="reader")
        assert (status, [call["room"] for call in page["calls"]]) == (200, ["a"])
        fakes.store.redis.away = True
        await fakes.clock.sleep(1.1)
        status, _ = await client("GET", "/v1/calls", key="reader")
        assert status == 503

    with_region(story, lister)


def test_a_key_ends_its_own_call_and_no_other_an_operator_any() -> None:
    async def story(fakes: FakeRegion) -> None:
        await known(fakes)
        client = Client(fakes)
        rooms = []
        for _ in range(2):
            _, ticket = await client("POST", "/v1/calls")
            rooms.append(ticket["room"])
            await fakes.call(ticket["room"], key="front")
            await fakes.clock.sleep(2.0)
        assert (await client("DELETE", f"/v1/calls/{rooms[0]}", key="other"))[0] == 404
        assert (await client("DELETE", f"/v1/calls/{rooms[0]}"))[0] == 204
        assert (await client("DELETE", f"/v1/calls/{rooms[1]}", key="ops"))[0] == 204
        assert fakes.livekit.rooms == {}
        assert fakes.store.redis.ended == set(rooms), "their tickets let nobody in again"
        assert fakes.limiter.calls["front"] == set()
        assert fakes.region.reservations.rooms == set()

    with_region(story, lister)


def test_a_call_is_not_ended_while_nobody_knows_whose_it_is() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        assert (await Client(fakes)("DELETE", "/v1/calls/a"))[0] == 503

    with_region(story)


def test_an_unknown_worker_is_not_there_only_where_the_reports_are_known() -> None:
    async def story(fakes: FakeRegion) -> None:
        client = Client(fakes)
        assert (await client("GET", "/v1/workers/w0", key="reader"))[0] == 503
        fakes.workers.add("w0")
        await fakes.region.reports.read()
        assert (await client("GET", "/v1/workers/w0", key="reader"))[0] == 200
        assert (await client("GET", "/v1/workers/w9", key="reader"))[0] == 404

    with_region(story)


def test_an_error_of_ours_shows_no_trace() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.region.reservations = cast(Any, None)
        status, problem = await Client(fakes)("POST", "/v1/calls")
        assert (status, "Traceback" in json.dumps(problem)) == (500, False)

    with_region(story)


def test_a_drain_is_an_incident_that_says_whose_key_ordered_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w0")
        await fakes.region.reports.read()
        assert (await Client(fakes)("POST", "/v1/workers/w0/drain", key="ops"))[0] == 202
        (incident,) = [i for i in await fakes.region.incidents.read(10) if i.kind == "drain_ordered"]
        text = "w0 is to hand its calls over and end, ordered by the API key ops"
        assert (incident.text, incident.subject, incident.state) == (text, "w0", "ok")

    with_region(story)


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"regin": "eu"}, "regin", "Did you mean region?"),
        ({"dial": {"to": "+15550100", "tunk": "t"}}, "dial.tunk", "Did you mean trunk?"),
        ({"priority": 10}, "priority", "Correct it."),
        (b"[", "body", "Correct it."),
    ],
)
def test_a_wrong_body_is_named_by_its_field_and_what_was_meant(body: object, field: str, hint: str) -> None:
    async def story(fakes: FakeRegion) -> None:
        status, problem = await Client(fakes)("POST", "/v1/calls", body)
        assert (status, problem["field"], problem["hint"]) == (400, field, hint), problem

    with_region(story)
