"""`POST /v1/calls`: a call gets its place, and its caller a ticket for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.http.auth.access import Access, key_of, wrong_region
from voicefleet.controller.http.auth.call_requests import FULL, REGION
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.dial_requests import DialRequests
from voicefleet.controller.http.placing import Placing
from voicefleet.controller.http.problems import posted, problem, unknown_choice
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.placement.place import Placement
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import UnknownChoiceError
from voicefleet.controller.rooms.joins import JoinCounter
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES
from voicefleet.runtime.tracing import child_of, emit, parse_traceparent

_STORE_LIMIT_S = 0.5
_FULL_RETRY_S = 5.0
_UNUSED_RETRY_S = 1.0
"""Callers join within about as long."""

log = get_logger(__name__)


class Tickets:
    """The route."""

    def __init__(
        self,
        settings: Settings,
        regions: Mapping[str, Region],
        access: Access,
        joins: JoinCounter,
        limiter: Limiter,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._regions = regions
        self._joins = joins
        self._limiter = limiter
        self._placing = Placing(settings, regions, access, metrics)
        self._dials = DialRequests(self._count, max_duration_s=settings.limits.max_call_duration_s)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/calls", self.create_call)

    async def create_call(self, request: web.Request) -> web.Response:
        """201 with a ticket; 202 where a number is to be called. 400, 403, 429, or 503 with Retry-After when no region
        has room."""
        key = key_of(request)
        wanted = await posted(request, CallRequest)
        if isinstance(wanted, web.Response):
            return wanted
        if wanted.region is not None and (refused := wrong_region(key, wanted.region, self._regions)):
            return refused
        group = self._placing.residency(key, wanted)
        if isinstance(group, web.Response):
            return group
        try:
            pools = self._placing.pools(key, wanted, group)
        except UnknownChoiceError as error:
            return unknown_choice(error)
        if wanted.region is not None and pools:
            request[REGION] = pools[0].name
        if wanted.dial is not None:
            return await self._dials.place(request, key, wanted, wanted.dial, {pool.name: pool for pool in pools})
        name = f"call-{secrets.token_hex(8)}"
        placement = self._placing.place(key, wanted, group, pools, name)
        if placement.pool is None:
            if placement.spent:
                return problem(
                    429,
                    f"the key {key.name} has as many tickets that nobody joined with as it may",
                    hint="Come back when its callers have joined.",
                    retry_after_s=_UNUSED_RETRY_S,
                )
            request[FULL] = True
            stays = f", and the call stays in the residency group {placement.residency}" if placement.residency else ""
            return problem(
                503,
                f"every worker there may be has all its slots taken{stays}",
                hint="Come back later, or raise max_workers.",
                retry_after_s=_FULL_RETRY_S,
            )
        request[REGION] = placement.pool
        return await self._ticket(
            key.name, wanted, self._regions[placement.pool], placement, name, request.headers.get("traceparent", "")
        )

    async def _ticket(
        self, key: str, wanted: CallRequest, region: Region, placement: Placement, room: str, traceparent: str
    ) -> web.Response:
        limits = self._settings.limits
        began_s = region.clock.wall().timestamp()
        caller = parse_traceparent(traceparent)
        # Every call has a trace. Without tracing of our own, the worker's spans are under the front end's own one.
        span = caller if caller is not None and not region.tracer.on else child_of(caller)
        order = wanted.order(span.header)
        identity = wanted.identity or f"caller-{secrets.token_hex(4)}"
        why = placement.text if self._placing.several else ""
        # Before anything is awaited: the next request must not be promised the same slot.
        region.reservations.reserve(room, key)
        if refused := await self._count(key, region, room):
            region.reservations.release(room)
            return refused
        try:
            record = CallRecord(
                room=room,
                region=region.name,
                order=order,
                key=key,
                max_duration_s=limits.max_call_duration_s,
                priority=wanted.priority,
                caller=identity,
                placement=why,
            )
            async with asyncio.timeout(_STORE_LIMIT_S):
                await region.calls.save_record(record)
        except (*REDIS_FAILURES, UnknownStateError) as error:
            # LiveKit dispatches by itself: the call works, only its repair would not know the metadata.
            log.warning("ticket without a record", region=region.name, room=room, error=type(error).__name__)
        ticket = CallTicket(
            url=region.settings.livekit.url,
            token=region.livekit.mint(
                room, identity, DispatchMetadata(order, caller=identity).encode(), key=key, data=wanted.data
            ),
            room=room,
            region=region.place,
            identity=identity,
            agent=region.settings.place.agent,
            version=region.settings.place.version,
            placement=self._placing.view(placement),
            alternatives=self._placing.alternatives(placement),
        )
        if region.tracer.on:
            emit(
                region.tracer,
                "POST /v1/calls",
                span,
                began_s,
                region.clock.wall().timestamp(),
                parent=caller,
                kind="server",
                attributes={"http.request.method": "POST", "http.route": "/v1/calls", "voicefleet.region": region.name},
            )
        # The call's id is LiveKit's for its room, which the caller's join makes: the room leads to it.
        placed = {"placement": why} if why else {}
        log.info("ticket given", region=region.name, room=room, key=key, tier=order.tier, trace_id=span.trace, **placed)
        return web.Response(
            text=ticket.model_dump_json(exclude_defaults=True),
            status=201,
            content_type="application/json",
            headers={"traceparent": span.header},
        )

    async def _count(self, key: str, region: Region, room: str) -> web.Response | None:
        """Count the ticket as a call of `key`; the answer when it may have no more. A key without a bound gets its
        ticket although nobody can count, one with a bound does not."""
        most = self._limiter.most_calls(key)
        try:
            if await self._limiter.reserve(key, region.name, room, self._joins.gone):
                return None
        except (*REDIS_FAILURES, UnknownStateError) as error:
            if not most:
                return None
            log.warning("no ticket, calls cannot be counted", region=region.name, key=key, error=type(error).__name__)
            return problem(
                503, "the calls of this key cannot be counted now", hint="Come back later.", retry_after_s=2.0
            )
        return problem(
            429, f"more than {most} calls at once", hint="Let some of them end.", retry_after_s=_FULL_RETRY_S
        )
