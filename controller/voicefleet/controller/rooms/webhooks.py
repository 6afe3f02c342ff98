"""LiveKit's webhooks: the fast path to what the listing finds out anyway. Repeats and late ones do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.call_events import EndReason
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.adapters.livekit import issuer
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.problems import problem
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.ports import WebhookEvent, WebhookMalformedError, WebhookRefusedError
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.joins import JoinCounter, key_in
from voicefleet.controller.rooms.neighbours import look_for_neighbours
from voicefleet.runtime.http.connections import read_body
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES

MAX_EVENT_BYTES = 512 * 1024
"""LiveKit lets a room's and a participant's metadata and a participant's attributes have 64 kB each, and an event may
have them all, escaped as JSON. Only what bears a signature of the region's may send so much."""

log = get_logger(__name__)


class Webhooks:
    """`POST /webhooks/livekit/{region}`, and `/webhooks/livekit` where the signing key tells the region."""

    def __init__(self, regions: Mapping[str, Region], limiter: Limiter, joins: JoinCounter, metrics: Metrics) -> None:
        self._regions = regions
        self._limiter = limiter
        self._joins = joins
        self._metrics = metrics
        self._reading: set[str] = set()
        """Signatures whose bodies are on the way: each may hold up memory once."""

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/webhooks/livekit", self.receive)
        app.router.add_post("/webhooks/livekit/{region}", self.receive)

    async def receive(self, request: web.Request) -> web.Response:
        """200 taken or ignored, 400 malformed, 401 not signed by that region, 404 no such region, 503 try again."""
        result, answer = await self._receive(request)
        self._metrics.counters[catalogue.WEBHOOKS].labels(result).inc()
        return answer

    async def _receive(self, request: web.Request) -> tuple[str, web.Response]:
        authorization = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not authorization:
            return "unsigned", problem(401, "the request is not signed", field="Authorization")
        named = request.match_info.get("region") or request.query.get("region")
        if named:
            candidates = [r for r in self._regions.values() if r.place == named]
        else:
            key = issuer(authorization)
            candidates = [r for r in self._regions.values() if r.settings.livekit.key == key]
        if not candidates and named:
            known = dict.fromkeys(r.place for r in self._regions.values())
            return "unknown_region", problem(404, "no such region", field="region", hint=f"Known: {', '.join(known)}.")
        if not candidates:
            return "bad_signature", problem(401, "no region has this key", field="Authorization")
        if len({r.settings.livekit.http_url for r in candidates}) > 1:
            return "malformed", problem(
                400,
                "several regions share this key",
                field="region",
                hint="Have LiveKit call /webhooks/livekit/{region}.",
            )
        region = candidates[0]
        try:
            # The signature comes first: what nobody signed is not read at all.
            signed = region.livekit.check_webhook(authorization)
            if authorization in self._reading:
                return "failed", problem(503, "this webhook is on the way already", retry_after_s=1)
            self._reading.add(authorization)
            try:
                body = await read_body(request, MAX_EVENT_BYTES)
            finally:
                self._reading.discard(authorization)
            events = [(pool, pool.livekit.read_webhook(body, signed)) for pool in candidates]
            results = await asyncio.gather(*(self._take(pool, event) for pool, event in events), return_exceptions=True)
            for (pool, _), result in zip(events, results, strict=True):
                if isinstance(result, UnknownStateError):
                    pool.reads.failed("webhooks", result)
            if failed := [result for result in results if isinstance(result, BaseException)]:
                raise failed[0]
            # One pool at the most has the call; the others have nothing to do with it.
            return next((str(r) for r in results if r != "ignored"), "ignored"), web.json_response({})
        except web.HTTPException as error:
            return "malformed", problem(error.status, error.reason.lower(), field="body")
        except WebhookRefusedError as error:
            return "bad_signature", problem(401, str(error), field="Authorization")
        except WebhookMalformedError as error:
            return "malformed", problem(400, str(error), field="body")
        except UnknownStateError:
            return "failed", problem(503, "the state is not reachable now", retry_after_s=2)

    async def _take(self, region: Region, event: WebhookEvent) -> str:
        match event.event:
            case "participant_joined" if event.caller:
                # It may be late: the caller gone, the room over. LiveKit takes 3 s to answer for a room that is not.
                there = await region.livekit.list_participants(event.room)
                if not any(p.caller for p in there) or not await region.ours(event.room, there):
                    return "ignored"
                await region.calls.caller_joined(event.room, event.room_sid)
                await self._joins.look(region, {event.room: key_in(there)})
            case "participant_joined" | "participant_left" | "participant_connection_aborted" if event.neighbour:
                await look_for_neighbours(region, event.room, event.room_sid)
            case "participant_joined" if event.agent:
                region.note_change()
            case "participant_left" | "participant_connection_aborted" if event.caller:
                # Another caller may still be there, or the same one again: the room itself knows.
                if not await self._caller_in(region, event.room):
                    if event.deleted:
                        await region.calls.logs.note_reason(
                            event.room, EndReason.ROOM_DELETED, event.room_sid, over=True
                        )
                    await region.calls.caller_left(event.room)
            case "room_finished":
                if await region.livekit.sid_of(event.room) not in ("", event.room_sid):
                    # Names recur and this is late: the call there now is another one. Only what was said is over.
                    await region.calls.forget_conversation(event.room, event.room_sid)
                    return "late"
                await self._finished(region, event)
            case _:
                return "ignored"
        region.reads.succeeded("webhooks")
        return "ok"

    async def _caller_in(self, region: Region, room: str) -> bool:
        return any(p.caller for p in await region.livekit.list_participants(room))

    async def _finished(self, region: Region, event: WebhookEvent) -> None:
        record = (await region.calls.records([event.room])).get(event.room)
        if not await region.calls.room_finished(event.room, event.room_sid) or record is None:
            return
        try:
            await self._limiter.release(record.key, region.name, [event.room])
        except (*REDIS_FAILURES, UnknownStateError) as error:
            # The limit finds out by itself once the call is not in the region's snapshot any more.
            log.info("call not released from the limit of its key", region=region.name, error=type(error).__name__)
