"""Gets a call's ticket from the controller, or makes one with its own token, as a front end may."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import urlsplit

from livekit import api
from pydantic import ValidationError

from voicefleet.callers.settings import CONTROLLER_KEY, CONTROLLER_URL, CallingSettings
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.contract.parsing.validation import config_error

T = TypeVar("T")


def controller_url(option: str | None, settings: CallingSettings) -> str:
    """The controller's address: the option, else the environment.

    Raises:
        ConfigError: neither is given, or it is no HTTP address.
    """
    url = option or settings.controller_url
    if not url:
        raise ConfigError(
            "no controller is given",
            field="--controller",
            hint=f"Give http://HOST:PORT, or set {CONTROLLER_URL}.",
        )
    return _address(url, ("http", "https"), field="--controller", form="http://HOST:PORT")


def call_request(region: str | None, tier: str | None) -> CallRequest:
    """What to ask the controller for.

    Raises:
        ConfigError: a name that no region, or no tier, can have.
    """
    try:
        return CallRequest(region=region, tier=tier)
    except ValidationError as error:
        raise config_error(error, CallRequest, source="the command line") from error


async def ask(url: str, question: Awaitable[T]) -> T:
    """The controller's answer to `question`, one of `ControllerClient`'s.

    Raises:
        UnreachableError: no answer, not a controller's answer, or a refusal; names the address or what was asked.
    """
    hint = f"Start it, or correct --controller or {CONTROLLER_URL}."
    try:
        return await question
    except UnknownStateError as error:
        raise UnreachableError(str(error), field="--controller", value=url, hint=hint) from error
    except ValidationError as error:
        raise UnreachableError(
            "what answers there is no voicefleet controller of this version",
            field="--controller",
            value=url,
            hint=hint,
        ) from error
    except UnreachableError as error:
        if error.value != 401:
            raise
        raise UnreachableError(
            "the controller refuses our key", field=CONTROLLER_KEY, hint="Set it to a key that the controller knows."
        ) from error


def own_ticket(
    livekit_url: str, settings: CallingSettings, *, agent_name: str, region: str | None, tier: str | None
) -> CallTicket:
    """A ticket without a controller: a new room whose configuration asks LiveKit for the agent.

    Raises:
        ConfigError: an address that is no LiveKit's, or no key and secret.
    """
    url = _address(livekit_url, ("ws", "wss", "http", "https"), field="--livekit-url", form="ws://HOST:PORT")
    for name, value in (
        ("LIVEKIT_API_KEY", settings.livekit_api_key),
        ("LIVEKIT_API_SECRET", settings.livekit_api_secret),
    ):
        if not value:
            raise ConfigError("is not set", field=name, hint="Set it in the environment, to make a token with.")
    request = call_request(region, tier)
    room, identity = f"call-{secrets.token_hex(8)}", f"caller-{secrets.token_hex(4)}"
    metadata = DispatchMetadata(tier=request.tier).encode() if request.tier else ""
    token = (
        api.AccessToken(settings.livekit_api_key, settings.livekit_api_secret)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(
            api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=agent_name, metadata=metadata)])
        )
    )
    return CallTicket(url=url, token=token.to_jwt(), room=room, region=region or "", identity=identity)


def _address(url: str, schemes: tuple[str, ...], *, field: str, form: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise ConfigError("not an address", field=field, value=url, hint=f"Give {form}.")
    return url
