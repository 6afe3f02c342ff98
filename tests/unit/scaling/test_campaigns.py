"""Announced rises of the rate, before they begin and while they run."""

from __future__ import annotations

import pytest

from voicefleet.scaling.campaigns import announced
from voicefleet.scaling.estimators import ArrivalEstimator
from voicefleet.scaling.observation import Campaign

pytestmark = pytest.mark.unit

HORIZON_S = 2.0
CAMPAIGN = Campaign(start_s=1_000.0, end_s=1_060.0, rate=1.0)


@pytest.mark.parametrize(
    ("now_s", "counts"),
    [
        (987.9, False),
        (989.0, True),
        (999.0, True),
        (1_059.0, True),
        (1_060.0, False),
    ],
)
def test_a_campaign_counts_some_time_before_it_begins_however_soon_workers_start(now_s: float, counts: bool) -> None:
    found = announced([CAMPAIGN], now_s, (HORIZON_S,), ArrivalEstimator())
    assert (found != () and found[0] > 0) is counts
