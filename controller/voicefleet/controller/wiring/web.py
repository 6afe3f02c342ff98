"""The HTTP application: every route of the API, behind the keys and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from voicefleet.controller.http.api import Api
from voicefleet.controller.http.auth.access import Access
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.call_detail import CallDetail
from voicefleet.controller.http.campaigns import Campaigns
from voicefleet.controller.http.canaries import Canaries
from voicefleet.controller.http.end_call import EndCall
from voicefleet.controller.http.health import add_health
from voicefleet.controller.http.incidents import add_incidents
from voicefleet.controller.http.openapi import add_document
from voicefleet.controller.http.page import add_page
from voicefleet.controller.http.past_calls import PastCalls
from voicefleet.controller.http.probes import Probes
from voicefleet.controller.http.rejoin import Rejoin
from voicefleet.controller.http.room_agents import RoomAgents
from voicefleet.controller.http.routes import require_entries
from voicefleet.controller.http.tickets import Tickets
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.pool.reconciler import DecisionLog
from voicefleet.controller.regions.gauges import RegionGauges
from voicefleet.controller.regions.history import History
from voicefleet.controller.rooms.joins import JoinCounter
from voicefleet.controller.rooms.webhooks import Webhooks
from voicefleet.controller.wiring.shared import Shared
from voicefleet.runtime.http.server import application, health_routes


@dataclass(frozen=True, slots=True)
class Web:
    """The application, and what loops feed of it."""

    app: web.Application
    access: Access
    joins: JoinCounter
    decisions: DecisionLog
    histories: Mapping[str, History]


def build_web(shared: Shared, leadership: Leadership) -> Web:
    """The application, not started."""
    settings, regions, metrics, limits = shared.settings, shared.regions, shared.metrics, shared.settings.limits
    limiter = Limiter(shared.redis, shared.clock, per_minute=limits.requests_per_minute, calls=limits.concurrent_calls)
    joins = JoinCounter(regions, limiter, metrics, max_duration_s=limits.max_call_duration_s)
    access = Access(settings, limiter, metrics, shared.clock, regions)
    decisions, histories = DecisionLog(), {name: History(region) for name, region in regions.items()}
    app = application(middlewares=[access.guard])
    # A token needs neither Redis nor the loops, so whoever answers at all is ready and alive.
    gauges = RegionGauges(regions, metrics)
    health_routes(app, metrics.registry, ready=lambda: "", alive=lambda: "", before_scrape=gauges.write)
    add_health(app, settings.replica, regions, leadership, shared.clock)
    Tickets(settings, regions, access, joins, limiter, metrics).add_routes(app)
    Probes(regions).add_routes(app)
    Api(settings, regions, decisions, histories, leadership).add_routes(app)
    CallDetail(regions).add_routes(app)
    PastCalls(regions).add_routes(app)
    Canaries(regions).add_routes(app)
    add_incidents(app, regions)
    EndCall(regions, limiter).add_routes(app)
    Rejoin(regions).add_routes(app)
    RoomAgents(regions, settings.placement.residency).add_routes(app)
    Campaigns(regions, most=limits.campaigns).add_routes(app)
    Webhooks(regions, limiter, joins, metrics).add_routes(app)
    add_document(app)
    add_page(app)
    require_entries(app)
    return Web(app, access, joins, decisions, histories)
