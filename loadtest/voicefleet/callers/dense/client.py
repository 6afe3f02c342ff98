"""One caller in the Go program. The program tells what happens and when; nothing here is timed by this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from voicefleet.callers.media import MediaStats, told_by_program
from voicefleet.callers.port import RoomAct, RoomListener, python_only
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.opus import FRAME_S

_T = TypeVar("_T")
Order = Callable[..., None]
"""``order("leave", call="call-00001")``: a line to the program."""

_LEAVE_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 5.0


class DenseClient:
    """See `port.CallerClient`.

    Args:
        order: sends a line; raises RuntimeError when the program is gone.
        clip_of: the name under which the program knows an utterance, and how many frames it has.
        over: told when the caller has left, with what its ear counted.
        background: the name under which the program knows what the caller's microphone hears; empty: nothing.
    """

    def __init__(
        self,
        call_id: str,
        ticket: CallTicket,
        listener: RoomListener,
        clock: Clock,
        order: Order,
        clip_of: Callable[[Utterance], tuple[str, int]],
        over: Callable[[str, Mapping[str, Any]], None],
        *,
        connect_timeout_s: float,
        dtx: bool,
        background: str = "",
    ) -> None:
        self._id = call_id
        self._ticket = ticket
        self._listener = listener
        self._clock = clock
        self._order = order
        self._clip_of = clip_of
        self._over = over
        self._timeout_s = connect_timeout_s
        self._dtx = dtx
        self._background = background
        self._joined: asyncio.Future[str | None] | None = None
        self._said: asyncio.Future[float] | None = None
        self._pressed: asyncio.Future[None] | None = None
        self._left: asyncio.Future[None] | None = None
        self._speaks_until_s = float("-inf")
        self._media: MediaStats | None = None

    async def join(self) -> str | None:
        """See `port.CallerClient`."""
        self._joined = asyncio.get_running_loop().create_future()
        self._order(
            "join",
            call=self._id,
            url=self._ticket.url,
            token=self._ticket.token,
            timeout_ms=round(self._timeout_s * 1000),
            dtx=self._dtx,
            background=self._background,
        )
        # The program gives up by itself; a little later than that it has stopped answering.
        done, _ = await asyncio.wait({self._joined}, timeout=self._timeout_s + _ANSWER_TIMEOUT_S)
        return self._joined.result() if done else f"connect: no answer within {self._timeout_s:g} s"

    async def publish(self) -> None:
        """Nothing to do: the voice was published with the join."""

    async def until_silent(self) -> None:
        """See `port.CallerClient`."""
        await self._clock.sleep(max(0.0, self._speaks_until_s - self._clock.monotonic()))

    async def say(self, utterance: Utterance) -> float:
        """See `port.CallerClient`."""
        clip, frames = self._clip_of(utterance)
        self._said = asyncio.get_running_loop().create_future()
        self._order("say", call=self._id, clip=clip)
        first_s = await _answered(self._said)
        self._speaks_until_s = first_s + frames * FRAME_S
        return first_s

    async def press(self, keys: str) -> None:
        """See `port.CallerClient`."""
        self._pressed = asyncio.get_running_loop().create_future()
        self._order("press", call=self._id, keys=keys)
        await _answered(self._pressed)

    async def act(self, act: RoomAct) -> None:
        """Not here.

        Raises:
            ConfigError: always; what a client does in its room is written for the Python SDK's.
        """
        raise python_only("a client that acts in its room")

    async def leave(self) -> None:
        """See `port.CallerClient`."""
        if self._joined is None:
            return
        if self._left is None:
            self._left = asyncio.get_running_loop().create_future()
            try:
                self._order("leave", call=self._id)
            except RuntimeError:
                self._left.set_result(None)  # the program is gone, and its rooms with it
        await asyncio.wait({self._left}, timeout=_LEAVE_TIMEOUT_S)

    @property
    def media(self) -> MediaStats | None:
        """See `port.CallerClient`."""
        return self._media

    # --- what the program tells ---

    def told(self, event: Mapping[str, Any]) -> None:
        """An event of this call, as `protocol.go` lists them."""
        kind, t_s = event["event"], event.get("ns", 0) / 1e9
        who = event.get("who", "")
        heard = self._listener
        if kind == "joined":
            heard.entered(t_s)
            _settle(self._joined, None)
        elif kind == "join_failed":
            _settle(self._joined, f"connect: {event['error']}")
        elif kind == "said":
            _settle(self._said, t_s)
        elif kind == "pressed":
            _settle(self._pressed, None, event.get("error", ""))
        elif kind == "left":
            self._media = told_by_program(event["ear"], event["route"])
            self._over(self._id, event["ear"])
            _settle(self._left, None)
        elif kind in ("reconnecting", "reconnected"):
            heard.connection(kind, t_s)
        elif kind == "disconnected":
            heard.disconnected(t_s)
        elif kind == "wrong":
            self.broke(event["error"])
        elif event.get("agent", False) or kind in ("agent_track", "onset", "offset"):
            self._told_of_agent(kind, who, t_s, event)

    def broke(self, error: str) -> None:
        """The program failed, or is gone."""
        _settle(self._joined, f"connect: {error}")
        _settle(self._left, None)
        _settle(self._said, None, error)
        _settle(self._pressed, None, error)
        self._listener.broke(error, self._clock.monotonic())

    def _told_of_agent(self, kind: str, who: str, t_s: float, event: Mapping[str, Any]) -> None:
        heard = self._listener
        if kind == "participant_joined":
            heard.participant_joined(who, t_s)
        elif kind == "participant_left":
            heard.participant_left(who, t_s)
        elif kind == "agent_track":
            heard.track_arrived(who, t_s)
        elif kind == "onset":
            heard.voice_began(who, t_s)
        elif kind == "offset":
            heard.voice_ended(who, t_s)
        elif kind == "attributes":
            heard.attributes_changed(who, event["attributes"], t_s)


async def _answered(future: asyncio.Future[_T]) -> _T:
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            return await future
    except TimeoutError as error:
        raise RuntimeError("voicefleet-caller does not answer") from error


def _settle(future: asyncio.Future[Any] | None, value: object, error: str = "") -> None:
    if future is None or future.done():
        return
    if error:
        future.set_exception(RuntimeError(error))
    else:
        future.set_result(value)
