"""A call's order: each of its fields reaches the record, every dispatch and the agent, whatever fields there are."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.fake_region import FakeRegion, with_region
from voicefleet.contract import codec
from voicefleet.contract.api import CallRequest
from voicefleet.contract.calls import ORDER_FIELDS, CallOrder, CallRecord, DispatchMetadata
from voicefleet.controller.calls.dispatch_requests import dispatch_metadata
from voicefleet.controller.http.api import Api
from voicefleet.worker.job.parts import build_call, read_job

pytestmark = pytest.mark.unit

ORDER = CallOrder(**{name: f"de-{number}" for number, name in enumerate(ORDER_FIELDS)})
"""Another value in each field."""
ASKED = {name: text for name, text in dataclasses.asdict(ORDER).items() if name != "traceparent"}
"""What a front end says; the trace comes with the request's header."""
OF_THE_TICKET = {"region", "identity", "data", "priority"}
"""Fields of a request that are for the controller alone. Any other is a field of the order."""


def test_a_request_has_every_field_of_an_order() -> None:
    assert {*ASKED, *OF_THE_TICKET} == set(CallRequest.model_fields)
    assert CallRequest.model_validate(ASKED).order(ORDER.traceparent) == ORDER
    assert CallRequest().order("") == CallOrder()


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
    read = read_job(cast(Any, ctx), cast(Any, settings), cast(Any, SimpleNamespace(clock=clock)))
    assert build_call(read, "fast", None).order == ORDER


def test_a_ticket_and_its_record_have_the_order_of_the_request() -> None:
    async def story(fakes: FakeRegion) -> None:
        minted: list[str] = []

        def mint(room: str, identity: str, metadata: str, *, key: str, data: bool) -> str:
            minted.append(metadata)
            return "token"

        cast(Any, fakes.region.livekit).mint = mint
        settings = SimpleNamespace(limits=SimpleNamespace(max_call_duration_s=60.0, concurrent_calls=0))
        nothing = cast(Any, None)
        api = Api(
            cast(Any, settings),
            {"eu": fakes.region},
            nothing,
            fakes.joins,
            cast(Any, fakes.limiter),
            nothing,
            nothing,
            nothing,
            nothing,
        )
        trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        await api._ticket("front", CallRequest.model_validate(ASKED), cast(Any, SimpleNamespace(region="eu")), trace)
        order = dataclasses.replace(ORDER, traceparent=trace)
        (record,) = fakes.store.redis.records.values()
        assert record.order == order
        assert [DispatchMetadata.decode(text) for text in minted] == [DispatchMetadata(order)]

    with_region(story)
