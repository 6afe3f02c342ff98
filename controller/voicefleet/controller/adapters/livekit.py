"""LiveKit's server API behind `LiveKitPort`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import jwt
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict, ParseError
from livekit import api
from livekit.protocol.models import DataPacket, DisconnectReason, ParticipantInfo, TrackSource
from livekit.protocol.webhook import WebhookEvent as ProtoEvent

from voicefleet.contract.callers import CALLER_KINDS, Presence, is_caller
from voicefleet.contract.calls import (
    AGENT_ATTRIBUTE,
    DEPLOYMENT_ATTRIBUTE,
    KEY_ATTRIBUTE,
    TICKET_TTL_S,
    CallOrder,
)
from voicefleet.contract.dials import CALL_STATUS, DIALLED_NUMBER, DialOrder
from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.contract.neighbours import is_neighbour
from voicefleet.contract.probe import ALIVE_ATTRIBUTE, PROBE_TOPIC, WORKER_ATTRIBUTE
from voicefleet.contract.rooms import order_in
from voicefleet.contract.waiting_voice import (
    WAITING_TEXT_ATTRIBUTE,
    WAITING_VOICE_ATTRIBUTE,
    is_waiting_voice,
    waiting_voice_identity,
)
from voicefleet.controller.ports import (
    CredentialsRefusedError,
    DialNotSentError,
    DialRefusedError,
    Dispatch,
    Participant,
    Room,
    WebhookEvent,
    WebhookMalformedError,
    WebhookRefusedError,
)
from voicefleet.controller.settings.livekit import LiveKitSettings

REQUEST_TIMEOUT_S = 2.0
"""LiveKit's API answers within milliseconds; whoever waits longer holds up a caller."""

CONNECTIONS = 1_024
"""More than all who ask bound themselves to, together."""

TOKEN_TTL = timedelta(seconds=TICKET_TTL_S)
"""How long a ticket can be used to join; a connected caller's token is renewed by LiveKit, at once and every 5 min."""

WAITING_VOICE_TOKEN_TTL = timedelta(minutes=2)
"""Used at once; the rest is for clocks that differ."""

EMPTY_TIMEOUT_S = 60
DEPARTURE_TIMEOUT_S = 20
"""A caller whose connection broke finds the room, and the agent in it, for this long."""

_WEBHOOK_LEEWAY_S = 60.0
"""For clocks that differ."""

_NO_TOKEN = (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError)
"""What reading a token raises that somebody made up: its parts may be any JSON."""

_TOO_MANY = 429

_MAYBE_DIALLED = frozenset({"canceled", "deadline_exceeded", "internal", "unknown"})
"""Errors of a dial of which the SIP service need not have heard, or that came while it went on."""


def issuer(authorization: str) -> str:
    """The API key that a webhook's token names, not verified; empty when there is none."""
    try:
        claims = jwt.decode(authorization, options={"verify_signature": False})
    except _NO_TOKEN:
        return ""
    found = claims.get("iss", "")
    return found if isinstance(found, str) else ""


class LiveKit:
    """One region's LiveKit. Make it inside a running event loop; `close` it.

    Args:
        agent_name: the name that dispatches ask for.
        shared: other pools of ours, with other names, are on the same server: a ticket of ours says whose it is.
    """

    def __init__(self, settings: LiveKitSettings, agent_name: str, *, shared: bool = False) -> None:
        self._settings = settings
        self._agent_name = agent_name
        self._deployment = settings.deployment or ""
        self._named = _attributes(agent_name, self._deployment, shared=shared)
        # aiohttp's own limit of 100 connections would hold up requests that their callers bound already, unseen.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S), connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        )
        self._api = api.LiveKitAPI(settings.http_url, settings.key, settings.secret, session=self._session)
        # Without LiveKit's own repetition of requests: a number must not be dialled twice.
        self._dialling = api.LiveKitAPI(
            settings.http_url, settings.key, settings.secret, session=self._session, failover=False
        )

    async def close(self) -> None:
        await self._api.aclose()
        await self._session.close()

    async def list_rooms(self) -> tuple[Room, ...]:
        async with _answered("list_rooms"):
            answer = await self._api.room.list_rooms(api.ListRoomsRequest())
        return tuple(Room(room.name, room.sid, self._ordered(room.metadata)) for room in answer.rooms)

    async def list_participants(self, room: str) -> tuple[Participant, ...]:
        async with _answered("list_participants", absent_is_fine=True):
            answer = await self._api.room.list_participants(api.ListParticipantsRequest(room=room))
            here = (p for p in answer.participants if p.state != ParticipantInfo.State.DISCONNECTED)
            return tuple(self._participant(p) for p in here)
        return ()

    def _participant(self, p: ParticipantInfo) -> Participant:
        attributes, agent = dict(p.attributes), _agent(p)
        return Participant(
            identity=p.identity,
            caller=is_caller(_presence(p, attributes)),
            agent=agent,
            joined_ms=p.joined_at_ms,
            alive=attributes.get(ALIVE_ATTRIBUTE, ""),
            worker=attributes.get(WORKER_ATTRIBUTE, ""),
            sip_status=attributes.get(CALL_STATUS, "") if p.kind == ParticipantInfo.Kind.SIP else "",
            # One that may change its attributes may say anything of itself; with a ticket of ours nobody may.
            key=attributes.get(KEY_ATTRIBUTE, "") if self._ticket_is_ours(p, attributes) else "",
            dialled=attributes.get(DIALLED_NUMBER, "") if p.kind == ParticipantInfo.Kind.SIP else "",
            neighbour=agent and is_neighbour(attributes, self._agent_name),
        )

    def _ticket_is_ours(self, p: ParticipantInfo, attributes: dict[str, str]) -> bool:
        if p.permission.can_update_metadata:
            return False
        return all(attributes.get(name) == value for name, value in self._named.items())

    def _ordered(self, metadata: str) -> CallOrder | None:
        return order_in(metadata, self._agent_name, self._deployment)

    def _dispatches_ours(self, agent_name: str, deployment: str) -> bool:
        # Without a deployment of our own, whoever names one means another region's workers.
        return (agent_name, deployment) == (self._agent_name, self._deployment)

    async def has_dispatch(self, room: str) -> bool:
        return bool(await self.dispatch_metadata(room))

    async def dispatch_metadata(self, room: str) -> tuple[str, ...]:
        return tuple(dispatch.metadata for dispatch in await self.dispatches(room))

    async def dispatches(self, room: str) -> tuple[Dispatch, ...]:
        async with _answered("list_dispatch", absent_is_fine=True):
            listed = await self._api.agent_dispatch.list_dispatch(room)
            found = [d for d in listed if self._dispatches_ours(d.agent_name, d.deployment)]
            return tuple(
                Dispatch(d.metadata, d.state.created_at // 1_000_000, bool(d.state.jobs))
                for d in sorted(found, key=lambda d: d.state.created_at)
            )
        return ()

    async def room_order(self, room: str) -> CallOrder | None:
        async with _answered("list_rooms"):
            answer = await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))
        found = (self._ordered(there.metadata) for there in answer.rooms if there.name == room)
        return next(found, None)

    async def send_probe(self, room: str, identity: str, nonce: str) -> None:
        request = api.SendDataRequest(
            room=room,
            data=nonce.encode(),
            kind=DataPacket.Kind.RELIABLE,
            destination_identities=[identity],
            topic=PROBE_TOPIC,
        )
        async with _answered("send_data", absent_is_fine=True):
            await self._api.room.send_data(request)

    async def create_dispatch(self, room: str, metadata: str) -> str:
        request = api.CreateAgentDispatchRequest(
            agent_name=self._agent_name, room=room, metadata=metadata, deployment=self._deployment
        )
        async with _answered("create_dispatch"):
            return (await self._api.agent_dispatch.create_dispatch(request)).id
        raise AssertionError("unreachable")

    async def create_room(self, room: str, *, empty_timeout_s: int) -> None:
        request = api.CreateRoomRequest(name=room, empty_timeout=empty_timeout_s, departure_timeout=DEPARTURE_TIMEOUT_S)
        async with _answered("create_room"):
            await self._api.room.create_room(request)

    async def dial(self, room: str, identity: str, order: DialOrder, *, max_duration_s: float) -> None:
        request = api.CreateSIPParticipantRequest(
            sip_trunk_id=order.trunk,
            sip_call_to=order.to,
            sip_number=order.caller_number,
            room_name=room,
            participant_identity=identity,
            participant_name="callee",
            headers=dict(order.headers),
            ringing_timeout=Duration(seconds=order.ring_timeout_s),
            wait_until_answered=True,
        )
        if max_duration_s:
            request.max_call_duration.CopyFrom(Duration(seconds=round(max_duration_s)))
        try:
            await self._dialling.sip.create_sip_participant(request)
        except api.ServerError as error:
            code = error.metadata.get("sip_status_code", "")
            if not code and error.code in _MAYBE_DIALLED:
                raise UnknownStateError(f"LiveKit answered a dial with {error.code}") from error
            status = error.metadata.get("sip_status", "")
            raise DialRefusedError(int(code) if code.isdigit() else 0, status, error.code) from error
        except aiohttp.ClientConnectorError as error:
            raise DialNotSentError(f"LiveKit is not reached ({type(error).__name__})") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnknownStateError(f"LiveKit did not answer a dial ({type(error).__name__})") from error

    async def delete_room(self, room: str) -> None:
        async with _answered("delete_room", absent_is_fine=True):
            await self._api.room.delete_room(api.DeleteRoomRequest(room=room))

    async def remove_participant(self, room: str, identity: str) -> None:
        async with _answered("remove_participant", absent_is_fine=True):
            await self._api.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=identity))

    def mint(self, room: str, identity: str, metadata: str, *, key: str, data: bool = False) -> str:
        configuration = api.RoomConfiguration(
            agents=[api.RoomAgentDispatch(agent_name=self._agent_name, metadata=metadata, deployment=self._deployment)],
            empty_timeout=EMPTY_TIMEOUT_S,
            departure_timeout=DEPARTURE_TIMEOUT_S,
        )
        token = api.AccessToken(self._settings.key, self._settings.secret)
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=True,
            can_publish_sources=["microphone"],
            can_publish_data=data,
            can_update_own_metadata=False,
        )
        return (
            token.with_identity(identity)
            .with_attributes({KEY_ATTRIBUTE: key, **self._named})
            .with_grants(grants)
            .with_room_config(configuration)
            .with_ttl(TOKEN_TTL)
            .to_jwt()
        )

    def mint_waiting_voice(self, room: str, text: str) -> str:
        attributes = {WAITING_VOICE_ATTRIBUTE: "1", **({WAITING_TEXT_ATTRIBUTE: text} if text else {})}
        grants = api.VideoGrants(
            room_join=True, room=room, can_publish=True, can_subscribe=False, can_publish_data=False, hidden=False
        )
        token = api.AccessToken(self._settings.key, self._settings.secret)
        return (
            token.with_identity(waiting_voice_identity(room))
            .with_kind("agent")
            .with_attributes(attributes)
            .with_grants(grants)
            .with_ttl(WAITING_VOICE_TOKEN_TTL)
            .to_jwt()
        )

    async def sid_of(self, room: str) -> str:
        async with _answered("list_rooms"):
            answer = await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))
        return next((found.sid for found in answer.rooms if found.name == room), "")

    def check_webhook(self, authorization: str) -> bytes:
        try:
            claims = jwt.decode(
                authorization,
                self._settings.secret,
                algorithms=["HS256"],
                issuer=self._settings.key,
                leeway=_WEBHOOK_LEEWAY_S,
                options={"require": ["exp", "iss"]},
            )
            digest = base64.b64decode(claims["sha256"], validate=True)
        except (*_NO_TOKEN, KeyError) as error:
            raise WebhookRefusedError(f"bad signature ({type(error).__name__})") from error
        return digest

    def read_webhook(self, body: bytes, signed: bytes) -> WebhookEvent:
        if not hmac.compare_digest(hashlib.sha256(body).digest(), signed):
            raise WebhookRefusedError("the signature is of another text")
        try:
            event = _event(body)
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            raise WebhookMalformedError("not an event of LiveKit") from error
        about = event.HasField("participant")
        return WebhookEvent(
            event=event.event,
            room=event.room.name,
            room_sid=event.room.sid,
            caller=about and ParticipantInfo.Kind.Name(event.participant.kind) in CALLER_KINDS,
            agent=about and _agent(event.participant),
            neighbour=about
            and _agent(event.participant)
            and is_neighbour(dict(event.participant.attributes), self._agent_name),
            deleted=about and event.participant.disconnect_reason == DisconnectReason.ROOM_DELETED,
        )


def _attributes(agent_name: str, deployment: str, *, shared: bool) -> dict[str, str]:
    """What a ticket's caller has beside the key, to tell whose ticket it is on a server of several pools."""
    named = {AGENT_ATTRIBUTE: agent_name} if shared or deployment else {}
    return {**named, DEPLOYMENT_ATTRIBUTE: deployment} if deployment else named


def _event(body: bytes) -> ProtoEvent:
    """The little that we read of an event; all of it takes ten times as long."""
    raw = json.loads(body)
    if not isinstance(raw, dict):
        raise TypeError("not an object")
    wanted: dict[str, dict[str, object]] = {}
    for part, names in {"room": ("name", "sid"), "participant": ("identity", "kind")}.items():
        if raw.get(part) is None:
            continue
        if not isinstance(raw[part], dict):
            raise TypeError(f"{part} is not an object")
        wanted[part] = {name: raw[part][name] for name in names if name in raw[part]}
        if part == "participant" and raw[part].get("kind") == "AGENT" and "attributes" in raw[part]:
            wanted[part]["attributes"] = raw[part]["attributes"]
        # Another reason may have a name that is newer than we are.
        if raw[part].get("disconnectReason") == "ROOM_DELETED":
            wanted[part]["disconnectReason"] = "ROOM_DELETED"
    return ParseDict({**wanted, "event": raw.get("event", "")}, ProtoEvent())


def _presence(p: ParticipantInfo, attributes: dict[str, str]) -> Presence:
    # One without permissions is not told of them: whoever is in a room may publish by default.
    told = p.HasField("permission")
    return Presence.of(
        p.identity,
        ParticipantInfo.Kind.Name(p.kind),
        attributes,
        joined_ms=p.joined_at_ms,
        may_publish=p.permission.can_publish if told else True,
        sources=(TrackSource.Name(source) for source in p.permission.can_publish_sources),
    )


def _agent(participant: ParticipantInfo) -> bool:
    return participant.kind == ParticipantInfo.Kind.AGENT and not is_waiting_voice(participant.identity)


@contextlib.asynccontextmanager
async def _answered(what: str, *, absent_is_fine: bool = False) -> AsyncIterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except api.ServerError as error:
        if absent_is_fine and error.code == api.ServerErrorCode.NOT_FOUND:
            return
        if error.status in (401, 403) or error.code in ("unauthenticated", "permission_denied"):
            raise CredentialsRefusedError("LiveKit refuses our credentials", dependency=Dependency.LIVEKIT) from error
        text = f"LiveKit answered {what} with {error.code or error.status}"
        if error.status == _TOO_MANY or error.code == api.ServerErrorCode.RESOURCE_EXHAUSTED:
            text += ": too many requests. Raise listing_s (chart: controller.listingSeconds), or its limit"
        raise UnknownStateError(text, dependency=Dependency.LIVEKIT) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        text = f"LiveKit did not answer {what} ({type(error).__name__})"
        raise UnknownStateError(text, dependency=Dependency.LIVEKIT) from error
