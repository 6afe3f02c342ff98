"""What a team's code knows of its call, and may do with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from voicefleet.contract.calls import CallOrder

RECOVERED = "recovered"
HANDED_OVER = "handed_over"
RETURNED = "returned"


class CallActions(Protocol):
    """What a job does for the team's code."""

    def release(self, reason: str) -> None: ...


class _NoActions:
    def release(self, reason: str) -> None:
        raise RuntimeError("this call is no job's: release() is for a call that is served")


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as a team's code sees it: given to a factory, and to any code by `current_call()`."""

    region: str
    room: str
    tier: str
    """Name of the tier that serves the call."""
    order: CallOrder
    """What the call was ordered with by `POST /v1/calls`, such as `order.metadata` and `order.language`. Where a front
    end makes its own token: what that token's dispatch says."""
    worker: str
    resumed: str = ""
    """Empty for a new call; "recovered", "handed_over" or "returned" for one that another agent had: its conversation
    is restored, and `on_resume(why)` is called in place of `on_enter` if your agent has it. "returned": an agent left
    on purpose, and somebody asked for one again; without `on_resume` it enters as in a new call."""
    kept: dict[str, Any] = field(default_factory=dict, hash=False)
    """Yours: JSON values that the next agent of this call shall know. Stored with every turn."""
    actions: CallActions = field(default_factory=_NoActions, repr=False, compare=False)
    """Set by the job; use the methods."""

    def release(self, reason: str) -> None:
        """End the agent's part on purpose: it says what it is saying to the end, and leaves. Nobody is sent to the call
        again, whoever stays in the room, until somebody asks for an agent. `reason`: a few words for status and
        metrics, such as "voicemail"; no personal data."""
        self.actions.release(reason)


_current: CallContext | None = None


def current_call() -> CallContext | None:
    """The call that this process serves; None outside of a fleet, so that the same code runs without one."""
    return _current


def set_current_call(call: CallContext | None) -> None:
    """To be called by the job alone. A job process serves one call in its life."""
    global _current
    _current = call
