"""A receiver of call events: a real HTTP server that checks signatures, keeps what it got, and can fail or hang."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes of test secret!").decode()


@dataclass
class Receiver:
    """What came. `answer` makes the status of the next answer from the event's id; None: no answer at all."""

    url: str = ""
    secret: str = SECRET
    answer: Callable[[str], int | None] = lambda _: 204
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(id, body) of each event that was taken, repeats included."""
    tries: int = 0
    unsigned: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
        if request.headers["webhook-signature"] != "v1," + base64.b64encode(mac).decode():
            self.unsigned.append(id)
        self.tries += 1
        status = self.answer(id)
        if status is None:
            await asyncio.sleep(3600)
        elif 200 <= status < 300:
            self.got.append((id, json.loads(body)))
        return web.Response(status=status or 500, headers={"Location": "/elsewhere"} if status == 307 else {})

    @property
    def ids(self) -> set[str]:
        return {id for id, _ in self.got}

    def of_calls(self) -> dict[str, list[str]]:
        """Call -> the ids of its events in the order in which they first came: as a receiver sees it that drops
        repeats."""
        found: dict[str, list[str]] = defaultdict(list)
        for id, body in self.got:
            if id not in found[body["data"]["call"]]:
                found[body["data"]["call"]].append(id)
        return found


@contextlib.asynccontextmanager
async def event_receiver() -> AsyncIterator[Receiver]:
    """One that listens on a port of this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hooks", receiver.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
        yield receiver
    finally:
        await runner.cleanup()
