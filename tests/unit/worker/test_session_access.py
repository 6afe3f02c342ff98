"""Which identities a tier's `text_input` and `session_host` stand for."""

from __future__ import annotations

import pytest

from voicefleet.worker.job.session_access import matches

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("identity", "named", "let_in"),
    [
        ("supervisor", ("supervisor",), True),
        ("supervisor-2", ("supervisor",), False),
        ("web-7", ("supervisor", "web-*"), True),
        ("we", ("web-*",), False),
        ("anyone", ("*",), True),
        ("", (), False),
        ("a*", ("a*",), True),
    ],
)
def test_who_is_named(identity: str, named: tuple[str, ...], let_in: bool) -> None:
    assert matches(identity, named) is let_in
