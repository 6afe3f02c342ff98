"""Which of a team's agents can move to another worker, as far as their classes tell."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent, AgentTask
from livekit.agents.llm import ChatContext

from voicefleet.worker.agents import Assistant
from voicefleet.worker.check.moves import classes_of_the_team, how_it_moves

pytestmark = pytest.mark.unit


class Database:
    """Something that no other process has."""


class Plain(Agent):
    def __init__(self, name: str, *, chat_ctx: ChatContext | None = None, more: dict[str, Any] | None = None) -> None:
        super().__init__(instructions=name, chat_ctx=chat_ctx)


class Bound(Agent):
    def __init__(self, database: Database, name: str) -> None:
        super().__init__(instructions=name)


class Asks(AgentTask[bool]):
    pass


def test_the_first_agent_moves_whatever_it_is_given() -> None:
    assert how_it_moves(Bound, Bound).startswith("the next worker's run")


def test_another_one_moves_with_what_is_json() -> None:
    assert how_it_moves(Plain, Bound).startswith("made again")
    assert "if it is given database: Database, which is no JSON" in how_it_moves(Bound, Plain)


def test_a_task_is_waited_for_and_a_class_in_a_function_is_not_made_again() -> None:
    class Hidden(Agent):
        pass

    assert how_it_moves(Asks, Plain).startswith("a handoff waits for its end")
    assert how_it_moves(Hidden, Plain).startswith("cannot be made again")


def test_the_teams_classes_are_neither_the_sdks_nor_ours() -> None:
    found = classes_of_the_team()
    assert {Plain, Bound, Asks} <= set(found)
    assert Assistant not in found
