"""How far calls outgrew the slots that were ready for them, and the margin that follows.

No model predicts everything: rates jump, callers come in crowds, the past misleads. What counts in the end is the share
of calls that found every slot taken. So every call is booked under the shortage it met: calls beyond the ready slots,
in standard deviations of the calls' own chance (not of the forecast: a burst widens that), as it would have been
without a margin. The margin is the least one under which
no more calls would have waited than are allowed: a quantile of what happened (conformal prediction, Vovk et al. 2005),
which needs no model at all. One burst that hits an unprepared pool therefore teaches how large the next may be.

What happened is a sample, and calls wait many at once. So the margin leaves room for one standard error of the number
that waits, as it is when they come in crowds of the sizes met: a few large crowds say less than many small ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

STEP = 0.25
"""Width of a bin, in standard deviations."""
BINS = 24
MOST = STEP * BINS
"""Larger shortages are outages, and no margin makes up for those."""
KEPT_CALLS = 50_000.0
PRIOR_CALLS = 5_000.0
"""Calls without a shortage that a pool without a past is credited with."""


@dataclass(frozen=True, slots=True)
class ShortageEstimator:
    """Attributes:
    met: calls by the shortage they met, bin by bin, faded; shape ``(BINS,)``.
    calls: all calls, faded alike.
    margin: what is kept beyond the forecast, in such standard deviations.
    before: the same at the time the workers that are ready now were asked for.
    crowd: calls so far that met the shortage that goes on; 0: none does.
    squares: sum over crowds of their size squared, faded alike.
    """

    met: tuple[float, ...] = (0.0,) * BINS
    calls: float = 0.0
    margin: float = 0.0
    before: float = 0.0
    crowd: float = 0.0
    squares: float = 0.0

    def learn(self, calls: int, over: int, sigma: float) -> ShortageEstimator:
        """`calls` arrived while `over` more callers than ready slots were there (negative: as many slots free).

        Args:
            sigma: standard deviation of the calls by their own chance alone, > 0.
        """
        total = self.calls + calls
        met, crowd, squares = self.met, 0.0, self.squares
        # Without the margin there would have been so much less.
        place = over / sigma + min(self.margin, self.before)
        if place >= 0.0:
            bin_ = min(int(place / STEP), BINS - 1)
            met = (*met[:bin_], met[bin_] + calls, *met[bin_ + 1 :])
            crowd = self.crowd + calls
            squares += crowd**2 - self.crowd**2
        if total > 1.01 * KEPT_CALLS:
            fade = KEPT_CALLS / total
            met, total, squares = tuple([n * fade for n in met]), KEPT_CALLS, squares * fade
        return ShortageEstimator(met, total, self.margin, self.before, crowd, squares)

    def settle(self, allowed: float) -> ShortageEstimator:
        """The same with a new margin, for `allowed`, the share of calls that may wait.

        To be called no more often than workers take to start: what was in force until then counts as `before`.
        """
        budget = self._aim(allowed * (PRIOR_CALLS + self.calls))
        margin = 0.0
        for place in range(BINS - 1, -1, -1):
            if self.met[place] > budget:
                # Within the bin as far as the budget goes.
                margin = (place + 1 - budget / self.met[place]) * STEP
                break
            budget -= self.met[place]
        return ShortageEstimator(self.met, self.calls, margin, self.margin, self.crowd, self.squares)

    def _aim(self, most: float) -> float:
        """How many waits to aim at so that one standard error more is `most`.

        A call that waits is in a crowd of `size` on average, so that n of them have a variance of ``n * size``; the
        result solves ``n + sqrt(n * size) = most``.
        """
        size = self.squares / max(sum(self.met), 1.0)
        return (sqrt(most + size / 4) - sqrt(size) / 2) ** 2
