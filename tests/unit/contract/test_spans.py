"""The W3C trace context: what is read, what is ignored; spans survive their way as JSON."""

from __future__ import annotations

import json

import pytest

from voicefleet.contract.spans import SpanRecord, TraceContext

pytestmark = pytest.mark.unit

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_header_is_read_and_written() -> None:
    context = TraceContext.parse(HEADER)
    assert context is not None
    assert context.header == HEADER
    not_sampled = TraceContext.parse(HEADER[:-2] + "00")
    assert not_sampled is not None
    assert not not_sampled.sampled


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        HEADER.upper(),
        HEADER + "-more",
        HEADER.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        HEADER[:-1],
    ],
)
def test_what_is_no_header_is_ignored(header: str) -> None:
    assert TraceContext.parse(header) is None


def test_a_later_version_with_more_is_read() -> None:
    assert TraceContext.parse(HEADER.replace("00-", "01-", 1) + "-more") is not None


def test_a_span_survives_its_way() -> None:
    span = SpanRecord("turn", TraceContext("a" * 32, "b" * 16), 1, 2, "c" * 16, "internal", {"n": 1, "s": "x"}, "")
    assert SpanRecord.from_json(json.loads(json.dumps(span.to_json()))) == span
    with pytest.raises(ValueError, match="no span"):
        SpanRecord.from_json({"name": "x"})
