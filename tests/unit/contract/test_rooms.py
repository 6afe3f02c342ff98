"""Which rooms are ours by their name or metadata."""

from __future__ import annotations

import json
import re

import pytest

from voicefleet.contract.calls import MAX_METADATA_BYTES, CallOrder
from voicefleet.contract.rooms import ROOMS_PATTERN, order_in, served_by_name

pytestmark = pytest.mark.unit


def metadata(**order: object) -> str:
    return json.dumps({"theirs": 1, "voicefleet": order})


def test_a_room_orders_an_agent_by_its_metadata() -> None:
    text = metadata(agent="voicefleet", tier="fast", metadata="order 7", language="de-CH")
    assert order_in(text, "voicefleet") == CallOrder("fast", "order 7", "de-CH")
    assert order_in(metadata(agent="voicefleet"), "voicefleet") == CallOrder()
    assert order_in(metadata(agent="voicefleet", metadata={"id": 7}), "voicefleet") == CallOrder(metadata='{"id":7}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{not json",
        "[1]",
        '"voicefleet"',
        '{"voicefleet": 1}',
        '{"voicefleet": {}}',
        '{"agent": "voicefleet"}',
        metadata(agent="another"),
        metadata(agent=["voicefleet"]),
        '{"voicefleet":' + "[" * 60_000,
    ],
)
def test_other_metadata_order_nothing(text: str) -> None:
    assert order_in(text, "voicefleet") is None


def test_what_no_order_may_hold_is_left_out_and_the_caller_served() -> None:
    long = "x" * (MAX_METADATA_BYTES + 1)
    text = metadata(agent="voicefleet", tier="No Tier", metadata=long, language="deutsch und englisch")
    assert order_in(text, "voicefleet") == CallOrder()


@pytest.mark.parametrize(
    ("rooms", "room", "served"),
    [
        ("ordered", "support-1", False),
        ("all", "support-1", True),
        ("support-*", "support-1", True),
        ("support-*", "sales-1", False),
        ("support-*", "my-support-1", False),
    ],
)
def test_rooms_served_by_their_name(rooms: str, room: str, served: bool) -> None:
    assert re.match(ROOMS_PATTERN, rooms)
    assert served_by_name(rooms, room) is served


@pytest.mark.parametrize("rooms", ["", "*", "some", "support-", "a*b", "a b*", "a**", "ordered\n"])
def test_no_choice_of_rooms(rooms: str) -> None:
    assert not re.fullmatch(ROOMS_PATTERN, rooms)
