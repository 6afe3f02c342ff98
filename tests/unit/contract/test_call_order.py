"""A call's order: each of its fields reaches the record, every dispatch and the agent, whatever fields there are."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.fake_job import FakeFacts
from support.fake_region import FakeRegion, with_region
from voicefleet.contract import codec
from voicefleet.contract.api import CallRequest
from voicefleet.contract.calls import CALL_TTL_MS, ORDER_FIELDS, CallOrder, CallRecord, DispatchMetadata
from voicefleet.contract.spans import SpanRecord
from voicefleet.controller.calls import call_store
from voicefleet.controller.calls.dispatch_requests import dispatch_agent, dispatch_metadata
from voicefleet.controller.http.tickets import Tickets
from voicefleet.controller.placement.place import Placement, Reason
from voicefleet.controller.settings.placement import PlacementSettings
from voicefleet.worker.call import CallContext
from voicefleet.worker.job.parts import build_call, read_job
from voicefleet.worker.job.tier import pick_tier

pytestmark = pytest.mark.unit

ORDER = CallOrder(**{name: f"de-{number}" for number, name in enumerate(ORDER_FIELDS)})
"""Another value in each field."""
ASKED = {name: text for name, text in dataclasses.asdict(ORDER).items() if name != "traceparent"}
"""What a front end says; the trace comes with the request's header."""
OF_THE_TICKET = {"agent", "region", "identity", "data", "priority", "dial"}
OF_ITS_PLACE = {"round_trips", "address", "country", "residency"}
"""Fields of a request that are for the controller alone. Any other is a field of the order."""


def test_a_request_has_every_field_of_an_order() -> None:
    assert {*ASKED, *OF_THE_TICKET, *OF_ITS_PLACE} == set(CallRequest.model_fields)
    assert CallRequest.model_validate(ASKED).order(ORDER.traceparent) == ORDER
    assert CallRequest().order("") == CallOrder()
    assert CallRequest().data is False, "a caller owns nothing but its voice"
    assert CallRequest().priority == CallRecord("room", "eu").priority == 0
    assert CallRecord("room", "eu").max_duration_s == 0


@pytest.mark.parametrize("text", ["d", "de_CH", "de-", "-de", "de-CH\n", "deutsch und englisch"])
def test_a_language_that_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="language"):
        CallRequest(language=text)


def test_a_record_keeps_every_field() -> None:
    record = CallRecord("room", "eu", ORDER, key="front", priority=3)
    assert codec.load(CallRecord, codec.dump(record)) == record


def test_a_dispatch_carries_every_field() -> None:
    sent = DispatchMetadata(ORDER, attempt=2, extra={"mine": [1]})
    assert DispatchMetadata.decode(sent.encode()) == sent
    assert json.loads(sent.encode())["v"] == 1, "front ends write it too"


def test_a_repeated_dispatch_says_what_the_record_or_the_first_dispatch_said() -> None:
    record = CallRecord("room", "eu", ORDER)
    assert dispatch_metadata(record, (), 2) == DispatchMetadata(ORDER, 2)
    assert dispatch_metadata(None, (DispatchMetadata(ORDER).encode(),), 2) == DispatchMetadata(ORDER, 2)


class RecordRedis:
    """What `CallStore` asks of Redis to keep records."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.ttls_ms: set[int] = set()

    async def set(self, key: str, value: str, *, px: int) -> None:
        self.values[key] = value
        self.ttls_ms.add(px)

    async def mget(self, keys: list[str]) -> list[str | None]:
        assert 0 < len(keys) <= call_store.RECORDS_AT_ONCE
        return [self.values.get(key) for key in keys]


async def test_redis_gives_back_the_record_of_each_room_that_has_one() -> None:
    redis = RecordRedis()
    store = call_store.CallStore(cast(Any, redis), cast(Any, None), "eu", grace_ms=0)
    records = {f"r{n}": CallRecord(f"r{n}", "eu", ORDER, key=f"k{n}") for n in range(3)}
    for record in records.values():
        await store.save_record(record)
    assert redis.ttls_ms == {CALL_TTL_MS}
    nobodys = [f"n{n}" for n in range(call_store.RECORDS_AT_ONCE)]
    assert await store.records(["r0", "r1", *nobodys, "r2"]) == records
    assert await store.records([]) == {}


def test_a_dispatch_for_a_call_says_what_is_known_of_it_and_is_a_span_of_its_trace() -> None:
    async def story(fakes: FakeRegion) -> None:
        spans: list[SpanRecord] = []
        fakes.region.tracer = cast(Any, SimpleNamespace(on=True, emit=spans.append))
        traced = dataclasses.replace(ORDER, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        await fakes.store.save_record(CallRecord("a", "eu", traced))
        fakes.livekit.join("a")
        await dispatch_agent(fakes.region, "a", 3)
        fakes.livekit.join("b", dispatch=DispatchMetadata(ORDER).encode())
        await dispatch_agent(fakes.region, "b", 2)
        last = {room: DispatchMetadata.decode(fakes.livekit.rooms[room].dispatches[-1]) for room in "ab"}
        assert last == {"a": DispatchMetadata(traced, 3), "b": DispatchMetadata(ORDER, 2)}
        (span,) = spans
        assert (span.name, span.kind, span.parent) == ("dispatch", "producer", "b" * 16)
        assert (span.context.trace, span.context.span != "b" * 16) == ("a" * 32, True)
        assert span.attributes == {"voicefleet.region": "eu", "voicefleet.dispatch.attempt": 3}

    with_region(story)


@pytest.mark.parametrize(
    ("asked", "before", "picked"),
    [("fast", "rich", "fast"), ("", "rich", "rich"), ("", None, "")],
)
def test_a_call_has_the_tier_that_was_ordered_else_the_one_it_had(asked: str, before: str | None, picked: str) -> None:
    job = SimpleNamespace(dispatch=DispatchMetadata(CallOrder(tier=asked)))
    tiers = SimpleNamespace(pick=lambda name: name)
    had = None if before is None else SimpleNamespace(tier=before)
    assert cast(Any, pick_tier)(job, tiers, had, None) == picked


def test_a_record_made_anew_at_the_join_has_what_the_first_dispatch_said() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", key="front", dispatch=DispatchMetadata(ORDER).encode())
        record = await fakes.joins._recorded(fakes.region, "a", "front")
        assert record is not None
        assert record.order == ORDER

    with_region(story)


def test_the_agent_is_given_every_field() -> None:
    job = SimpleNamespace(
        metadata=DispatchMetadata(ORDER).encode(), room=SimpleNamespace(name="room", sid="RM"), id="J"
    )
    clock = SimpleNamespace(wall=lambda: SimpleNamespace(timestamp=lambda: 0.0))
    ctx = SimpleNamespace(job=job, _info=SimpleNamespace(token="x.e30.x"))
    settings = SimpleNamespace(region="eu", worker_id="w")
    facts = FakeFacts()
    read = read_job(cast(Any, ctx), cast(Any, settings), cast(Any, SimpleNamespace(clock=clock, facts=facts)))
    assert build_call(read, "fast", None, cast(Any, None)) == CallContext(
        "eu", "room", "fast", ORDER, "w", resumed="", kept={}
    )
    assert CallContext("eu", "room", "fast", ORDER, "w").resumed == ""
    assert facts.described == ("fast", ORDER.language), "its log says so too"


def test_a_ticket_and_its_record_have_the_order_of_the_request() -> None:
    async def story(fakes: FakeRegion) -> None:
        minted: list[str] = []
        identities: list[str] = []

        def mint(room: str, identity: str, metadata: str, *, key: str, data: bool) -> str:
            minted.append(metadata)
            identities.append(identity)
            return "token"

        cast(Any, fakes.region.livekit).mint = mint
        limits = SimpleNamespace(max_call_duration_s=60.0, concurrent_calls=0)
        settings = cast(Any, SimpleNamespace(limits=limits, placement=PlacementSettings()))
        nothing, limiter = cast(Any, None), cast(Any, fakes.limiter)
        tickets = Tickets(settings, {"eu": fakes.region}, nothing, fakes.joins, limiter, fakes.metrics)
        trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        here = Placement("eu", "eu", Reason.FREE, ())
        asked = CallRequest.model_validate(ASKED)
        ticket = await tickets._ticket("front", asked, fakes.region, here, "call-1", trace)
        order = dataclasses.replace(ORDER, traceparent=trace)
        (record,) = fakes.store.redis.records.values()
        told = json.loads(cast(Any, ticket).text)
        assert (told["region"], told["room"], told["token"]) == ("eu", record.room, "token")
        assert [told["identity"]] == identities
        assert record.order == order
        assert [DispatchMetadata.decode(text) for text in minted] == [DispatchMetadata(order, caller=told["identity"])]

    with_region(story)
