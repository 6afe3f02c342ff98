"""Where calls get their tickets: a controller, a LiveKit and our own tokens, or an endpoint that hands out tokens."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import aiohttp
from livekit import api

from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.settings import livekit_keys, named_values
from voicefleet.callers.swarm import PlaceElsewhere
from voicefleet.callers.tickets import call_request, own_ticket
from voicefleet.contract.api import CallTicket
from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.errors import ConfigError, UnreachableError, UsageError
from voicefleet.contract.parsing.validation import nearest
from voicefleet.loadtest.scenario import Target
from voicefleet.loadtest.stage_times import ReadCall
from voicefleet.runtime.command.addresses import require_address
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient

_ANSWER_S = 10.0
_URL_NAMES = ("server_url", "serverUrl", "url")
_TOKEN_NAMES = ("participant_token", "participantToken", "token", "accessToken")


class TicketSource(Protocol):
    """Gets the tickets of a run.

    Attributes:
        field: the option that names the address.
        address: for messages.
        sends_agents: whether it is the platform's own affair that agents come; else our token, or their endpoint, asks
            for one by a name, which may be wrong.
        refusal: why the last request for a ticket failed; None: none did.
        elsewhere: gets another ticket, in a region that the first one names; None: there is one region.
    """

    field: str
    address: str
    sends_agents: bool
    refusal: UsageError | None
    elsewhere: PlaceElsewhere | None

    @property
    def read_call(self) -> ReadCall | None:
        """Reads what the workers measured of a call; None: nobody there tells."""

    async def place(self, call: int, patience_s: float) -> CallTicket:
        """The ticket of call number `call`, whose caller waits so long for a place where the fleet is full."""
        ...


class _Controller:
    def __init__(self, target: Target, client: ControllerClient, address: str) -> None:
        self.field, self.address, self.sends_agents = "--controller", address, True
        self.refusal: UsageError | None = None
        self.read_call: ReadCall | None = self._read
        self.elsewhere: PlaceElsewhere | None = self._place_elsewhere
        self._client = client
        self._requests = [
            call_request(region, target.tier, target.language, target.agent) for region in target.regions or (None,)
        ]

    async def check(self, regions: Sequence[str]) -> None:
        try:
            known = [view.region for view in await ask(self.address, self._client.regions())]
        except UnreachableError as error:
            if error.value == 403 and not regions:
                return  # a key that may place calls and read nothing is all that is needed
            raise
        for region in regions:
            if region not in known:
                raise ConfigError("no such region", field="--regions", value=region, hint=nearest(region, known))

    async def place(self, call: int, patience_s: float) -> CallTicket:
        request = self._requests[call % len(self._requests)]
        return await ask(self.address, self._client.create_call(request, patience_s=patience_s))

    async def _read(self, outcome: CallOutcome) -> CallSummary | None:
        return await self._client.call(outcome.room, outcome.region or None)

    async def _place_elsewhere(self, call: int, region: str, identity: str) -> CallTicket:
        request = self._requests[call % len(self._requests)]
        there = request.model_copy(update={"region": region, "identity": identity})
        return await ask(self.address, self._client.create_call(there))


class _LiveKit:
    def __init__(self, target: Target, address: str) -> None:
        self.field, self.address, self.sends_agents = "--livekit-url", address, False
        self.refusal: UsageError | None = None
        self.read_call: ReadCall | None = None
        self.elsewhere: PlaceElsewhere | None = None
        self._target, self._keys = target, livekit_keys()

    async def check(self) -> None:
        """That it answers and takes the key: told before a call is placed."""
        await self.place(0, 0.0)  # key and secret are there; nothing is made by a token that nobody uses
        hint = "Start LiveKit there, or correct the address, LIVEKIT_API_KEY or LIVEKIT_API_SECRET."
        try:
            async with api.LiveKitAPI(self.address, self._keys.api_key, self._keys.api_secret) as livekit:
                await livekit.room.list_rooms(api.ListRoomsRequest(names=["voicefleet-loadtest"]))
        except api.TwirpError as error:
            refused = error.status in (401, 403)
            what = "LiveKit refuses this key and secret" if refused else f"LiveKit answered {error.status}"
            raise UnreachableError(what, field=self.field, value=self.address, hint=hint) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(
                "no LiveKit answers there", field=self.field, value=self.address, hint=hint
            ) from error

    async def place(self, call: int, patience_s: float) -> CallTicket:
        target = self._target
        regions = target.regions or (None,)
        return own_ticket(
            self.address,
            self._keys,
            agent_name=target.agent_name,
            region=regions[call % len(regions)],
            tier=target.tier,
            language=target.language,
        )


class _TokenEndpoint:
    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        self.field, self.address, self.sends_agents = "--token-url", address, False
        self.refusal: UsageError | None = None
        self.read_call: ReadCall | None = None
        self.elsewhere: PlaceElsewhere | None = None
        self._http = http

    async def place(self, call: int, patience_s: float) -> CallTicket:
        try:
            return await self._ask()
        except UnreachableError as error:
            self.refusal = error
            raise

    async def _ask(self) -> CallTicket:
        room, identity = f"call-{secrets.token_hex(8)}", f"caller-{secrets.token_hex(4)}"
        hint = "Start it, or correct --token-url or --token-header."
        try:
            async with self._http.post(
                self.address, json={"room_name": room, "participant_identity": identity}
            ) as response:
                if response.status // 100 != 2:
                    raise self._error(f"it answered {response.status}", hint)
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error("it does not answer", hint) from error
        except ValueError as error:
            raise self._error("its answer is no JSON", hint) from error
        url, token = _first(body, _URL_NAMES), _first(body, _TOKEN_NAMES)
        if not url or not token:
            missing = "server_url" if not url else "participant_token"
            raise self._error(f"its answer has no {missing}", "Let it answer as LiveKit's standard endpoint does.")
        return CallTicket(url=url, token=token, room=_room_of(token) or room, region="", identity=identity)

    def _error(self, what: str, hint: str) -> UnreachableError:
        return UnreachableError(what, field=self.field, value=self.address, hint=hint)


@contextlib.asynccontextmanager
async def open_target(target: Target) -> AsyncIterator[TicketSource]:
    """The source of a run's tickets, found to answer as far as that can be seen without a call.

    Raises:
        UsageError: an address that is none or does not answer, no or wrong credentials, an unknown region.
    """
    if target.livekit_url:
        livekit = _LiveKit(target, target.livekit_url)
        await livekit.check()
        yield livekit
    elif target.token_url:
        require_address(target.token_url, ("http", "https"), field="--token-url", form="https://HOST/PATH")
        headers = named_values(target.token_headers, field="--token-header")
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as http:
            yield _TokenEndpoint(target.token_url, http)
    else:
        access = controller_access(target.controller)
        async with ControllerClient(access.url, key=access.key) as client:
            controller = _Controller(target, client, access.url)
            await controller.check(target.regions)
            yield controller


def _first(body: Any, names: Sequence[str]) -> str:
    values = [body.get(name) for name in names] if isinstance(body, dict) else []
    return next((value for value in values if isinstance(value, str) and value), "")


def _room_of(token: str) -> str:
    """The room that a token is for: an endpoint need not take the one that was asked for. Empty: it does not tell."""
    with contextlib.suppress(ValueError, IndexError, AttributeError):
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return str(claims.get("video", {}).get("room") or "")
    return ""
