"""Every route of the controller, and the role that it asks for. Whoever adds one adds it here: the controller does not
start with a route that is missing, and `tests/security/test_authorization_matrix.py` walks them all."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from voicefleet.controller.auth import Role


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    """As aiohttp's router has it, with ``{names}``."""
    roles: frozenset[Role]
    """Any one of them will do. Empty: no key is asked for."""
    summary: str


def _route(method: str, path: str, summary: str, *roles: Role) -> Route:
    return Route(method, path, frozenset(roles), summary)


ROUTES: tuple[Route, ...] = (
    _route("GET", "/", "The page: a shell without data"),
    _route("GET", "/page.css", "Its style"),
    _route("GET", "/page.js", "Its program"),
    _route("GET", "/livez", "Alive"),
    _route("GET", "/readyz", "Ready"),
    _route("GET", "/healthz", "Health"),
    _route("GET", "/metrics", "Metrics for Prometheus"),
    _route("POST", "/webhooks/livekit", "LiveKit's events, signed by LiveKit"),
    _route("POST", "/webhooks/livekit/{region}", "LiveKit's events of one region, signed by LiveKit"),
    _route("POST", "/v1/calls", "A ticket for a call", Role.CALL),
    _route("DELETE", "/v1/calls/{room}", "End a call: one's own, or any with operate", Role.CALL, Role.OPERATE),
    _route("GET", "/v1/calls", "The calls there are", Role.READ),
    _route("GET", "/v1/regions", "Regions and their workers", Role.READ),
    _route("GET", "/v1/decisions", "The last decisions", Role.READ),
    _route("GET", "/v1/history", "The last half hour", Role.READ),
    _route("GET", "/v1/workers/{worker}", "One worker", Role.READ),
    _route("POST", "/v1/workers/{worker}/drain", "Have a worker hand its calls over and end", Role.OPERATE),
    _route("GET", "/v1/campaigns", "Announced campaigns", Role.READ),
    _route("POST", "/v1/campaigns", "Announce a campaign", Role.OPERATE),
    _route("DELETE", "/v1/campaigns/{id}", "Take a campaign back", Role.OPERATE),
)
_BY_PLACE = {(route.method, route.path): route for route in ROUTES}


def route_of(request: web.Request) -> Route | None:
    """The entry of the route that `request` goes to; None when it goes to none."""
    resource = request.match_info.route.resource
    return None if resource is None else entry(request.method, resource.canonical)


def entry(method: str, path: str) -> Route | None:
    """What the table says of a route; a HEAD is a GET."""
    return _BY_PLACE.get(("GET" if method == "HEAD" else method, path))


def require_entries(app: web.Application) -> None:
    """Raises `RuntimeError` when `app` has a route that is not in the table: nobody knows who may use it."""
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else "?"
        if entry(route.method, path) is None:
            raise RuntimeError(f"{route.method} {path} has no entry in voicefleet.controller.routes")
