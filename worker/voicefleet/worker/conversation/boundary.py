"""Decides whether a call is between two turns. Pure: times are monotonic seconds, handed in."""

from __future__ import annotations

UNHEARD_S = 4.0
"""Speech without a consequence for so long was a noise, or is not going to be answered."""


class TurnBoundary:
    """Follows who speaks. At a boundary nobody does, no answer is due, and the call can move unnoticed."""

    def __init__(self) -> None:
        self._caller_speaks = False
        self._agent_busy = True
        self._unheard_since_s: float | None = None

    def caller(self, speaking: bool, now: float) -> None:
        """The caller began to speak, or stopped."""
        if self._caller_speaks and not speaking:
            self._unheard_since_s = now
        self._caller_speaks = speaking

    def agent(self, busy: bool) -> None:
        """The agent thinks or speaks, or does neither."""
        self._agent_busy = busy
        if busy:
            self._unheard_since_s = None

    def reached(self, now: float, *, speech_pending: bool) -> bool:
        """Whether this is a boundary.

        Args:
            speech_pending: the agent has something to say that it has not begun to say.
        """
        if self._caller_speaks or self._agent_busy or speech_pending:
            return False
        # Between the end of the caller's words and the agent's first sign of having them, a turn is under way.
        return self._unheard_since_s is None or now - self._unheard_since_s >= UNHEARD_S
