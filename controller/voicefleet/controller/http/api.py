"""The HTTP API, version 1: what the controller knows, and the drain of a worker."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.answers import (
    CALLS_A_PAGE,
    MOST_CALLS_A_PAGE,
    DecisionList,
    HistoryView,
    RegionList,
)
from voicefleet.contract.api import DrainView, LeaderView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import IncidentKind
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.http.call_pages import Cursor, page
from voicefleet.controller.http.problems import problem
from voicefleet.controller.http.reads import json_answer, number
from voicefleet.controller.http.views import region_view, totals, worker_status
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.pool.reconciler import DECISIONS_KEPT, DecisionLog
from voicefleet.controller.regions.history import EVERY_S, History
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.logs.setup import get_logger

_WORKERS_NAMED = 20

log = get_logger(__name__)


class Api:
    """`/v1/...`."""

    def __init__(
        self,
        settings: Settings,
        regions: Mapping[str, Region],
        decisions: DecisionLog,
        histories: Mapping[str, History],
        leadership: Leadership,
    ) -> None:
        self._settings = settings
        self._regions = regions
        self._decisions = decisions
        self._histories = histories
        self._leadership = leadership

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/calls", self.calls)
        app.router.add_get("/v1/regions", self.regions)
        app.router.add_get("/v1/decisions", self.decisions)
        app.router.add_get("/v1/history", self.history)
        app.router.add_get("/v1/workers/{worker}", self.worker)
        app.router.add_post("/v1/workers/{worker}/drain", self.drain)

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
