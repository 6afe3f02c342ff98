"""Limits what participants may do to a session besides speaking to it: by default nothing.

livekit-agents opens two doors to every participant of the room that may send data. Topic ``lk.agent.session`` reads
the agent's instructions, tools and their outputs, changes its audio, and feeds it input; topic ``lk.chat`` is text
input. Both are closed here at every start of a session in this process, whoever starts it: ours, a successor's, or
one that a team's agent makes for itself. A tier opens them for the identities that it names.

The guard is put on `AgentSession.start` itself, because a team's own call of it must be held by the same rule.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from livekit.agents import AgentSession
from livekit.agents.voice.room_io import RoomOptions, TextInputEvent, TextInputOptions

from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SessionAccess:
    """Who is let in. An identity that ends in ``*`` stands for all that begin so.

    Attributes:
        text_input: whose text the agent takes for the caller's words, if it is the participant that it listens to.
        session_host: who may read and drive the session.
    """

    text_input: tuple[str, ...] = ()
    session_host: tuple[str, ...] = ()


CLOSED = SessionAccess()


class Attached(Protocol):
    """What is done at the start of the session that serves the call; see `attachment.Attachment`."""

    def takes(self, session: AgentSession[Any]) -> bool: ...

    async def start(
        self,
        session: AgentSession[Any],
        agent: Any,
        begin: Callable[..., Coroutine[Any, Any, Any]],
        options: dict[str, Any],
    ) -> Any: ...


def matches(identity: str, named: Collection[str]) -> bool:
    """Whether `identity` is one of `named`."""
    return any(identity.startswith(n[:-1]) if n.endswith("*") else identity == n for n in named)


class _Guard:
    """Replaces `AgentSession.start` in this process. `access` holds for the sessions that start from now on."""

    def __init__(self) -> None:
        self.access = CLOSED
        self.attached: Attached | None = None
        self._original: Any = None

    def install(self) -> None:
        if self._original is not None:
            return
        self._original = original = AgentSession.start

        @functools.wraps(original)
        async def start(session: AgentSession[Any], agent: Any, **options: Any) -> Any:
            if self.attached is None or not self.attached.takes(session):
                return await self._start(session, agent, **options)
            return await self.attached.start(session, agent, self._start, options)

        AgentSession.start = start  # type: ignore[method-assign, assignment]
        sdk.guard_pre_connect_audio()

    async def _start(
        self,
        session: AgentSession[Any],
        agent: Any,
        *,
        session_host: Any = None,
        room_options: Any = None,
        room_input_options: Any = None,
        room_output_options: Any = None,
        **more: Any,
    ) -> Any:
        access = self.access
        given = {"room_input_options": room_input_options, "room_output_options": room_output_options}
        wanted = sdk.room_options(room_options, **{name: value for name, value in given.items() if value is not None})
        result = await self._original(
            session, agent, session_host=False, room_options=_with_text(wanted, access.text_input), **more
        )
        # A team that says False in its own code keeps it closed.
        if access.session_host and session_host is not False and more.get("room"):
            await sdk.open_session_host(session, more["room"], lambda who: matches(who, access.session_host))
        return result


def _with_text(options: RoomOptions, named: tuple[str, ...]) -> RoomOptions:
    options = copy.copy(options)
    wanted = options.get_text_input_options()
    options.text_input = _for_named(wanted, named) if wanted is not None and named else False
    return options


def _for_named(wanted: TextInputOptions, named: tuple[str, ...]) -> TextInputOptions:
    def take(session: AgentSession[Any], event: TextInputEvent) -> Any:
        if event.participant is not None and matches(event.participant.identity, named):
            return wanted.text_input_cb(session, event)
        log.info("text input refused: the tier's text_input does not name the participant")
        return None

    return TextInputOptions(text_input_cb=take)


_guard = _Guard()


def close_sessions() -> None:
    """From now on sessions of this process start closed. To be called before a team's code runs."""
    _guard.install()
    _guard.access, _guard.attached = CLOSED, None


def open_sessions(access: SessionAccess, attached: Attached | None = None) -> None:
    """Sessions that start from now on let in whom `access` names; `attached` starts the one that serves the call."""
    _guard.install()
    _guard.access, _guard.attached = access, attached
