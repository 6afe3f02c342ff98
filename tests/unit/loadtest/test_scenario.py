"""Scenarios: files, what options change in them, and surroundings that are found to be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.outcomes import FAILED, GOOD, UNHEARD
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import PlaceElsewhere
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, UnreachableError, UsageError
from voicefleet.loadtest.command_loadtest import LoadOptions
from voicefleet.loadtest.options import changed, target_fields, target_of
from voicefleet.loadtest.scenario import Scenario, load_scenario
from voicefleet.loadtest.surroundings import Surroundings

pytestmark = pytest.mark.unit

SMOKE = """
arrivals: {shape: spike, rate: 0.5, duration_s: 60}
callers: {turns: 2, patience_s: 30}
target:
  token_url: https://staging/token
  token_headers: {Authorization: STAGING_TOKEN}
  agent_name: desk
seed: 7
fail_if: ["ttfa_p95>1.0", "calls_failed_ratio>2%"]
"""


def scenario(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "smoke.yaml"
    file.write_text(text)
    return load_scenario(file)


def test_a_scenario_is_read_and_a_trace_is_found_beside_it(tmp_path: Path) -> None:
    smoke = scenario(tmp_path, SMOKE)
    assert (smoke.callers.turns, smoke.seed, smoke.callers.behavior.patience_s) == (2, 7, 30)
    assert [condition.bound for condition in smoke.conditions] == [1.0, 0.02]
    replayed = scenario(tmp_path, "arrivals: {shape: trace, file: calls.csv}")
    assert replayed.arrivals.file == tmp_path / "calls.csv"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arrivals: {rate: 1, calls: 2}\ncaller: {turns: 2}", "caller: no such field.*callers"),
        ("arrivals: {rate: 1, calls: 2}\ncallers: {turn: 2}", r"callers\.turn: no such field.*turns"),
        ("arrivals: {rate: 1, cals: 2}", r"arrivals\.cals: no such field"),
        ("arrivals: {shape: spke, rate: 1, duration_s: 2}", r"arrivals\.shape = 'spke'.*spike"),
        ("callers: {turns: 2}", "arrivals: is missing"),
        ("arrivals: {rate: 1, calls: 2}\nfail_if: [tfa_p95>1]", "fail_if = 'tfa_p95>1'.*ttfa_p95"),
        ("arrivals: {rate: 1, calls: 2}\ncallers: {patience_s: 5}", r"callers\.patience_s = 5.0"),
        ("arrivals: {rate: 1, calls: 2}\ntarget: {controller: a, livekit_url: b}", "two addresses"),
        ("arrivals: {rate: 1, calls: 2}\ntarget: {livekit_url: b, agent: x}", r"target\.agent = 'x'"),
        ("[1]", "is no scenario"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_that_is_none_is_told_with_the_path_of_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){says}"):
        scenario(tmp_path, text)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_scenario(Path("none.yaml"))


def test_options_change_a_file_and_an_address_replaces_that_of_another_kind(tmp_path: Path) -> None:
    smoke = scenario(tmp_path, SMOKE)
    given = target_fields(None, "ws://l:1", None, None, None, ("eu",), None, None)
    made = changed(smoke, given, seed=None, fail_if=("calls<1",), source="smoke.yaml")
    assert made.target.livekit_url == "ws://l:1"
    assert (made.target.token_url, made.target.token_headers, made.target.agent_name) == (None, {}, "desk")
    assert (made.seed, made.fail_if) == (7, (*smoke.fail_if, "calls<1"))
    assert changed(smoke, {}, seed=3, fail_if=(), source="x").seed == 3


def test_a_header_names_a_variable_and_a_secret_that_was_written_out_is_not_shown() -> None:
    def fields(*headers: str) -> dict[str, Any]:
        return target_fields(None, None, None, "http://t", headers, (), None, None)

    assert fields("Authorization=TOKEN", "X-Team = TEAM")["token_headers"] == {
        "Authorization": "TOKEN",
        "X-Team": "TEAM",
    }
    for wrong in ("Authorization: Bearer geheim", "Authorization=Bearer geheim"):
        with pytest.raises(ConfigError, match="HEADER=VARIABLE") as error:
            fields(wrong)
        assert "geheim" not in str(error.value) or ":" in wrong
    with pytest.raises(ConfigError, match="token_headers"):
        target_of(target_fields("http://c", None, None, None, ("A=B",), (), None, None))


def test_the_options_of_the_plain_command_are_a_scenario() -> None:
    made = LoadOptions(calls=7, rate=2, turns=1, seed=9, patience_s=20, fail_if=("calls<1",)).scenario
    assert (made.arrivals.offsets(made.seed).size, made.callers.turns, made.callers.patience_s) == (7, 1, 20)
    with pytest.raises(ConfigError, match="--fail-if"):
        LoadOptions(fail_if=("call<1",))


class Source:
    field, address, read_call = "--livekit-url", "ws://l", None
    elsewhere: PlaceElsewhere | None = None

    def __init__(self, *, sends_agents: bool = False, refusal: UsageError | None = None) -> None:
        self.sends_agents, self.refusal = sends_agents, refusal

    async def place(self, call: int, patience_s: float) -> CallTicket:
        raise NotImplementedError


NOT_JOINED = replace(FAILED, error="connect: ConnectError('limits exceeded')")


def judged(source: Source, calls: int, *outcomes: CallOutcome) -> list[str]:
    surroundings = Surroundings(source, calls)
    return [str(surroundings.wrong(outcome) or "") for outcome in outcomes]


def test_calls_that_nobody_could_join_are_wrong_surroundings_and_no_result() -> None:
    found = judged(Source(), 9, NOT_JOINED, NOT_JOINED, NOT_JOINED)
    assert found[:2] == ["", ""]
    assert "limits exceeded" in found[2]
    assert judged(Source(), 1, NOT_JOINED)[0].startswith("--livekit-url = 'ws://l'")
    assert judged(Source(), 9, NOT_JOINED, NOT_JOINED, GOOD, NOT_JOINED, NOT_JOINED)[-1] == ""
    refused = UnreachableError("no", field="--token-url", hint="x")
    assert judged(Source(refusal=refused), 1, FAILED) == [str(refused)]
    assert judged(Source(sends_agents=True), 1, FAILED) == [""], "a controller that refuses is a result"


def test_an_agent_that_never_comes_is_asked_for_by_a_wrong_name_unless_a_controller_sends_it() -> None:
    alone = replace(UNHEARD, connect_s=0.1)
    assert "no agent came" in judged(Source(), 9, alone, alone, alone)[-1]
    assert judged(Source(), 9, alone, GOOD, alone, alone)[-1] == ""
    assert judged(Source(sends_agents=True), 9, alone, alone, alone)[-1] == ""
