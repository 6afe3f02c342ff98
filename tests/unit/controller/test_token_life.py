"""What a token says of its end, and when it should have been renewed."""

from __future__ import annotations

import jwt
import pytest

from voicefleet.controller.adapters.kubernetes.token_life import TokenLife, token_life

pytestmark = pytest.mark.unit

DAY_S = 86_400.0


def bearer(**claims: float) -> str:
    return "Bearer " + jwt.encode(claims, "nobody-checks-this-secret-of-a-test", algorithm="HS256")


def test_a_token_is_overdue_in_the_last_quarter_of_its_life() -> None:
    life = token_life(bearer(iat=1000.0, exp=1000.0 + DAY_S))
    assert life == TokenLife(1000.0, 1000.0 + DAY_S)
    assert life.overdue_s(1000.0 + 0.74 * DAY_S) is None
    assert life.overdue_s(1000.0 + 0.75 * DAY_S) == pytest.approx(0.25 * DAY_S)
    assert life.overdue_s(1000.0 + 2 * DAY_S) == 0.0


@pytest.mark.parametrize("text", ["", "Bearer abc", "Bearer a.b.c", bearer(iat=1.0), "Basic dXNlcg=="])
def test_what_has_no_end_tells_none(text: str) -> None:
    assert token_life(text) is None
