"""Stream samples to time: lateness must not show, drift and holes must wash out."""

from __future__ import annotations

import numpy as np
import pytest

from voicefleet.speech.clock import PlayoutClock, StreamClock

pytestmark = pytest.mark.unit

RATE = 16_000
FRAME = 800  # 50 ms


def test_late_and_bursty_arrivals_get_the_times_of_punctual_ones() -> None:
    rng = np.random.default_rng(3)
    clock = StreamClock(RATE)
    worst_s = 0.0
    arrival_s = 0.0
    for n in range(2000):
        ends_s = (n + 1) * FRAME / RATE
        late_s = 0.0 if n % 7 == 0 else float(rng.exponential(0.02))
        arrival_s = max(arrival_s, 50.0 + ends_s + late_s)  # frames never overtake each other
        got_s = clock.arrived(FRAME, arrival_s)
        if n >= 20:
            worst_s = max(worst_s, abs(got_s - (50.0 + n * FRAME / RATE)))
    assert worst_s < 0.005


def test_a_stall_of_the_event_loop_moves_nothing() -> None:
    clock = StreamClock(RATE)
    for n in range(40):
        due_s = (n + 1) * 0.05
        now_s = 1.5 if 20 <= n < 30 else due_s  # half a second of frames comes at once
        assert clock.arrived(FRAME, max(now_s, due_s)) == pytest.approx(n * 0.05, abs=1e-9)


def test_after_a_hole_the_times_are_right_again_within_the_window() -> None:
    clock = StreamClock(RATE, window_s=1.0)
    hole_s = 0.4
    for n in range(20):
        clock.arrived(FRAME, (n + 1) * 0.05)
    errors_s = [clock.arrived(FRAME, (n + 1) * 0.05 + hole_s) - (n * 0.05 + hole_s) for n in range(20, 60)]
    assert errors_s[0] == pytest.approx(-hole_s)
    assert errors_s[-1] == pytest.approx(0.0, abs=1e-9)
    assert sum(abs(e) > 1e-6 for e in errors_s) * 0.05 <= 1.0


def test_a_stream_clock_that_drifts_is_followed() -> None:
    clock = StreamClock(RATE)
    step_s = 0.05 * (1 + 100e-6)
    for n in range(5000):
        got_s = clock.arrived(FRAME, (n + 1) * step_s)
    assert got_s == pytest.approx(4999 * step_s, abs=0.001)


def test_playout_follows_the_queue_and_restarts_when_it_ran_dry() -> None:
    clock = PlayoutClock(RATE)
    assert clock.push(FRAME, 10.0) == 10.0
    assert clock.push(FRAME, 10.01) == pytest.approx(10.05)
    assert clock.end_s == pytest.approx(10.1)
    assert clock.push(FRAME, 10.3) == 10.3
