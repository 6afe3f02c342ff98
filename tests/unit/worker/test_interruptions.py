"""What the caller's speech into the agent's voice was."""

from __future__ import annotations

import pytest

from voicefleet.worker.telemetry.interruptions import Interruptions
from voicefleet.worker.telemetry.observations import Interruption

pytestmark = pytest.mark.unit


def speaking() -> Interruptions:
    interruptions = Interruptions()
    assert interruptions.agent(True, 0.0) is None
    return interruptions


def test_a_barge_in_is_timed_whichever_is_told_first() -> None:
    first = speaking()
    assert first.caller(True, 5.0) is None
    assert first.reply_cut() is None
    assert first.agent(False, 5.5) == Interruption("barge_in", 0.5)
    second = speaking()
    second.caller(True, 5.0)
    assert second.agent(False, 5.5) is None
    assert second.reply_cut() == Interruption("barge_in", 0.5)
    assert second.reply_cut() is None, "told once"


def test_the_agent_speaks_on_through_a_backchannel() -> None:
    interruptions = speaking()
    interruptions.caller(True, 5.0)
    assert interruptions.caller(False, 5.3) == Interruption("backchannel")
    assert interruptions.agent(False, 9.0) is None


def test_a_pause_for_a_noise_is_false() -> None:
    interruptions = speaking()
    interruptions.caller(True, 5.0)
    interruptions.agent(False, 5.5)
    assert interruptions.caller(False, 5.6) is None
    assert interruptions.was_false() == Interruption("false")
    assert interruptions.agent(True, 7.0) is None


def test_turns_that_follow_each_other_are_no_overlap() -> None:
    interruptions = speaking()
    assert interruptions.agent(False, 3.0) is None
    assert interruptions.caller(True, 3.5) is None
    assert interruptions.caller(False, 4.0) is None
    assert interruptions.agent(True, 5.0) is None
