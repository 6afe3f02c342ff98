"""The E-model against vectors reckoned from ITU-T G.107 by others."""

from __future__ import annotations

import pytest

from voicefleet.contract.metrics.emodel import Codec, estimated_mos, mos, rating

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("rtt_ms", "jitter_ms", "loss_percent", "expected"),
    [(0, 0, 0, 4.41), (200, 20, 2, 4.22), (300, 30, 5, 3.60)],
)
def test_published_vectors(rtt_ms: float, jitter_ms: float, loss_percent: float, expected: float) -> None:
    assert estimated_mos(rtt_ms / 1000, jitter_ms / 1000, loss_percent / 100) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("r", "expected"), [(100, 4.5), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_the_classes_of_g_107_annex_b(r: float, expected: float) -> None:
    assert mos(r) == pytest.approx(expected, abs=0.01)


def test_each_impairment_makes_it_worse() -> None:
    well = rating(0.05, 0.005, 0.0)
    assert rating(0.6, 0.005, 0.0) < well
    assert rating(0.05, 0.1, 0.0) < well
    assert rating(0.05, 0.005, 0.05) < well
    assert rating(0.05, 0.005, 0.05, Codec(bpl=5)) < rating(0.05, 0.005, 0.05)
    assert estimated_mos(5.0, 1.0, 1.0) == 1.0
