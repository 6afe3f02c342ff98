"""LiveKit's SIP service as a recorded API: it cannot be installed here.

A real HTTP server before the real livekit-server. It answers ``livekit.SIP/CreateSIPParticipant`` and
``TransferSIPParticipant`` in the forms of livekit-server 1.13.11 (twirp; errors as `SIPStatus.TwirpErrorMeta` and
`sipCodeToGRPCCode` of livekit/protocol make them), and passes everything else through. The callee is a real
participant of kind SIP with the attributes that the service sets, so livekit-server, controller and worker see what
they would of a phone: only what SIP itself says is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from livekit import api, rtc

from voicefleet.stack.servers import LiveKit

_CODES = {
    403: ("permission_denied", 403, "Forbidden"),
    408: ("deadline_exceeded", 408, "Request Timeout"),
    480: ("failed_precondition", 412, "Temporarily Unavailable"),
    486: ("failed_precondition", 412, "Busy Here"),
    487: ("aborted", 409, "Request Terminated"),
    503: ("failed_precondition", 412, "Service Unavailable"),
    603: ("permission_denied", 403, "Decline"),
}
"""SIP's status -> twirp's code and HTTP status, and SIP's words."""


@dataclass(frozen=True, slots=True)
class Phone:
    """How a number behaves."""

    rings_s: float = 0.5
    refuses: int = 0
    """SIP's status code after it rang; 0: it is answered."""


@dataclass
class RecordedSip:
    """The API's address and what was asked of it."""

    http_url: str
    livekit: LiveKit
    phones: dict[str, Phone] = field(default_factory=dict)
    dialled: list[api.CreateSIPParticipantRequest] = field(default_factory=list)
    transferred: list[api.TransferSIPParticipantRequest] = field(default_factory=list)
    transfer_refused: int = 0
    callees: dict[str, rtc.Room] = field(default_factory=dict)
    """Room -> the callee's own connection."""
    answered_s: dict[str, float] = field(default_factory=dict)
    """Room -> when the callee answered, monotonic."""

    async def create(self, request: web.Request, lk: api.LiveKitAPI) -> web.Response:
        asked = api.CreateSIPParticipantRequest.FromString(await request.read())
        self.dialled.append(asked)
        # As the service does: it goes on although whoever asked is gone.
        return await asyncio.shield(asyncio.ensure_future(self._ring(asked, lk)))

    async def _ring(self, asked: api.CreateSIPParticipantRequest, lk: api.LiveKitAPI) -> web.Response:
        phone = self.phones.get(asked.sip_call_to, Phone())
        name, identity = asked.room_name, asked.participant_identity
        token = api.AccessToken(self.livekit.api_key, self.livekit.api_secret).with_identity(identity).with_kind("sip")
        token = token.with_attributes({"sip.callStatus": "dialing", "sip.trunkID": asked.sip_trunk_id})
        token = token.with_grants(api.VideoGrants(room_join=True, room=name))
        callee = self.callees[name] = rtc.Room()
        await callee.connect(self.livekit.url, token.to_jwt())

        async def status(text: str) -> None:
            update = api.UpdateParticipantRequest(room=name, identity=identity, attributes={"sip.callStatus": text})
            await lk.room.update_participant(update)

        await status("ringing")
        await asyncio.sleep(phone.rings_s)
        if phone.refuses:
            await callee.disconnect()
            return _refused(phone.refuses)
        try:
            await status("active")
        except api.ServerError:  # the room was closed while it rang
            return _refused(487)
        self.answered_s[name] = time.monotonic()
        info = api.SIPParticipantInfo(participant_identity=identity, room_name=name, sip_call_id="SCL_recorded")
        return web.Response(body=info.SerializeToString(), content_type="application/protobuf")

    async def transfer(self, request: web.Request) -> web.Response:
        asked = api.TransferSIPParticipantRequest.FromString(await request.read())
        self.transferred.append(asked)
        if self.transfer_refused:
            return _refused(self.transfer_refused)
        if (callee := self.callees.pop(asked.room_name, None)) is not None:
            await callee.disconnect()  # the phone talks to somebody else now
        return web.Response(body=b"", content_type="application/protobuf")


def _refused(status: int) -> web.Response:
    code, http, words = _CODES[status]
    meta = {"sip_status_code": str(status), "sip_status": words}
    return web.json_response({"code": code, "msg": f"sip status {status}: {words}", "meta": meta}, status=http)


@contextlib.asynccontextmanager
async def recorded_sip(livekit: LiveKit) -> AsyncIterator[RecordedSip]:
    """The API in front of `livekit`: give its `http_url` to the controller as `api_url`."""
    async with (
        api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk,
        aiohttp.ClientSession() as http,
    ):
        recorded = RecordedSip("", livekit)

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.path == "/twirp/livekit.SIP/CreateSIPParticipant":
                return await recorded.create(request, lk)
            if request.path == "/twirp/livekit.SIP/TransferSIPParticipant":
                return await recorded.transfer(request)
            headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
            url = livekit.http_url + request.path
            async with http.request(request.method, url, data=await request.read(), headers=headers) as passed:
                body = await passed.read()
                return web.Response(body=body, status=passed.status, content_type=passed.content_type)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, handler_cancellation=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        recorded.http_url = f"http://{host}:{port}"
        try:
            yield recorded
        finally:
            await runner.cleanup()
            for callee in recorded.callees.values():
                await callee.disconnect()
