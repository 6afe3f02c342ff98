"""The HTTP API, version 1: tickets for calls, and what the controller knows."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.answers import (
    CALLS_A_PAGE,
    MOST_CALLS_A_PAGE,
    DecisionList,
    HistoryView,
    RegionList,
)
from voicefleet.contract.api import (
    CallRequest,
    CallTicket,
    DrainView,
    LeaderView,
)
from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import IncidentKind
from voicefleet.controller.http.auth.access import Access, key_of, seen, wrong_region
from voicefleet.controller.http.auth.call_requests import FULL, REGION
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.call_pages import Cursor, page
from voicefleet.controller.http.dial_requests import DialRequests
from voicefleet.controller.http.problems import posted, problem, unknown_choice
from voicefleet.controller.http.reads import json_answer, number
from voicefleet.controller.http.views import region_view, totals, worker_status
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.reconciler import DECISIONS_KEPT, DecisionLog
from voicefleet.controller.regions.capacity import RegionCapacity, capacity_of, choose
from voicefleet.controller.regions.history import EVERY_S, History
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import UnknownChoiceError, by_version, pools_for
from voicefleet.controller.rooms.joins import JoinCounter
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES
from voicefleet.runtime.tracing import child_of, emit, parse_traceparent

_STORE_LIMIT_S = 0.5
_FULL_RETRY_S = 5.0
_UNUSED_RETRY_S = 1.0
"""Callers join within about as long."""
_WORKERS_NAMED = 20

log = get_logger(__name__)


class Api:
    """`/v1/...`."""

    def __init__(
        self,
        settings: Settings,
        regions: Mapping[str, Region],
        access: Access,
        joins: JoinCounter,
        limiter: Limiter,
        decisions: DecisionLog,
        metrics: Metrics,
        histories: Mapping[str, History],
        leadership: Leadership,
    ) -> None:
        self._settings = settings
        self._regions = regions
        self._access = access
        self._joins = joins
        self._limiter = limiter
        self._decisions = decisions
        self._metrics = metrics
        self._histories = histories
        self._leadership = leadership
        self._dials = DialRequests(self._count, max_duration_s=settings.limits.max_call_duration_s)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/calls", self.create_call)
        app.router.add_get("/v1/calls", self.calls)
        app.router.add_get("/v1/regions", self.regions)
        app.router.add_get("/v1/decisions", self.decisions)
        app.router.add_get("/v1/history", self.history)
        app.router.add_get("/v1/workers/{worker}", self.worker)
        app.router.add_post("/v1/workers/{worker}/drain", self.drain)

    async def create_call(self, request: web.Request) -> web.Response:
        """201 with a ticket; 202 where a number is to be called. 400, 403, 429, or 503 with Retry-After when no region
        has room."""
        key = key_of(request)
        wanted = await posted(request, CallRequest)
        if isinstance(wanted, web.Response):
            return wanted
        if wanted.region is not None and (refused := wrong_region(key, wanted.region, self._regions)):
            return refused
        try:
            pools = pools_for(list(self._seen(key, wanted.region).values()), wanted.agent, wanted.tier, key.name)
        except UnknownChoiceError as error:
            return unknown_choice(error)
        if wanted.region is not None and pools:
            request[REGION] = pools[0].name
        if wanted.dial is not None:
            return await self._dials.place(request, key, wanted, wanted.dial, {pool.name: pool for pool in pools})
        name = f"call-{secrets.token_hex(8)}"
        rooms = by_version(pools, name, lambda pool: capacity_of(pool, key.name, self._access.unused_ratio(pool.place)))
        chosen = choose(rooms)
        if chosen is None and not all(room.full for room in rooms):
            return problem(
                429,
                f"the key {key.name} has as many tickets that nobody joined with as it may",
                hint="Come back when its callers have joined.",
                retry_after_s=_UNUSED_RETRY_S,
            )
        if chosen is None:
            request[FULL] = True
            return problem(
                503,
                "every worker there may be has all its slots taken",
                hint="Come back later, or raise max_workers.",
                retry_after_s=_FULL_RETRY_S,
            )
        request[REGION] = chosen.region
        return await self._ticket(key.name, wanted, chosen, name, request.headers.get("traceparent", ""))

    async def _ticket(
        self, key: str, wanted: CallRequest, chosen: RegionCapacity, room: str, traceparent: str
    ) -> web.Response:
        region, limits = self._regions[chosen.region], self._settings.limits
        began_s = region.clock.wall().timestamp()
        caller = parse_traceparent(traceparent)
        # Every call has a trace. Without tracing of our own, the worker's spans are under the front end's own one.
        span = caller if caller is not None and not region.tracer.on else child_of(caller)
        order = wanted.order(span.header)
        identity = wanted.identity or f"caller-{secrets.token_hex(4)}"
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
        log.info("ticket given", region=region.name, room=room, key=key, tier=order.tier, trace_id=span.trace)
        headers = {"traceparent": span.header}
        return web.Response(
            text=ticket.model_dump_json(exclude_defaults=True),
            status=201,
            content_type="application/json",
            headers=headers,
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

    def _seen(self, key: Key, only: str | None = None) -> dict[str, Region]:
        return seen(self._regions, key, only)

    async def regions(self, request: web.Request) -> web.Response:
        pools = self._seen(key_of(request))
        leader = LeaderView(
            replica=self._settings.replica, leads=self._leadership.leads, holder=self._leadership.holder
        )
        views = [region_view(region, election=self._leadership.trouble) for region in pools.values()]
        return json_answer(RegionList(regions=views, totals=totals(views), leader=leader))

    async def calls(self, request: web.Request) -> web.Response:
        """A page of calls, the oldest first. 503 while a region's calls are unknown; `?region=` asks for one alone."""
        key, only = key_of(request), request.query.get("region")
        if only is not None and (refused := wrong_region(key, only, self._regions)):
            return refused
        limit = number(request, "limit", CALLS_A_PAGE, MOST_CALLS_A_PAGE)
        if isinstance(limit, web.Response):
            return limit
        try:
            text = request.query.get("cursor")
            after = Cursor.decode(text) if text is not None else None
        except ValueError:
            return problem(400, "not a cursor of ours", field="cursor", hint="Give `next` of the page before.")
        snapshots = {name: r.fresh_snapshot() for name, r in self._seen(key, only).items()}
        known = {name: snapshot for name, snapshot in snapshots.items() if snapshot is not None}
        if len(known) < len(snapshots):
            unknown = ", ".join(sorted(snapshots.keys() - known.keys()))
            return problem(503, f"the calls of {unknown} are not known now", retry_after_s=2)
        return json_answer(page(known, limit, after))

    async def history(self, request: web.Request) -> web.Response:
        """The last half hour of every region, a point every 5 s, the oldest first."""
        pools = self._seen(key_of(request))
        points = {name: list(history.points) for name, history in self._histories.items() if name in pools}
        return json_answer(HistoryView(every_s=EVERY_S, regions=points))

    async def worker(self, request: web.Request) -> web.Response:
        """One worker. 404 when there is none of that name (any more), 503 while nobody knows."""
        found = self._find_worker(key_of(request), request.match_info["worker"])
        if isinstance(found, web.Response):
            return found
        view = worker_status(found, request.match_info["worker"])
        return web.json_response(view.model_dump(mode="json"))

    async def drain(self, request: web.Request) -> web.Response:
        """202: the worker hands its calls over and ends. Saying it again changes nothing. 404, 503 as above."""
        worker = request.match_info["worker"]
        region = self._find_worker(key_of(request), worker)
        if isinstance(region, web.Response):
            return region
        try:
            await region.workers.drain(worker)
        except UnknownStateError:
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)
        region.pool_wake.set()
        text = f"{worker} is to hand its calls over and end, ordered by the API key {key_of(request).name}"
        region.incidents.note(IncidentKind.DRAIN_ORDERED, text, subject=worker, state=HealthState.OK)
        log.info("worker is to drain and end", region=region.name, worker=worker, key=key_of(request).name)
        view = DrainView(worker=worker, region=region.name, live=worker_status(region, worker).live)
        return web.json_response(view.model_dump(mode="json"), status=202)

    def _find_worker(self, key: Key, worker: str) -> Region | web.Response:
        known: list[str] = []
        unknown: list[str] = []
        for region in self._seen(key).values():
            reports = region.reports.fresh()
            if reports is None:
                unknown.append(region.name)
            elif worker in reports:
                return region
            else:
                known += reports
        if unknown:
            return problem(503, f"the workers of {', '.join(unknown)} are not known now", retry_after_s=2)
        shown = ", ".join(sorted(known)[:_WORKERS_NAMED]) or "none"
        more = f" and {len(known) - _WORKERS_NAMED} more, see /v1/regions" if len(known) > _WORKERS_NAMED else ""
        return problem(404, f"no worker {worker}", field="worker", hint=f"Known: {shown}{more}.")

    async def decisions(self, request: web.Request) -> web.Response:
        """The last `?limit=` decisions (100), the newest first."""
        limit = number(request, "limit", 100, DECISIONS_KEPT)
        if isinstance(limit, web.Response):
            return limit
        pools = self._seen(key_of(request))
        newest = itertools.islice((view for view in reversed(self._decisions.kept) if view.region in pools), limit)
        return json_answer(DecisionList(decisions=list(newest)))
