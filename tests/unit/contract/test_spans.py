"""The W3C trace context: what is read, what is ignored; spans survive their way as JSON."""

from __future__ import annotations

import pytest

from voicefleet.contract.spans import TraceContext

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
