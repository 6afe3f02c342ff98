"""How an agent tells the room that its next words stand in for an answer: a participant attribute of its own.

Front ends may show it; simulated callers tell an apology from an answer by it. It is set just before the words are
heard, never carries what was said, and its number makes two apologies in a row two changes.
"""

from __future__ import annotations

APOLOGY_ATTRIBUTE = "voicefleet.apology"
"""Participant attribute of the agent, ``NUMBER REASON``; reasons are those of `voicefleet_apologies_total`."""

WORKING = "working"
"""The reason of words that are no apology: a tool of the agent takes long, and the answer is still to come."""


def apology_notice(number: int, reason: str) -> str:
    """The attribute's value for the `number`-th such words of this agent in the room."""
    return f"{number} {reason}"


def apology_reason(notice: str) -> str:
    """The reason in a value of the attribute; `other` for one that cannot be read."""
    _, _, reason = notice.partition(" ")
    return reason or "other"
