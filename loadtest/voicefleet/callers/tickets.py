"""Gets a call's ticket from the controller, or makes one with its own token, as a front end may."""

from __future__ import annotations

import secrets

from livekit import api
from pydantic import ValidationError

from voicefleet.callers.settings import LiveKitKeys
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import config_error
from voicefleet.runtime.command.addresses import require_address


def call_request(
    region: str | None, tier: str | None, language: str | None = None, agent: str | None = None
) -> CallRequest:
    """What to ask the controller for.

    Raises:
        ConfigError: a name that no region, tier, language or agent can have.
    """
    try:
        return CallRequest(region=region, tier=tier, language=language, agent=agent)
    except ValidationError as error:
        raise config_error(error, CallRequest, source="the command line") from error


def own_ticket(
    livekit_url: str,
    keys: LiveKitKeys,
    *,
    agent_name: str,
    region: str | None,
    tier: str | None,
    language: str | None = None,
) -> CallTicket:
    """A ticket without a controller: a new room whose configuration asks LiveKit for the agent.

    Args:
        agent_name: of the agent; empty: none is asked for, and LiveKit sends one of those that have no name.

    Raises:
        ConfigError: an address that is no LiveKit's, or no key and secret.
    """
    require_address(livekit_url, ("ws", "wss", "http", "https"), field="--livekit-url", form="ws://HOST:PORT")
    for name, value in (
        ("LIVEKIT_API_KEY", keys.api_key),
        ("LIVEKIT_API_SECRET", keys.api_secret),
    ):
        if not value:
            raise ConfigError("is not set", field=name, hint="Set it in the environment, to make a token with.")
    request = call_request(region, tier, language)
    order = CallOrder(tier=request.tier or "", language=request.language or "")
    room, identity = f"call-{secrets.token_hex(8)}", f"caller-{secrets.token_hex(4)}"
    metadata = DispatchMetadata(order).encode() if order != CallOrder() else ""
    token = (
        api.AccessToken(keys.api_key, keys.api_secret)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
    )
    if agent_name:
        dispatch = api.RoomAgentDispatch(agent_name=agent_name, metadata=metadata)
        token = token.with_room_config(api.RoomConfiguration(agents=[dispatch]))
    return CallTicket(url=livekit_url, token=token.to_jwt(), room=room, region=region or "", identity=identity)
