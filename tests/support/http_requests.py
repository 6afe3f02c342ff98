"""Requests to an aiohttp application without a socket, so that they take virtual time alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from unittest import mock

from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request


class Body(StreamReader):
    """A request's body; `more` later, or none at all."""

    def __init__(self, text: bytes, *, ended: bool = True) -> None:
        super().__init__(mock.Mock(_reading_paused=False), 2**20, loop=asyncio.get_running_loop())
        if text:
            self.feed_data(text)
        if ended:
            self.feed_eof()


async def request(
    app: web.Application,
    method: str,
    path: str,
    body: Any = b"",
    *,
    headers: Mapping[str, str] | None = None,
    ended: bool = True,
) -> web.Response:
    """The answer of `app`, with its middlewares. `body`: bytes, or what is sent as JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = make_mocked_request(method, path, headers=headers, app=app, payload=Body(text, ended=ended))
    if not app.frozen:
        app.freeze()
    answer = await app._handle(asked)
    assert isinstance(answer, web.Response)
    return answer


def told(answer: web.Response) -> Any:
    """The JSON of an answer."""
    return json.loads(answer.text or "null")
