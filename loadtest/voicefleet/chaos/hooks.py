"""Receives the call events of chaos calls, as a team's billing would, and counts those that never came.

Billing is told once that a call started, that an agent had it, and that it is over. A repeat with the same id is no
second event; one with another id is.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from voicefleet.contract.call_events import SECRET_PREFIX, EventType, secret_keys, signed_headers
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports

ONCE = (EventType.STARTED, EventType.ENDED)
ENDED_LIMIT_S = 45.0
"""LiveKit keeps a room for 20 s when its caller has left, and then a call is over."""
_LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Hooks:
    """What came. `settings` are the receiver's in the controller's file."""

    settings: dict[str, Any]
    _keys: Sequence[bytes]
    _got: dict[str, dict[EventType, set[str]]] = field(default_factory=dict)
    """Call -> kind of event -> ids."""
    _calls: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Room -> its calls."""

    async def take(self, request: web.Request) -> web.Response:
        """One attempt; refused when it is not signed."""
        body, told = await request.read(), request.headers
        id, at_s = told["webhook-id"], int(told["webhook-timestamp"])
        signed = signed_headers(self._keys, id, at_s, body)["webhook-signature"]
        if not hmac.compare_digest(signed, told["webhook-signature"]):
            return web.Response(status=401)
        event = json.loads(body)
        self.add(id, EventType(event["type"]), event["data"])
        return web.Response(status=204)

    def add(self, id: str, type: EventType, data: dict[str, Any]) -> None:
        """An event that came; `data` as it is sent."""
        self._got.setdefault(data["call"], {}).setdefault(type, set()).add(id)
        if "room" in data:
            self._calls[data["room"]].add(data["call"])

    def problems(self, rooms: Collection[str]) -> list[str]:
        """What is wrong with the events of the calls in `rooms`, in each of which an agent was heard: one sentence a
        call."""
        found = []
        for room in sorted(rooms):
            calls = [self._got[call] for call in sorted(self._calls[room])] or [{}]
            wrong = [
                f"{kind.value} {'came twice' if call.get(kind) else 'never came'}"
                for kind in ONCE
                for call in calls
                if len(call.get(kind, ())) != 1
            ]
            if not any(call.get(EventType.ANSWERED) for call in calls):
                wrong.append(f"{EventType.ANSWERED.value} never came")
            if wrong:
                found.append(", ".join(dict.fromkeys(wrong)))
        return found

    async def settle(self, rooms: Collection[str], clock: Clock) -> None:
        """Wait until nothing is wrong with the events of `rooms`, for `ENDED_LIMIT_S` at most."""
        deadline_s = clock.monotonic() + ENDED_LIMIT_S
        while self.problems(rooms) and clock.monotonic() < deadline_s:
            await clock.sleep(_LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def receiving_hooks(directory: Path) -> AsyncIterator[Hooks]:
    """A receiver on a port of this machine; `directory` gets its secret."""
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    file = directory / "hooks-secret"
    file.write_text(secret)
    with Ports() as ports:
        port = ports.tcp()
        hooks = Hooks({"url": f"http://{LOOPBACK}:{port}/hooks", "secret_file": str(file)}, secret_keys(secret))
        app = web.Application()
        app.router.add_post("/hooks", hooks.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
            yield hooks
        finally:
            await runner.cleanup()
