"""A handoff waits for the call's work, up to a limit, and then what is cut off is named."""

from __future__ import annotations

import pytest

from voicefleet.worker.conversation.work import FORGOTTEN_AFTER_S, CallWork, Standing, patience_s

pytestmark = pytest.mark.unit


class Session:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.refusal = ""
        self.work = CallWork(limit_s=30.0)
        self.work.session_work = lambda: self.names
        self.work.refusal = lambda: self.refusal


def test_no_work_moves_at_once() -> None:
    assert Session().work.standing(0.0) == Standing(True)


def test_tools_marks_and_an_agent_that_cannot_be_made_again_hold_the_call() -> None:
    session = Session()
    session.names = ["tool book"]
    assert session.work.standing(0.0) == Standing(False, ("tool book",))
    session.names = []
    with session.work.busy("dialling"), session.work.busy("dialling"):
        assert session.work.standing(1.0) == Standing(False, ("dialling",))
    session.refusal = "agent Local cannot be made again"
    assert session.work.standing(2.0) == Standing(False, (session.refusal,))
    assert session.work.under_way() == (), "a refusal is no work: nothing of it is cut off"


def test_at_the_limit_it_moves_all_the_same_and_what_is_cut_is_named() -> None:
    session = Session()
    session.names = ["tool book"]
    assert not session.work.standing(0.0).may_move
    assert not session.work.standing(29.9).may_move
    assert session.work.standing(30.0) == Standing(True, ("tool book",))


def test_a_drain_that_was_called_off_does_not_shorten_the_next_one() -> None:
    session = Session()
    session.names = ["tool book"]
    session.work.standing(0.0)
    assert not session.work.standing(FORGOTTEN_AFTER_S + 1).may_move


def test_a_mark_ends_with_its_block_also_when_that_raises_and_each_change_is_told() -> None:
    session, told = Session(), list[tuple[str, ...]]()
    session.work.changed = lambda: told.append(session.work.under_way())
    with pytest.raises(RuntimeError), session.work.busy("booking"):
        raise RuntimeError
    assert told == [("booking",), ()]


def test_patience_leaves_time_before_the_drain_s_end() -> None:
    assert patience_s(3600) == 3580
    assert patience_s(20) == 10
