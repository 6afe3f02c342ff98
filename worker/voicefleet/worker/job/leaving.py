"""How long a call waits for a caller that left: not at all, as long as a page takes to reload, or longer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from livekit import rtc

_STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
_ORDERLY = frozenset(
    {
        rtc.DisconnectReason.CLIENT_INITIATED,
        rtc.DisconnectReason.USER_REJECTED,
        rtc.DisconnectReason.ROOM_DELETED,
    }
)
"""Reasons for which livekit-agents itself ends a session at once."""


@dataclass(frozen=True, slots=True)
class AfterLeave:
    """What follows when the last caller has left."""

    wait_s: float
    """The call is over when nobody is back by then."""
    orderly: bool
    """The caller left on purpose: the session ends as livekit-agents would have ended it."""
    may_return: bool = False
    """A page that reloads leaves in order, too. Its conversation is kept for a while longer than its job."""


def after_leave(
    kind: rtc.ParticipantKind.ValueType,
    reason: rtc.DisconnectReason.ValueType | None,
    *,
    closes: bool,
    return_wait_s: float,
    caller_gone_s: float,
) -> AfterLeave:
    """What follows when a caller of `kind` has left for `reason` (None: not known).

    Args:
        closes: the team's room options let a caller that leaves in order end the session (`close_on_disconnect`).
        return_wait_s: how long a job waits for a caller that may be back at once.
        caller_gone_s: how long it waits for one whose connection was lost.
    """
    if reason not in _ORDERLY or not closes:
        return AfterLeave(caller_gone_s, orderly=False)
    if kind == _STANDARD and reason == rtc.DisconnectReason.CLIENT_INITIATED and return_wait_s > 0:
        return AfterLeave(min(return_wait_s, caller_gone_s), orderly=True, may_return=True)
    # Who hangs up a telephone is gone.
    return AfterLeave(0.0, orderly=True)
