"""What a ticket says of whose it is, and which dispatches and orders are a region's, where several have one LiveKit."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from livekit.protocol.models import ParticipantInfo

from voicefleet.contract.calls import KEY_ATTRIBUTE
from voicefleet.controller.adapters.livekit import LiveKit
from voicefleet.controller.settings.livekit import LiveKitSettings

pytestmark = pytest.mark.unit

SECRET = "a-secret-of-32-characters-or-more"


async def made(deployment: str | None, *, shared: bool = False) -> LiveKit:
    given = {"url": "ws://lk", "api_key": "key", "api_secret_env": "SECRET", "deployment": deployment}
    settings = LiveKitSettings.model_validate(given, context={"SECRET": SECRET})
    return LiveKit(settings, "voicefleet", shared=shared)


def claims(livekit: LiveKit) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(livekit.mint("room", "ann", "{}", key="web"), SECRET, algorithms=["HS256"])
    return found


async def test_a_ticket_of_a_region_with_a_livekit_of_its_own_is_as_it_was() -> None:
    livekit = await made(None)
    assert claims(livekit)["attributes"] == {KEY_ATTRIBUTE: "web"}
    assert "deployment" not in claims(livekit)["roomConfig"]["agents"][0]
    await livekit.close()


async def test_a_pinned_ticket_orders_its_deployment_and_is_nobody_elses() -> None:
    eu, us = await made("eu"), await made("us")
    told = claims(us)
    assert told["roomConfig"]["agents"][0]["deployment"] == "us"
    there = ParticipantInfo(identity="ann", attributes=told["attributes"])
    assert (us._participant(there).key, eu._participant(there).key) == ("web", "")
    dispatch = SimpleNamespace(agent_name="voicefleet", deployment="us")
    for livekit, own in ((us, True), (eu, False), (await made(None), False)):
        assert livekit._dispatches_ours(dispatch.agent_name, dispatch.deployment) is own
        await livekit.close()


@pytest.mark.parametrize(("named", "ours"), [({}, False), ({"deployment": "us"}, True), ({"deployment": "eu"}, False)])
async def test_a_rooms_metadata_order_an_agent_of_the_deployment_they_name(named: dict[str, str], ours: bool) -> None:
    livekit = await made("us")
    assert (livekit._ordered(json.dumps({"voicefleet": {"agent": "voicefleet", **named}})) is not None) is ours
    await livekit.close()
