"""What LiveKit's refusals are called: the reader of a region's state must know what to change."""

from __future__ import annotations

import pytest
from livekit import api

from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.controller.adapters.livekit import _answered
from voicefleet.controller.ports import CredentialsRefusedError

pytestmark = pytest.mark.unit


async def refused(code: str, status: int) -> UnknownStateError:
    with pytest.raises(UnknownStateError) as caught:
        async with _answered("list_rooms"):
            raise api.ServerError(code, "no", status=status)
    return caught.value


@pytest.mark.parametrize(
    ("code", "status"), [("resource_exhausted", 429), ("unknown", 429), ("resource_exhausted", 200)]
)
async def test_too_many_requests_are_told_with_the_setting_that_makes_them_fewer(code: str, status: int) -> None:
    error = await refused(code, status)
    assert "too many requests. Raise listing_s (chart: controller.listingSeconds)" in str(error)
    assert error.dependency is Dependency.LIVEKIT


async def test_other_refusals_are_told_as_they_are() -> None:
    assert str(await refused("internal", 500)) == "LiveKit answered list_rooms with internal"
    assert isinstance(await refused("unauthenticated", 401), CredentialsRefusedError)
