"""What the caller's speech into the agent's voice was."""

from __future__ import annotations

import pytest

from voicefleet.worker.telemetry.interruptions import Overlap, Overlaps

pytestmark = pytest.mark.unit


def speaking() -> Overlaps:
    overlaps = Overlaps()
    assert overlaps.agent(True, 0.0) is None
    return overlaps


def test_a_barge_in_is_timed_whichever_is_told_first() -> None:
    first = speaking()
    assert first.caller(True, 5.0) is None
    assert first.reply_cut() is None
    assert first.agent(False, 5.5) == Overlap("barge_in", 0.5)
    second = speaking()
    second.caller(True, 5.0)
    assert second.agent(False, 5.5) is None
    assert second.reply_cut() == Overlap("barge_in", 0.5)
    assert second.reply_cut() is None, "told once"


def test_the_agent_speaks_on_through_a_backchannel() -> None:
    overlaps = speaking()
    overlaps.caller(True, 5.0)
    assert overlaps.caller(False, 5.3) == Overlap("backchannel")
    assert overlaps.agent(False, 9.0) is None


def test_a_pause_for_a_noise_is_false() -> None:
    overlaps = speaking()
    overlaps.caller(True, 5.0)
    overlaps.agent(False, 5.5)
    assert overlaps.caller(False, 5.6) is None
    assert overlaps.was_false() == Overlap("false")
    assert overlaps.agent(True, 7.0) is None


def test_turns_that_follow_each_other_are_no_overlap() -> None:
    overlaps = speaking()
    assert overlaps.agent(False, 3.0) is None
    assert overlaps.caller(True, 3.5) is None
    assert overlaps.caller(False, 4.0) is None
    assert overlaps.agent(True, 5.0) is None
