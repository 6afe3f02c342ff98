"""Run every query of every dashboard against a real Prometheus: what comes back empty, and what is no query at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import aiohttp

from voicefleet.contract.errors import UnreachableError
from voicefleet.dashboards.boards import BOARDS, content
from voicefleet.dashboards.queries import Asked, filled, queries
from voicefleet.runtime.clock import Clock, SystemClock

RANGE_S = 3600
_STEP_S = 5
_LIMIT_S = 30.0

EXEMPT: Mapping[str, str] = {
    "voicefleet-scaling / Reads that failed / A": "only an outage of Redis, LiveKit or Kubernetes fills it",
    "voicefleet-worker / Drains that ended / A": "only a drain fills it",
    "voicefleet-worker / Drains that ended / B": "only a drain fills it",
    "voicefleet-region / Time to notice / A": "only a job that died fills it",
    "voicefleet-region / Time to notice / B": "only a job that died fills it",
    "voicefleet-region / Wait of calls that waited / A": "only a full fleet fills it",
    "voicefleet-region / Wait of calls that waited / B": "only a full fleet fills it",
    "voicefleet-call-quality / Stop after a barge-in / A": "only callers who barge in fill it",
    "voicefleet-call-quality / Stop after a barge-in / B": "only callers who barge in fill it",
    "voicefleet-fleet / Cost an hour / A": "empty where no price is given",
    "voicefleet-fleet / Traces / A": "empty where nobody traces",
    "voicefleet-fleet / Placed calls / A": "empty where there is one region",
    "voicefleet-fleet / Ignored round trips / A": "only a caller with a wrong token fills it",
}
"""Queries that may be empty, and why. Each of them is filled by a test that causes what it shows."""


async def verify(prometheus: str, *, rate_interval: str = "1m", clock: Clock | None = None) -> dict[str, Any]:
    """Ask for the last hour.

    Args:
        prometheus: its base address.
        rate_interval: what stands in for `$__rate_interval`; four scrapes at least.

    Returns:
        ``{"queries": n, "empty": [...], "errors": [...], "exempt": [...]}``; each entry names dashboard, panel and
        query. `exempt` are those that came back empty and may.

    Raises:
        UnreachableError: no Prometheus answers there.
    """
    clock = clock or SystemClock()
    result: dict[str, Any] = {"queries": 0, "empty": [], "errors": [], "exempt": []}
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S)
    try:
        async with aiohttp.ClientSession(prometheus.rstrip("/") + "/", timeout=timeout) as http:
            for asked in (asked for board in BOARDS for asked in queries(content(board))):
                result["queries"] += 1
                answer = await _ask(http, asked, rate_interval, clock.wall().timestamp())
                if isinstance(answer, str):
                    result["errors"].append(f"{asked.where}: {answer}")
                elif not answer:
                    result["exempt" if asked.where in EXEMPT else "empty"].append(asked.where)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise UnreachableError(
            f"no Prometheus answers ({type(error).__name__})",
            field="--prometheus",
            value=prometheus,
            hint="Give its address, for example http://127.0.0.1:9090.",
        ) from error
    return result


async def _ask(http: aiohttp.ClientSession, asked: Asked, rate_interval: str, now_s: float) -> bool | str:
    """Whether there is data; in words, what is wrong with the query."""
    expr = filled(asked.expr, rate_interval)
    if asked.kind == "variable":
        params: dict[str, str | float] = {"start": now_s - RANGE_S, "end": now_s, **({"match[]": expr} if expr else {})}
        path = f"api/v1/label/{asked.label}/values"
    else:
        params = {"query": expr, "start": now_s - RANGE_S, "end": now_s, "step": _STEP_S}
        path = "api/v1/query_range"
    async with http.get(path, params=params) as answer:
        body = await answer.json(content_type=None)
    if body["status"] != "success":
        return str(body.get("error", "refused"))
    if asked.kind == "variable":
        return bool(body["data"])
    return any(math.isfinite(float(value)) for series in body["data"]["result"] for _, value in series["values"])
