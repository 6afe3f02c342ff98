"""What a team's code knows of its call, and may do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.calls import CallOrder
from voicefleet.contract.errors import VoicefleetError

RECOVERED = "recovered"
HANDED_OVER = "handed_over"
RETURNED = "returned"
ASKED_AGAIN = "asked_again"


class TransferFailedError(VoicefleetError):
    """The call was not transferred, and goes on with this agent.

    Attributes:
        sip_status_code: SIP's own; 0 where it said nothing.
    """

    def __init__(self, what: str, sip_status_code: int = 0) -> None:
        super().__init__(what)
        self.sip_status_code = sip_status_code


class CallActions(Protocol):
    """What a job does for the team's code."""

    def release(self, reason: str) -> None: ...

    async def transfer_to(self, to: str, *, play_dialtone: bool, headers: Mapping[str, str]) -> None: ...

    def busy(self, name: str) -> AbstractContextManager[None]: ...

    def report(self, success: bool, task: str) -> None: ...

    def on_call_end(self, hook: Callable[[CallSummary], Any]) -> None: ...


class _NoActions:
    def release(self, reason: str) -> None:
        raise RuntimeError("this call is no job's: release() is for a call that is served")

    async def transfer_to(self, to: str, *, play_dialtone: bool, headers: Mapping[str, str]) -> None:
        raise RuntimeError("this call is no job's: transfer_to() is for a call that is served")

    def busy(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def report(self, success: bool, task: str) -> None:
        return

    def on_call_end(self, hook: Callable[[CallSummary], Any]) -> None:
        return


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as a team's code sees it: given to a factory, and to any code by `current_call()`."""

    region: str
    room: str
    tier: str
    """Name of the tier that the call asked for; a worker under load may serve it by a faster one of its ladder."""
    order: CallOrder
    """What the call was ordered with by `POST /v1/calls`, such as `order.metadata` and `order.language`. Where a front
    end makes its own token: what that token's dispatch says."""
    worker: str
    resumed: str = ""
    """Empty for a new call; "recovered" or "handed_over" for one that another agent had, "returned" for a caller who
    left and is back, "asked_again" where an agent left on purpose and somebody wants one again: its conversation is
    restored, and `on_resume(why)` is called in place of `on_enter` if your agent has it. Without it, an agent that is
    asked for again enters as in a new call."""
    kept: dict[str, Any] = field(default_factory=dict, hash=False)
    """Yours: JSON values that the next agent of this call shall know. Stored with every turn."""
    cut: list[str] = field(default_factory=list, hash=False)
    """Names of what was under way in the agent before and was cut off, such as "tool book_table". The LLM is told."""
    actions: CallActions = field(default_factory=_NoActions, repr=False, compare=False)
    """Set by the job; use the methods."""

    def release(self, reason: str) -> None:
        """End the agent's part on purpose: it says what it is saying to the end, and leaves. Nobody is sent to the call
        again, whoever stays in the room, until somebody asks for an agent. `reason`: a few words for status and
        metrics, such as "voicemail"; no personal data."""
        self.actions.release(reason)

    async def transfer_to(
        self, to: str, *, play_dialtone: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        """Transfer the phone in the room to another number (SIP REFER) and end the agent's part, as `release` does.

        Args:
            to: a number, or an address `tel:...` or `sip:...`.
            play_dialtone: it rings at the caller meanwhile.
            headers: of the REFER.

        Raises:
            TransferFailedError: not transferred; the call goes on with this agent.
        """
        await self.actions.transfer_to(to, play_dialtone=play_dialtone, headers=headers or {})

    def report(self, *, success: bool, task: str = "") -> None:
        """Say how it went with what the caller wanted: the table is booked, or cannot be. Once for each task; a call
        may have several, and counts as done when none of them failed.

        Counted by tier (`voicefleet_tasks_total`) and in the call's log; a canary of tiers can be judged by it.

        Args:
            task: your word for it, such as "booking", at most 40 characters; no personal data.
        """
        self.actions.report(success, task)

    def on_call_end(self, hook: Callable[[CallSummary], Any]) -> None:
        """Have `hook`, plain or async, called once per call, in the job that has the call last. An agent that has it at
        the end and has a method ``on_call_end(summary)`` comes before it. It has 5 s."""
        self.actions.on_call_end(hook)

    @asynccontextmanager
    async def busy(self, name: str) -> AsyncIterator[None]:
        """While ``async with call.busy("booking"):`` is open the call does not move to another worker, up to the end of
        a drain. Tools, `on_enter` and tasks need no such mark. `name` is shown in logs; no personal data."""
        with self.actions.busy(name):
            yield


_current: CallContext | None = None


def current_call() -> CallContext | None:
    """The call that this process serves; None outside of a fleet, so that the same code runs without one."""
    return _current


def set_current_call(call: CallContext | None) -> None:
    """To be called by the job alone. A job process serves one call in its life."""
    global _current
    _current = call
