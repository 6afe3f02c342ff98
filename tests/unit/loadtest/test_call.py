"""One call: where its ticket comes from, how it is told, and what makes it bad."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from livekit import api

from support.outcomes import APOLOGISED, CUT, GOOD, SILENT, UNHEARD
from voicefleet.callers.outcome import summary
from voicefleet.callers.settings import LiveKitKeys, livekit_keys
from voicefleet.callers.tickets import call_request, own_ticket
from voicefleet.callers.verdict import counts_line, faults, shortcomings
from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.loadtest.command_call import CallOptions
from voicefleet.loadtest.command_loadtest import LoadOptions
from voicefleet.loadtest.event_printer import EventPrinter
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.speech.clips import load_utterances

pytestmark = pytest.mark.unit

KEYS = LiveKitKeys("key", "geheim" * 6)


def test_our_own_token_asks_for_the_agent_in_a_room_of_its_own() -> None:
    ticket = own_ticket("ws://h:1", KEYS, agent_name="mine", region="eu", tier="fast", language="de-AT")
    claims = api.TokenVerifier("key", "geheim" * 6).verify(ticket.token)
    assert claims.video is not None
    assert claims.room_config is not None
    assert (claims.video.room_join, claims.video.room) == (True, ticket.room)
    (agent,) = claims.room_config.agents
    assert (agent.agent_name, DispatchMetadata.decode(agent.metadata).order) == (
        "mine",
        CallOrder("fast", language="de-AT"),
    )
    assert ticket.room != own_ticket("ws://h:1", KEYS, agent_name="mine", region=None, tier=None).room
    assert ticket.token not in repr(ticket)


@pytest.mark.parametrize("url", ["nope", "ftp://h", "ws://", "ws://h:port", "ws://h:99999"])
def test_a_livekit_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="--livekit-url"):
        own_ticket(url, KEYS, agent_name="a", region=None, tier=None)


def test_our_own_token_needs_key_and_secret() -> None:
    with pytest.raises(ConfigError, match="LIVEKIT_API_SECRET"):
        own_ticket("ws://h", LiveKitKeys("k"), agent_name="a", region=None, tier=None)


def test_the_controllers_address_is_the_option_else_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_CONTROLLER_URL", "http://there:1")
    monkeypatch.setenv("VOICEFLEET_CONTROLLER_KEY", "geheim")
    access = controller_access(None)
    assert (access.url, access.key) == ("http://there:1", "geheim")
    assert "geheim" not in repr(access)
    assert controller_access("https://here").url == "https://here"
    monkeypatch.delenv("VOICEFLEET_CONTROLLER_URL")
    with pytest.raises(ConfigError, match="VOICEFLEET_CONTROLLER_URL"):
        controller_access(None)


def test_livekit_keys_are_the_environments_and_stay_out_of_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "geheim")
    assert livekit_keys() == LiveKitKeys("key", "geheim")
    assert "geheim" not in repr(livekit_keys())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UnknownStateError("the controller did not answer"), "--controller = 'http://c:1'.*did not answer"),
        (UnreachableError("no valid API key", field="POST", value=401, hint="x"), "VOICEFLEET_CONTROLLER_KEY"),
        (UnreachableError("full", field="POST /v1/calls", value=503, hint="Wait."), "POST /v1/calls = 503: full"),
    ],
)
async def test_what_the_controller_fails_with_names_the_address_or_the_question(error: Exception, says: str) -> None:
    async def question() -> None:
        raise error

    with pytest.raises(UnreachableError, match=says):
        await ask("http://c:1", question())


async def test_an_answer_that_is_no_controllers() -> None:
    async def question() -> CallTicket:
        return CallTicket.model_validate({"hello": "world"})

    asked: Awaitable[CallTicket] = question()
    with pytest.raises(UnreachableError, match="no voicefleet controller"):
        await ask("http://c:1", asked)


def test_names_that_no_region_or_tier_has() -> None:
    assert call_request("eu", "fast").region == "eu"
    for region, tier, language in (("Not A Region", None, None), (None, "??", None), (None, None, "German!")):
        with pytest.raises(ConfigError, match="command line"):
            call_request(region, tier, language)
    with pytest.raises(ConfigError, match="agent"):
        call_request(None, None, agent="No Agent!")


def test_an_agent_is_a_controllers_to_choose() -> None:
    assert CallOptions(agent="desk").agent == "desk"
    with pytest.raises(ConfigError, match=r"--agent = 'desk': is chosen by a controller.*--agent-name"):
        CallOptions(livekit_url="ws://l", agent="desk")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (CallOptions, {"turns": 13}),
        (CallOptions, {"turns": -1}),
        (CallOptions, {"controller": "http://c", "livekit_url": "ws://l"}),
        (LoadOptions, {"calls": 0}),
        (LoadOptions, {"rate": float("nan")}),
        (LoadOptions, {"turns": 0}),
        (LoadOptions, {"seed": -1}),
        (LoadOptions, {"patience_s": 1.0}),
    ],
)
def test_options_out_of_bounds(options: type, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="--"):
        options(**wrong)


def test_a_call_is_told_as_it_happens() -> None:
    lines: list[str] = []
    questions = load_utterances()[:2]
    tell = EventPrinter(questions, lines.append, SystemClock())
    said_s = [(q.speech_end_sample - q.speech_start_sample) / q.sample_rate for q in questions]
    tell("c", "joined", 0.0, {})
    tell("c", "agent_joined", 0.2, {})
    tell("c", "agent_audio", 0.3, {})
    tell("c", "greeting", 0.8, {})
    tell("c", "asked", 3.0, {})
    tell("c", "reply", 3.0 + said_s[0] + 0.4, {})
    tell("c", "asked", 9.0, {})
    tell("c", "cut_in", 9.1, {})
    tell("c", "reply", 9.0 + said_s[1] + 0.4, {})
    tell("c", "hangup", 14.0, {"reason": "done"})
    tell("c", "agent_left", 14.1, {})
    told = [line.partition(" s  ")[2] for line in lines]
    assert told[0].startswith("joined after 0.0")
    assert told[1:] == [
        "agent there after 0.20 s",
        "greeting after 0.80 s",
        f'asks: "{questions[0].text}"',
        "answer, TTFA 0.40 s",
        f'asks: "{questions[1].text}"',
        "the agent spoke over the question",
        "answer",
        "hung up (done)",
    ]


def test_what_makes_a_call_bad() -> None:
    assert faults(GOOD, 2) == []
    assert faults(CUT, 2) == ["it was cut"]
    assert faults(SILENT, 2) == [
        "the caller was left in silence for more than 10 s",
        "1 of 2 questions got no answer in time",
    ]
    assert faults(UNHEARD, 2)[0] == "no agent was heard"
    assert faults(replace(GOOD, error="call: no audio"), 2) == ["it failed: call: no audio"]
    assert faults(GOOD, 3) == ["only 2 of 3 questions were asked"]
    assert faults(APOLOGISED, 2) == [
        "an apology was heard in place of the greeting",
        "2 of 2 questions got an apology instead of an answer",
    ]


def test_a_run_of_apologies_alone_has_not_one_answer() -> None:
    result = summary([APOLOGISED, APOLOGISED])
    assert counts_line(result) == (
        "calls: 0 of 2 answered, 0 silent, 0 cut; turns: 0 of 4 answered, 4 apologies instead"
    )
    assert shortcomings(result) == [
        "2 of 2 callers never got an answer",
        "4 of 4 questions got an apology instead of an answer",
    ]
