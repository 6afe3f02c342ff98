"""What a sweep may still spend: the check on held-out tasks and the writing are paid for before the search is. Pure."""

from __future__ import annotations

START_S = 20.0
"""A fleet takes about so long to start once the one before it has ended; two are started, one after the other."""
FINISH_S = 25.0
"""The last fleet ends (8 s), the replies of the last settings are heard by another recogniser, files are written."""
BLOCK_GUESS_S = 30.0
"""How long calls that are placed at the same time take, until some were measured: the longest of them counts."""
CURVE_SHARE = 0.04
"""Of the budget, for the endpointing curve; the curve has fewer turns for it when that is little."""
HELDOUT_SHARE = 0.25
_MARGIN = 1.3
"""Blocks differ: the check must fit when its own are slower than those before."""
_CHECKED = 2
"""Settings that play the held-out part: the chosen one and the default."""


def least_budget_s() -> float:
    """The shortest budget that allows anything: two fleets start, two settings play a task, and two check one."""
    searched_s = START_S + 2 * BLOCK_GUESS_S
    checked_s = START_S + _CHECKED * _MARGIN * BLOCK_GUESS_S
    return (searched_s + checked_s + FINISH_S) / (1 - CURVE_SHARE)


class Budget:
    """A sweep's time, of which `spent_s` is told by the caller.

    Invariant: `search_left_s` is never more than what leaves the check two whole blocks, by what blocks have taken.

    Args:
        total_s: for all of it.
    """

    def __init__(self, total_s: float) -> None:
        self.total_s = total_s
        self._blocks: list[float] = []

    def note_block(self, took_s: float) -> None:
        """Calls placed at the same time were over after `took_s`."""
        self._blocks.append(took_s)

    @property
    def block_s(self) -> float:
        """How long one block of calls takes, by the mean of all so far."""
        return sum(self._blocks) / len(self._blocks) if self._blocks else BLOCK_GUESS_S

    @property
    def measured(self) -> bool:
        """Whether a block was played."""
        return bool(self._blocks)

    def search_left_s(self, spent_s: float) -> float:
        """For the search; 0 or less: choose now."""
        heldout_s = max(HELDOUT_SHARE * self.total_s, START_S + _CHECKED * _MARGIN * self.block_s)
        return self.total_s - FINISH_S - heldout_s - spent_s

    def check_left_s(self, spent_s: float) -> float:
        """For the check on the held-out part, once the search is over."""
        return self.total_s - FINISH_S - spent_s

    def rows(self, left_s: float, settings: int) -> int:
        """Blocks that each of `settings` can play in `left_s`."""
        return max(0, int(left_s / (settings * self.block_s)))
