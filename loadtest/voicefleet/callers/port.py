"""What a caller needs of the program that holds its call, and what it is told by it.

There are two engines behind this port. `native.py` is LiveKit's Python SDK in this process: a real client with its
jitter buffer, and the reference. `dense/` is a Go program of ours that holds hundreds of calls a core. The
conversation, its outcome and its verdict are the same, whoever holds the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from livekit import rtc

from voicefleet.callers.media import MediaStats
from voicefleet.callers.tracks import Heard
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples

RoomAct = Callable[[rtc.Room], Awaitable[None]]
"""Something that a caller's client does in its room, beside sending the caller's voice."""


class RoomListener(Protocol):
    """Told of what happens in the room, at once and from the event loop; times are monotonic seconds.

    Of participants only agents and waiting voices are told, and of tracks only their microphones.
    """

    def entered(self, t_s: float) -> None:
        """The caller is in the room; nothing else is told before."""

    def participant_joined(self, who: str, t_s: float) -> None:
        """An agent, or a waiting voice, is in the room."""

    def participant_left(self, who: str, t_s: float) -> None:
        """It is not any more."""

    def track_arrived(self, who: str, t_s: float) -> None:
        """Its voice can be heard from now on."""

    def voice_began(self, who: str, t_s: float) -> None:
        """The first voiced sample was heard at `t_s`."""

    def voice_ended(self, who: str, t_s: float) -> None:
        """One past the last voiced sample was heard at `t_s`."""

    def attributes_changed(self, who: str, changed: Mapping[str, str], t_s: float) -> None:
        """A participant says something about itself."""

    def connection(self, kind: str, t_s: float) -> None:
        """`reconnecting` or `reconnected`."""

    def disconnected(self, t_s: float) -> None:
        """The room closed, and not because the caller left."""

    def broke(self, error: str, t_s: float) -> None:
        """The engine itself failed: the call is over, and not the platform's doing."""


class CallerClient(Protocol):
    """One caller's place in one room. `join` once, then `publish`, then any number of `say`; `leave` always."""

    async def join(self) -> str | None:
        """Enter the room; why it failed, None if it did not. `RoomListener.entered` comes before the return."""

    async def publish(self) -> None:
        """Send the caller's voice, silence for now.

        Raises:
            RuntimeError: it was not published in time.
        """

    async def until_silent(self) -> None:
        """Wait until the utterance before is sent to its end."""

    async def say(self, utterance: Utterance) -> float:
        """Begin to say it, after `until_silent`; the monotonic time at which its first sample is spoken.

        Raises:
            RuntimeError: the caller's audio stopped.
        """

    async def press(self, keys: str) -> None:
        """Press keys of a telephone (0 to 9, *, #, A to D), one after the other.

        Raises:
            RuntimeError: they could not be sent.
        """

    async def act(self, act: RoomAct) -> None:
        """Let the client do something in its room."""

    async def leave(self) -> None:
        """Close everything, in bounded time; safe to call twice. A voice that goes on is reported as ended."""

    @property
    def media(self) -> MediaStats | None:
        """How the call's packets went; None: not known. Complete after `leave`."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What a reader of the figures must know of the engine.

    Attributes:
        name: go or python.
        playout_delay_s: what a real client's jitter buffer adds to each onset that this engine reports; 0 where the
            onset is taken behind such a buffer.
    """

    name: str
    playout_delay_s: float


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What one caller's client is to do; the last two are the Python SDK's alone.

    Attributes:
        connect_timeout_s: a join that takes longer has failed.
        background: what the microphone hears beside the caller's words; None: nothing.
        options: passed to `room.connect`; None for the SDK's defaults.
        heard: told of all that is received of agents' voices; None: nobody.
    """

    connect_timeout_s: float
    background: Samples | None = None
    options: rtc.RoomOptions | None = None
    heard: Heard | None = None


def python_only(what: str) -> ConfigError:
    """The error for what the Go engine cannot do."""
    return ConfigError(
        f"{what} is for the Python SDK's engine alone", field="--engine", value="go", hint="Use --engine python."
    )


class CallerEngine(Protocol):
    """Holds calls."""

    @property
    def facts(self) -> EngineFacts:
        """What it is."""

    async def prepare(self, utterances: Sequence[Utterance], background: Samples | None) -> None:
        """Make ready what callers of a run may say: what takes time is done before the first call, not in it.

        Raises:
            MissingPartError: what it takes is not installed.
        """

    def client(
        self,
        call_id: str,
        ticket: CallTicket,
        listener: RoomListener,
        wishes: ClientSettings,
        clock: Clock,
    ) -> CallerClient:
        """A caller's place in the room of its ticket; nothing happens before `join`.

        Raises:
            ConfigError: a wish that this engine cannot fulfil.
        """
