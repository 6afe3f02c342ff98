"""`POST /v1/calls` with `dial`: a number is to be called.

Dialling costs money and reaches people, so it needs a role of its own, trunks that the settings name, and may be bound
to prefixes. Numbers are personal data: no answer and no log repeats one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from voicefleet.contract.api import CallRequest
from voicefleet.contract.calls import CallRecord
from voicefleet.contract.dial_api import DialRequest
from voicefleet.contract.dials import Dial, allowed
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.dials import view_of
from voicefleet.controller.http.auth.keys import Key, Role
from voicefleet.controller.http.problems import problem
from voicefleet.controller.regions.capacity import capacity_of, choose
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tracing import child_of, parse_traceparent

MOST_DIALS = 10_000
"""Outbound calls of one region that are not over."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
_MOST_HEADER = 256

Count = Callable[[str, Region, str], Awaitable[web.Response | None]]
"""Counts a call of a key; the answer when it may have no more."""

log = get_logger(__name__)


class DialRequests:
    """Takes orders of outbound calls."""

    def __init__(self, count: Count, *, max_duration_s: float) -> None:
        self._count = count
        self._max_duration_s = max_duration_s

    async def place(
        self, request: web.Request, key: Key, wanted: CallRequest, dial: DialRequest, regions: Mapping[str, Region]
    ) -> web.Response:
        """202 with how the dial goes. 400, 403, 429, or 503 when it cannot be kept. The same `Idempotency-Key` again is
        answered with what became of the first.

        Args:
            regions: those that may make the call.
        """
        if refused := _refused_key(key):
            return refused
        trunk = _trunk(dial, regions)
        if isinstance(trunk, web.Response):
            return trunk
        able = {name: region for name, region in regions.items() if trunk in region.settings.trunks}
        able = {name: region for name, region in able.items() if _may_dial(key, region, trunk, dial.to)}
        if not able:
            return problem(
                403,
                f"the key {key.name} may not dial this number on the trunk {trunk}",
                field="dial.to",
                hint="See `prefixes` and `keys` of the trunk in the controller's settings.",
            )
        room = _room(key, request.headers.get(IDEMPOTENCY_HEADER, "")[:_MOST_HEADER])
        chosen = choose([capacity_of(region, key.name, 1.0) for region in able.values()])
        region = able[chosen.region] if chosen is not None else next(iter(able.values()))
        trace = parse_traceparent(request.headers.get("traceparent", "")) or child_of(None)
        try:
            for known in able.values():
                if (before := await known.dials.get(room)) is not None:
                    return _answer(before)
            if await region.dials.count() >= MOST_DIALS:
                return problem(
                    503, f"{MOST_DIALS} outbound calls are not over", hint="Come back later.", retry_after_s=30
                )
            if refused := await self._count(key.name, region, room):
                return refused
            record = CallRecord(
                room=room,
                region=region.name,
                order=wanted.order(trace.header),
                key=key.name,
                max_duration_s=self._max_duration_s,
                priority=wanted.priority,
                outbound=True,
            )
            now_ms = await region.dials.now_ms()
            made = Dial(record, dial.order(trunk), since_ms=now_ms, due_ms=now_ms)
            if not await region.dials.create(made) and (before := await region.dials.get(room)) is not None:
                return _answer(before)
        except UnknownStateError:
            return problem(
                503, "the state is not reachable now: nothing is dialled", hint="Ask again.", retry_after_s=2
            )
        log.info(
            "outbound call ordered",
            region=region.name,
            room=room,
            key=key.name,
            trunk=trunk,
            tier=wanted.tier or "",
            trace_id=trace.trace,
        )
        return _answer(made)


def _answer(dial: Dial) -> web.Response:
    return web.json_response(view_of(dial).model_dump(mode="json"), status=202)


def _refused_key(key: Key) -> web.Response | None:
    if key.may(Role.DIAL):
        return None
    return problem(
        403,
        f"the key {key.name} lacks the role {Role.DIAL}",
        field="Authorization",
        hint=f"Use a key with the roles {Role.CALL}+{Role.DIAL}; no key has {Role.DIAL} without being given it.",
    )


def _trunk(dial: DialRequest, regions: Mapping[str, Region]) -> str | web.Response:
    """The trunk to use: the one named, else the only one there is."""
    known = sorted({name for region in regions.values() for name in region.settings.trunks})
    if dial.trunk in known:
        return dial.trunk
    listed = f"Known: {', '.join(known)}." if known else "Add it to `trunks` of a region in the controller's settings."
    if dial.trunk:
        return problem(400, f"no trunk {dial.trunk}", field="dial.trunk", hint=listed)
    if len(known) == 1:
        return known[0]
    what = "several trunks are configured, and none is named" if known else "no trunk is configured"
    return problem(400, what, field="dial.trunk", hint=listed)


def _may_dial(key: Key, region: Region, trunk: str, to: str) -> bool:
    settings = region.settings.trunks[trunk]
    if not allowed(to, settings.prefixes):
        return False
    return settings.keys is None or (key.name in settings.keys and allowed(to, settings.keys[key.name]))


def _room(key: Key, idempotency: str) -> str:
    if not idempotency:
        return f"call-{secrets.token_hex(8)}"
    named = f"{key.name}\0{idempotency}".encode("utf-8", "surrogateescape")
    return f"call-{hashlib.sha256(named).hexdigest()[:16]}"
