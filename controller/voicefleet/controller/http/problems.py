"""Error answers of the API, and the parsing of request bodies that may lead to one."""

from __future__ import annotations

import math
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from voicefleet.contract.api import Problem
from voicefleet.contract.parsing.validation import first_mistake
from voicefleet.controller.regions.routing import UnknownChoiceError
from voicefleet.runtime.http.connections import read_body

Posted = TypeVar("Posted", bound=BaseModel)


def problem(
    status: int, error: str, *, field: str = "", hint: str = "", retry_after_s: float | None = None
) -> web.Response:
    """A `Problem` as an answer; `retry_after_s` is sent whole and at least 1."""
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = Problem(error=error, field=field, hint=hint).model_dump_json()
    return web.Response(text=body, status=status, headers=headers, content_type="application/json")


def unknown_choice(error: UnknownChoiceError) -> web.Response:
    """400 for an agent or a tier that there is not, with those that there are."""
    known = ", ".join(error.known) or "none"
    return problem(400, str(error), field=error.field, hint=f"Known: {known}.")


async def posted(request: web.Request, model: type[Posted]) -> Posted | web.Response:
    """What was posted, an empty body for a value of defaults; or the answer 400, which names the first wrong field."""
    try:
        return model.model_validate_json(await read_body(request) or b"{}")
    except ValidationError as error:
        first = first_mistake(error, model, source="body")
        return problem(400, first.what, field=first.field, hint=first.hint)
