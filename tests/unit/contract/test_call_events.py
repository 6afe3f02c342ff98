"""Call events as they are sent, signed as Standard Webhooks says, and the summary of a call."""

from __future__ import annotations

import json

import pytest

from voicefleet.contract.call_events import CallEvent, CallState, EventType, secret_keys, signed_headers
from voicefleet.contract.call_log import CallLog, summarize

pytestmark = pytest.mark.unit

START_MS = 1_764_000_000_000
LEFT_MS = START_MS + 30_000


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example of standardwebhooks.com's own libraries."""
    keys = secret_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    keys = secret_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_AAAAAAAAAAAAAAAAAAAAAAAA")
    signatures = signed_headers(keys, "id", 1, b"x")["webhook-signature"].split(" ")
    assert len(signatures) == 2
    assert all(signature.startswith("v1,") for signature in signatures)


@pytest.mark.parametrize("text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_no base64!", "whsec_"])
def test_a_secret_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        secret_keys(text)
    assert "MfKQ" not in str(refused.value)


def test_an_event_is_the_same_bytes_each_time() -> None:
    event = CallEvent("RM_1.moved.2", EventType.MOVED, "RM_1", "eu", START_MS + 123, {"room": "caf\u00e9", "epoch": 2})
    assert event.body() == event.body()
    assert json.loads(event.body()) == {
        "type": "call.moved",
        "timestamp": "2025-11-24T16:00:00.123Z",
        "data": {"call": "RM_1", "region": "eu", "room": "caf\u00e9", "epoch": 2},
    }


def log_of(facts: list[dict[str, object]], **fields: object) -> CallLog:
    log = {"room": "room", "opened_ms": str(START_MS), **{name: str(value) for name, value in fields.items()}}
    texts = [json.dumps({**fact, "t": START_MS + round(float(str(fact["t"])) * 1000)}) for fact in facts]
    read = CallLog.read("RM_1", "eu", log, ["not JSON", "[]", *texts])
    assert read is not None
    return read


CALL: list[dict[str, object]] = [
    {"e": "started", "t": 0},
    {"e": "caller", "t": 0},
    {"e": "answered", "t": 1, "worker": "w1", "epoch": 1, "waited_ms": 1000},
    {"e": "greeting", "t": 2, "seconds": 0.8, "epoch": 1},
    {"e": "turn", "t": 6, "outcome": "completed", "ttfa_s": 0.6, "stages": {"llm_ttft": 0.2}, "epoch": 1},
    {"e": "interruption", "t": 7, "kind": "barge_in", "epoch": 1},
    {"e": "interruption", "t": 8, "kind": "backchannel", "epoch": 1},
    {"e": "lost", "t": 10},
    {"e": "recovered", "t": 13, "worker": "w2", "from_worker": "w1", "epoch": 3, "gap_ms": 3000},
]


def test_a_call_in_progress() -> None:
    seen = summarize(log_of(CALL, job="j2", answered=1, here=1), START_MS + 20_000)
    assert (seen.state, seen.duration_s, seen.waited_s, seen.served_s) == (CallState.SERVED, 20.0, 1.0, 16.0)
    assert (seen.ended_at, seen.greeting_s, seen.interruptions) == (None, 0.8, 1)
    assert [(p.worker, p.from_s, p.until_s, p.end) for p in seen.agents] == [
        ("w1", 1, 10, "lost"),
        ("w2", 13, None, ""),
    ]


@pytest.mark.parametrize(
    ("fields", "facts", "reason"),
    [
        ({"left_ms": LEFT_MS, "answered": 1}, CALL, "caller_left"),
        ({"left_ms": LEFT_MS}, CALL[:2], "abandoned"),
        ({"over_ms": START_MS + 30_000, "reason": "room_closed", "answered": 1}, CALL, "room_closed"),
        (
            {"over_ms": START_MS + 31_000, "left_ms": LEFT_MS, "reason": "room_closed", "answered": 1},
            CALL,
            "caller_left",
        ),
        ({"over_ms": START_MS + 30_000, "left_ms": LEFT_MS, "reason": "requested"}, CALL, "requested"),
        ({"over_ms": START_MS + 30_000, "reason": "a newer word"}, CALL, "room_closed"),
        ({"lost_ms": START_MS + 30_000, "answered": 1}, CALL, "room_lost"),
        ({"lost_ms": START_MS + 30_000}, [CALL[0]], "no_caller"),
    ],
)
def test_why_and_when_a_call_ended(fields: dict[str, object], facts: list[dict[str, object]], reason: str) -> None:
    seen = summarize(log_of(facts, **fields), START_MS + 60_000, over=True)
    assert (seen.reason, seen.state, seen.duration_s) == (reason, CallState.ENDED, 30.0)
    assert seen.timeline[-1].what == "ended"


def test_what_a_job_says_after_the_end_does_not_make_the_call_longer() -> None:
    facts: list[dict[str, object]] = [*CALL, {"e": "left", "t": 40}]
    seen = summarize(log_of(facts, left_ms=LEFT_MS, answered=1), START_MS + 60_000, over=True)
    assert seen.agents[-1].until_s == 30.0
    assert seen.served_s == 26.0


def test_a_released_call_says_why_and_one_that_is_not_there_is_none() -> None:
    facts: list[dict[str, object]] = [*CALL[:3], {"e": "released", "t": 5, "reason": "human"}]
    seen = summarize(log_of(facts, answered=1, released=1), START_MS + 9_000)
    assert (seen.state, seen.reason, seen.agents[0].end) == (CallState.RELEASED, "human", "released")
    assert CallLog.read("RM_1", "eu", {}, []) is None
