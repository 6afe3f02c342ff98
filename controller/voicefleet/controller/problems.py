"""Answers that are not 2xx."""

from __future__ import annotations

import math

from aiohttp import web

from voicefleet.contract.api import Problem


def problem(
    status: int, error: str, *, field: str = "", way_out: str = "", retry_after_s: float | None = None
) -> web.Response:
    """A `Problem` as an answer; `retry_after_s` is sent whole and at least 1."""
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = Problem(error=error, field=field, way_out=way_out).model_dump_json()
    return web.Response(text=body, status=status, headers=headers, content_type="application/json")
