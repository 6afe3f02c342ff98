"""Whether a run measures anything at all, judged by its first calls: wrong surroundings are no bad result. Pure."""

from __future__ import annotations

from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.loadtest.targets import TicketSource

ENOUGH = 3
"""Calls that must have failed alike, and none otherwise; all of them in a run with fewer."""


class Surroundings:
    """Looks at each call as it ends.

    Args:
        source: of the tickets.
        calls: of the run.
    """

    def __init__(self, source: TicketSource, calls: int) -> None:
        self._source = source
        self._enough = min(ENOUGH, calls)
        self._finished = 0
        self._joined = False
        self._met_agent = False
        self._first_error = ""

    def wrong(self, outcome: CallOutcome) -> UsageError | None:
        """What is wrong with the surroundings, once that is certain: no call could join, or no agent came to any."""
        self._finished += 1
        self._joined |= outcome.connect_s is not None
        self._met_agent |= outcome.wait_s is not None
        self._first_error = self._first_error or outcome.error or ""
        if self._finished < self._enough:
            return None
        if not self._joined:
            return self._source.refusal or self._unreachable()
        if not self._met_agent and not self._source.sends_agents:
            return UnreachableError(
                f"no agent came to any of the first {self._finished} calls",
                field=self._source.field,
                value=self._source.address,
                hint="Start workers that register there, or correct --agent-name ('' for agents without a name). "
                "Workers take no call while their machine is busy (livekit-agents: above 70 % of its CPU), and LiveKit "
                "must let a second participant into a room (its `room.max_participants`).",
            )
        return None

    def _unreachable(self) -> UsageError | None:
        # What a controller refuses is a result, such as a full fleet; a room that nobody can join is none.
        if not self._first_error.startswith("connect:"):
            return None
        return UnreachableError(
            f"none of the first {self._finished} callers could join its room: {self._first_error}",
            field=self._source.field,
            value=self._source.address,
            hint="Look whether LiveKit runs, takes this key, and has room (its `limit` and `room` settings).",
        )
