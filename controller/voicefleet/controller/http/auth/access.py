"""Checks the key, its role and its limits before a request reaches its handler; no answer shows a stack trace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web

from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.http.auth.attempts import Attempts, client_address
from voicefleet.controller.http.auth.call_requests import CallRequests
from voicefleet.controller.http.auth.keys import ANYONE, Key, KeyRing, Role
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.problems import problem
from voicefleet.controller.http.reads import ReadBudget
from voicefleet.controller.http.routes import Route, route_of
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_KEY = web.RequestKey("voicefleet_key", Key)

log = get_logger(__name__)


def key_of(request: web.Request) -> Key:
    """The key that `Access` let in."""
    return request[_KEY]


class Access:
    """The middleware before all routes.

    Attributes:
        ring: the keys of now; another one takes its place when the file of keys changes.
    """

    def __init__(
        self, settings: Settings, limiter: Limiter, metrics: Metrics, clock: Clock, regions: Mapping[str, Region]
    ) -> None:
        self._settings = settings
        self._limiter = limiter
        self._metrics = metrics
        self._clock = clock
        self._attempts = Attempts()
        self._reads = ReadBudget(clock)
        self._call_requests = CallRequests(settings.pools, regions, metrics)
        self.ring: KeyRing = settings.keys
        limiter.take(self.ring)

    def take(self, ring: KeyRing) -> None:
        """The keys are these from now on."""
        self.ring = ring
        self._limiter.take(ring)

    def unused_ratio(self, region: str) -> float:
        """Share of the free slots of `region` that one key's unused tickets may stand for: all where no other key may
        place calls."""
        return self._settings.limits.unused_tickets_ratio if self.ring.callers(region) > 1 else 1.0

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authorization, limits, counting."""
        ours = request.path.startswith("/v1/")
        try:
            refused = await self._refused(request, route_of(request), ours)
            answer = refused or await handler(request)
        except web.HTTPException as error:
            hint = "See /v1/regions, /v1/calls, /v1/workers/ID, /v1/decisions." if error.status == 404 else ""
            answer = problem(error.status, error.reason.lower(), hint=hint)
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
        except asyncio.CancelledError:
            raise
        except (web.RequestPayloadError, ConnectionError):
            answer = problem(400, "the request is broken off")
        except Exception:
            log.exception("request failed", method=request.method, path=request.path)
            answer = problem(500, "an error of ours, see the controller's log")
        if ours:
            resource = request.match_info.route.resource
            route = resource.canonical if resource else "other"
            self._metrics.counters[catalogue.API_REQUESTS].labels(route, str(answer.status)).inc()
            if (request.method, route) == ("POST", "/v1/calls") and _KEY in request:
                self._call_requests.answered(request, key_of(request), answer.status)
        return answer

    async def _refused(self, request: web.Request, route: Route | None, ours: bool) -> web.Response | None:
        if not (route.roles if route else ours):
            return None
        key = ANYONE if self._settings.auth == "none" else self._presented(request)
        if key is None:
            return self._unknown_key(request)
        request[_KEY] = key
        if route is None:
            return None
        if not any(key.may(role) for role in route.roles):
            return _lacking(key, route.roles)
        if request.method in ("GET", "HEAD"):
            return self._reads.refusal(key.name, request)
        # Who has placed as many calls as it may shall still be able to end them.
        wait_s = await self._limiter.request(key.name if request.method == "POST" else f"{key.name}:{request.method}")
        if wait_s is None:
            return None
        most = self._limiter.per_minute(key.name)
        return problem(
            429, f"more than {most} requests for calls a minute", hint="Come back later.", retry_after_s=wait_s
        )

    def _presented(self, request: web.Request) -> Key | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        found = self.ring.find(secret.strip())
        return found if scheme.lower() == "bearer" else None

    def _unknown_key(self, request: web.Request) -> web.Response:
        hint = "Send `Authorization: Bearer SECRET`."
        if "Authorization" in request.headers:
            who = client_address(
                request.remote or "", request.headers.getall("X-Forwarded-For", []), self._settings.trusted_proxies
            )
            wait_s = self._attempts.failed(who, self._clock.monotonic())
            self._metrics.counters[catalogue.AUTH_FAILURES].labels("refused" if wait_s is None else "limited").inc()
            if wait_s is not None:
                return problem(429, "too many attempts without a valid API key", hint=hint, retry_after_s=wait_s)
        return problem(401, "no valid API key", field="Authorization", hint=hint)


def _lacking(key: Key, roles: Iterable[Role]) -> web.Response:
    wanted = " or ".join(sorted(roles))
    return problem(
        403,
        f"the key {key.name} lacks the role {wanted}",
        field="Authorization",
        hint=f"Use a key with the role {wanted}.",
    )


def seen(regions: Mapping[str, Region], key: Key, only: str | None = None) -> dict[str, Region]:
    """The pools of the key's regions; `only` of this region, or this pool, alone."""
    return {name: pool for name, pool in regions.items() if key.sees(pool.place) and pool.meant_by(only)}


def wrong_region(key: Key, region: str, known: Mapping[str, Region]) -> web.Response | None:
    """The answer to a request for `region`, or for a pool: 403 when it is not the key's, 400 when there is none."""
    place = known[region].place if region in known else region
    if not key.sees(place):
        return problem(
            403,
            f"the key {key.name} is not for the region {region}",
            field="region",
            hint=f"Its regions: {', '.join(sorted(key.regions or ()))}.",
        )
    names = sorted({pool.place for pool in known.values()})
    if region not in known and region not in names:
        return problem(400, f"no region {region}", field="region", hint=f"Known: {', '.join(names)}.")
    return None
