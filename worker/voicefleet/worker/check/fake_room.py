"""A room that is nowhere, with one caller in it: what a team's entrypoint sees of a call before its session starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc

CALLER = "caller-check"


class _Here:
    """Our participant. Whatever is sent or published by it goes nowhere."""

    def __init__(self) -> None:
        self.identity, self.name, self.sid, self.metadata = "agent-check", "", "PA_agent", ""
        self.kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        self.attributes: dict[str, str] = {}
        self.track_publications: dict[str, Any] = {}
        self._rpc_handlers: dict[str, Any] = {}

    def register_rpc_method(self, method: str, handler: Callable[..., Any] | None = None) -> Any:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._rpc_handlers[method] = function
            return function

        return register if handler is None else register(handler)

    def unregister_rpc_method(self, method: str) -> None:
        self._rpc_handlers.pop(method, None)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def nothing(*_: Any, **__: Any) -> None:
            await asyncio.sleep(0)

        return nothing


class FakeRoom(rtc.Room):
    """Connected as far as anybody asks. To be made in a running event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._here = _Here()
        self._info.name, self._info.sid = "check", "RM_check"
        self._caller = SimpleNamespace(
            identity=CALLER,
            name="",
            sid="PA_caller",
            metadata="",
            attributes={},
            kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
            track_publications={},
            state=rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE,
            permissions=None,
            disconnect_reason=None,
        )

    @property
    def local_participant(self) -> rtc.LocalParticipant:
        return cast(rtc.LocalParticipant, self._here)

    @property
    def remote_participants(self) -> dict[str, rtc.RemoteParticipant]:
        return {CALLER: cast(rtc.RemoteParticipant, self._caller)}

    @property
    async def sid(self) -> str:
        return "RM_check"

    def isconnected(self) -> bool:
        return True

    async def connect(self, *_: Any, **__: Any) -> None:
        """It is."""

    async def disconnect(self, *_: Any, **__: Any) -> None:
        """Nothing to leave."""
