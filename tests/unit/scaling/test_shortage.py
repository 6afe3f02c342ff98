"""The margin that waits teach."""

from __future__ import annotations

import pytest

from voicefleet.scaling.estimators import ShortageEstimator
from voicefleet.scaling.estimators.shortage import BINS, KEPT_CALLS, MOST, PRIOR_CALLS, STEP

pytestmark = pytest.mark.unit

ALLOWED = 0.001


def calm(law: ShortageEstimator, calls: int) -> ShortageEstimator:
    """After `calls` that found slots free."""
    for _ in range(calls // 100):
        law = law.learn(100, -20, 10.0)
    return law


def test_calls_that_find_slots_free_teach_no_margin() -> None:
    law = calm(ShortageEstimator(), 20_000).settle(ALLOWED)
    assert law.margin == 0.0
    assert law.calls == 20_000


def test_few_waits_are_within_what_is_allowed() -> None:
    law = calm(ShortageEstimator(), 20_000).learn(10, 5, 10.0)
    assert ALLOWED * (PRIOR_CALLS + 20_000) > 10 + 10, "ten at once, and their standard error"
    assert law.settle(ALLOWED).margin == 0.0


def test_one_crowd_says_less_than_many_who_waited_alone() -> None:
    """Eighteen of 25,000 would have waited, of 25 that may: by themselves that is well, all at once it may be luck."""
    alone = calm(ShortageEstimator(), 10_000)
    for _ in range(18):
        alone = calm(alone.learn(1, 5, 10.0), 500)
    together = calm(ShortageEstimator(), 19_000).learn(18, 5, 10.0)
    assert alone.calls == pytest.approx(together.calls, rel=0.01)
    assert alone.settle(ALLOWED).margin == 0.0
    assert together.settle(ALLOWED).margin > 0.0
    # Over several looks it is one crowd as well.
    slowly = calm(ShortageEstimator(), 19_000)
    for _ in range(6):
        slowly = slowly.learn(3, 5, 10.0)
    assert slowly.settle(ALLOWED).margin == together.settle(ALLOWED).margin


def test_one_burst_teaches_how_large_the_next_may_be() -> None:
    """A hundred calls that met a shortage of 0 to 30 slots: the margin covers nearly all of it, in one go."""
    law = calm(ShortageEstimator(), 5_000)
    for over in range(0, 30, 3):
        law = law.learn(10, over, 10.0)
    margin = law.settle(ALLOWED).margin
    assert 2.0 < margin <= 2.7 + STEP


def test_the_margin_itself_does_not_hide_the_shortage() -> None:
    """With a margin of 2 a burst as large as before is just met: over = 0. The margin stays, it does not grow."""
    law = calm(ShortageEstimator(), 5_000)
    for _ in range(5):
        law = law.learn(20, 20, 10.0)
    law = law.settle(ALLOWED).settle(ALLOWED)
    before = law.margin
    assert before == pytest.approx(2.0, abs=STEP)
    for _ in range(5):
        law = law.learn(20, 0, 10.0)
    assert law.settle(ALLOWED).margin == pytest.approx(before, abs=STEP)


def test_while_a_burst_lasts_a_new_margin_does_not_feed_itself() -> None:
    """The workers of a margin just set are not there yet: what is met meanwhile is not larger for it."""
    law = calm(ShortageEstimator(), 5_000).learn(50, 20, 10.0).settle(ALLOWED)
    assert law.margin > 1.0
    assert law.before == 0.0
    again = law.learn(50, 20, 10.0).settle(ALLOWED)
    assert again.margin == pytest.approx(law.margin, abs=STEP)


def test_it_fades_when_no_burst_comes_any_more() -> None:
    law = calm(ShortageEstimator(), 5_000).learn(60, 20, 10.0).settle(ALLOWED)
    assert law.margin > 0
    law = calm(law, 400_000).settle(ALLOWED)
    assert law.margin == 0.0
    assert law.calls <= 1.01 * KEPT_CALLS


def test_outages_are_bounded() -> None:
    law = calm(ShortageEstimator(), 1_000).learn(5_000, 10_000, 1.0).settle(ALLOWED)
    assert law.margin <= MOST
    assert len(law.met) == BINS
