"""Which agent has a call is stored so that another process makes the same one; what it cannot make it refuses."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit.agents import Agent, AgentTask
from livekit.agents.llm import ChatContext, function_tool

from voicefleet.contract.calls import CallOrder
from voicefleet.worker.call import CallContext
from voicefleet.worker.conversation.agent_recipe import Given, RecipeError, make_again, recipe_of, remember_arguments
from voicefleet.worker.conversation.current_agent import CurrentAgent
from voicefleet.worker.conversation.transcript import Loss

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True, scope="module")
def remembering() -> None:
    """For good: Python does not give a class back what it had before a `__new__` of its own."""
    remember_arguments()


class Billing(Agent):
    def __init__(
        self, plan: str, *, limits: list[int], call: Any = None, chat_ctx: ChatContext | None = None, tts: Any = None
    ) -> None:
        super().__init__(instructions=f"Bill {plan}.", chat_ctx=chat_ctx or ChatContext.empty())
        self.plan, self.limits, self.call, self.kept = plan, limits, call, {"asked": 0}


class Consent(AgentTask[bool]):
    def __init__(self, question: str) -> None:
        super().__init__(instructions="Ask.")
        self.question = question


@function_tool
async def look_up(name: str) -> str:
    """Look it up."""
    return name


def call() -> CallContext:
    return CallContext("eu", "room", "fast", CallOrder(), "w")


def through_redis(recipe: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json.dumps(recipe))
    return again


def test_an_agent_is_made_again_with_its_arguments_and_with_what_the_next_job_has_of_its_own() -> None:
    here, there = call(), call()
    agent = Billing("gold", limits=[1, 2], call=here, chat_ctx=ChatContext.empty())
    recipe = through_redis(recipe_of(agent, Given(call=here)))
    again = make_again(recipe, Given(call=there))
    assert type(again) is Billing
    assert (again.plan, again.limits, again.call) == ("gold", [1, 2], there)
    assert again.instructions == agent.instructions


def test_a_plain_agent_is_made_again_with_its_function_tools() -> None:
    recipe = through_redis(recipe_of(Agent(instructions="Help.", tools=[look_up]), Given()))
    again = make_again(recipe, Given())
    assert type(again) is Agent
    assert again.tools == [look_up]


async def test_an_agent_task_is_made_again_too() -> None:
    again = make_again(through_redis(recipe_of(Consent("May we record?"), Given())), Given())
    assert isinstance(again, Consent)
    assert again.question == "May we record?"


def test_what_cannot_be_made_again_is_refused_and_no_value_is_told() -> None:
    class Local(Agent):
        pass

    with pytest.raises(RecipeError, match="not of a module that can be imported"):
        recipe_of(Local(instructions=""), Given())
    with pytest.raises(RecipeError, match="argument tts is a object, which is no JSON"):
        recipe_of(Billing("secret", limits=[], tts=object()), Given())
    with pytest.raises(RecipeError, match="argument limits is a dict"):
        recipe_of(Billing("p", limits={1: 2}), Given())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"class": "os:system", "args": [{"json": "true"}]}, "no Agent"),
        ({"class": "subprocess:Popen"}, "no Agent"),
        ({"class": "antigravity:fly"}, "not imported here"),
        ({"class": f"{__name__}:Gone"}, "is not there"),
        ({"class": f"{__name__}:Billing", "args": [{"json": "p"}]}, "raised TypeError"),
        ({"class": f"{__name__}:Billing", "args": [{"tool": "os:system"}]}, "does not know"),
        ({"class": f"{__name__}:Billing", "args": [{"given": "clock"}]}, "which no job has"),
        ({}, "is not"),
    ],
)
def test_what_stands_in_redis_makes_agents_alone(recipe: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        make_again(recipe, Given())
    assert "antigravity" not in sys.modules


@dataclass
class Userdata:
    agents: dict[str, Agent] = field(default_factory=dict)


def test_an_agent_that_each_job_s_userdata_has_is_taken_from_there() -> None:
    """The shape of LiveKit's restaurant example: all agents are made first, with whatever arguments."""
    here = Userdata({"billing": Billing("p", limits=[], tts=object()), "other": Agent(instructions="")})
    there = Userdata({"billing": Billing("p", limits=[], tts=object()), "other": Agent(instructions="")})
    recipe = through_redis(recipe_of(here.agents["billing"], Given(userdata=here)))
    assert make_again(recipe, Given(userdata=there)) is there.agents["billing"]
    with pytest.raises(RecipeError, match="not just one Billing"):
        make_again(recipe, Given(userdata=Userdata()))


class Job:
    """One job's view: `has` is the agent that has the call."""

    def __init__(self) -> None:
        self.has: Agent | None = None
        self.enters = False
        self.lost: list[Loss] = []
        self.call = call()
        self.current = CurrentAgent(
            lambda: self.has, lambda: self.enters, lambda: Given(call=self.call), "", self.lost.append
        )

    def taking_up(self, first: Agent, stored: dict[str, Any]) -> Agent:
        self.current.begin(first)
        return self.current.choose(stored)


def test_the_first_agent_needs_no_recipe_and_keeps_what_it_kept() -> None:
    old, new, first = Job(), Job(), Agent(instructions="First.")
    vars(first)["kept"] = {"table": 4}
    assert old.current.stored() == {}
    old.current.begin(first)
    old.has = first
    assert old.current.stored() == {"kept": {"table": 4}}
    again = new.taking_up(Agent(instructions="First."), old.current.stored())
    assert vars(again)["kept"] == {"table": 4}
    assert old.current.refusal() == ""


def test_another_agent_is_made_again_with_what_it_kept() -> None:
    old, new = Job(), Job()
    old.current.begin(Agent(instructions="First."))
    old.has = Billing("gold", limits=[], call=old.call)
    old.has.kept["asked"] = 2
    again = new.taking_up(Agent(instructions="First."), through_redis(old.current.stored()))
    assert isinstance(again, Billing)
    assert again.kept == {"asked": 2}
    assert again.call is new.call
    assert new.lost == []


def test_an_agent_that_cannot_be_made_again_refuses_and_leaves_the_call_to_the_first() -> None:
    old, new = Job(), Job()
    old.current.begin(Agent(instructions="First."))
    old.has = Billing("gold", limits=[], tts=object())
    assert old.current.refusal() == "agent Billing cannot be made again: argument tts is a object, which is no JSON"
    first = Agent(instructions="First.")
    assert new.taking_up(first, through_redis(old.current.stored())) is first
    assert "kept" not in vars(first)
    assert new.lost == [Loss.AGENT_REFUSED]


def test_what_the_agent_keeps_in_the_call_s_context_is_stored_once_and_what_is_no_json_is_named() -> None:
    job, first = Job(), Agent(instructions="First.")
    job.current.begin(first)
    job.has = first
    job.call.kept["table"] = 4
    vars(first)["kept"] = job.call.kept
    assert job.current.stored() == {}
    vars(first)["kept"] = {"lock": object()}
    assert job.current.stored() == {}
    assert job.lost == [Loss.KEPT_REFUSED]
