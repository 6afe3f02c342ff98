"""How an answer of an agent went down with its caller. Pure."""

from __future__ import annotations

import enum


class ResponseResult(enum.StrEnum):
    """What became of one answer, or of a turn that got none."""

    OK = "ok"
    INTERRUPTED = "interrupted"
    """The caller spoke into it, and went on with something else: an answer too long, or a caller in a hurry."""
    ASKED_AGAIN = "asked_again"
    """The caller's next words were "what?", or the same question once more."""
    HUNG_UP = "hung_up"
    """The caller left while it was said."""
    LEFT_AFTER = "left_after"
    """The caller left within 3 s of its end, without a goodbye and without a task done: it may have been of no use."""
    UNANSWERED = "unanswered"
    """There was none: an apology, or nothing, in its place."""


BAD_RESPONSES = frozenset({ResponseResult.ASKED_AGAIN, ResponseResult.HUNG_UP, ResponseResult.UNANSWERED})
"""What an answer should never come to, whatever a caller is like. The others are shown, and held against nobody."""


class TaskResult(enum.StrEnum):
    """What an agent reports of what its caller wanted."""

    SUCCESS = "success"
    FAILURE = "failure"
