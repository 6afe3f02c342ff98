"""A past call packed for days: the same call comes out, small, and nothing that is not one of ours is read as one."""

from __future__ import annotations

import dataclasses

import pytest

from support.past_calls import past_call
from voicefleet.contract import codec
from voicefleet.contract.call_archive import PackedCall, pack, unpack
from voicefleet.contract.call_log import CallLog, summarize

pytestmark = pytest.mark.unit


def packed(call: CallLog) -> PackedCall:
    return pack(call, summarize(call, call.ended_ms))


def test_what_is_unpacked_is_the_call_that_was_packed() -> None:
    call = past_call()
    again = unpack(codec.load(PackedCall, codec.dump(packed(call))), "eu")
    assert again is not None
    assert summarize(again, 0) == summarize(call, 0)
    assert again.key == "web"
    assert "held:AJ_x" not in again.log


def test_a_list_has_what_it_shows_without_unpacking() -> None:
    call = past_call(3)
    row = packed(call)
    assert (row.room, row.turns, row.trace, row.key) == (call.room, 3, call.log["trace"], "web")
    assert (row.ended_ms - row.opened_ms, row.reason, row.dead_air_s, row.why) == (63_000, "caller_left", 0.0, "")


def test_a_call_of_ten_turns_takes_about_a_kilobyte() -> None:
    """What the documents state, in characters; Redis adds some 300 bytes of its own (`tests/integration`)."""
    sizes = [len(codec.dump(packed(past_call(seed=seed)))) for seed in range(20)]
    assert max(sizes) < 1_600, sizes


@pytest.mark.parametrize("text", ["", "2abc", "1", "1not base 85 \u00e9", "1" + "0" * 40])
def test_what_cannot_be_unpacked_is_no_call(text: str) -> None:
    assert unpack(dataclasses.replace(packed(past_call()), packed=text), "eu") is None
