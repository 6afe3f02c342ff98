"""`voicefleet explain`, `status` and `doctor`: one state, its findings and exit codes, and what is said of a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.outcomes import region_view
from support.terminal import terminal, text_of
from voicefleet.client.explain import explain
from voicefleet.client.status import StatusOptions, costs_of, status
from voicefleet.contract.api import DecisionView, FindingView
from voicefleet.contract.decisions import DecisionInputs
from voicefleet.contract.errors import UsageError
from voicefleet.doctor.servers import check_servers
from voicefleet.doctor.settings import Surroundings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.http.api_client import ControllerClient

pytestmark = pytest.mark.unit

URL = "http://127.0.0.1:9"
CAUSE = "no worker is ready: 3 failed starts in a row; last: no module named my_agnt"
FINDING = FindingView(id="starts_fail", state="failing", cause=CAUSE, hint="Correct what the error names.")
DECISION = DecisionView(
    region="eu", at="2026-01-01T00:00:00Z", desired=1, reason="bounds", detail="at least 1", inputs=DecisionInputs()
)


def answers(state: str = "ok", *, refused: int = 0) -> dict[str, tuple[int, Any]]:
    """What a controller says to each path."""
    view = region_view("eu").model_copy(
        update={"status": state, "findings": [FINDING] if state == "failing" else [], "reason": CAUSE}
    )
    said: dict[str, tuple[int, Any]] = {
        "/v1/regions": (200, {"regions": [view.model_dump(mode="json")]}),
        "/v1/decisions": (200, {"decisions": [DECISION.model_dump(mode="json")]}),
        "/v1/history": (200, {"regions": {}}),
        "/v1/incidents": (404, {}),
        "/v1/canaries": (404, {}),
        "/v1/calls": (200, {"calls": [], "next": None}),
    }
    if refused:
        problem = {401: "no valid API key", 429: "too many attempts without a valid API key"}[refused]
        said = dict.fromkeys(said, (refused, {"error": problem, "hint": "Send `Authorization: Bearer SECRET`."}))
    return said | {"/healthz": (200, {"status": state})}


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the controller answer so."""
    monkeypatch.delenv("VOICEFLEET_CONTROLLER_KEY", raising=False)

    def saying(told: dict[str, tuple[int, Any]], key: str = "") -> None:
        async def ask(self: ControllerClient, method: str, path: str, *, json: Any = None) -> tuple[int, Any, float]:
            return *told[path.partition("?")[0]], 1.0

        monkeypatch.setattr(ControllerClient, "_ask", ask)
        monkeypatch.setenv("VOICEFLEET_CONTROLLER_KEY", key)

    return saying


def test_a_pool_that_is_well_says_so_and_why_it_has_its_size(say: Any) -> None:
    say(answers())
    console = terminal(120)
    assert explain("eu", URL, limit=5, json_path=None, console=console) == 0
    text = text_of(console)
    assert "eu is ok: 1 of 1 workers are ready" in text
    assert "desired 1: at least 1 (bounds)" in text


def test_a_pool_that_fails_is_explained_with_the_way_out_even_before_any_decision(say: Any, tmp_path: Path) -> None:
    say(answers("failing") | {"/v1/decisions": (200, {"decisions": []})})
    console, path = terminal(200), tmp_path / "explained.json"
    assert explain("eu", URL, limit=5, json_path=path, console=console) == 1
    text = text_of(console)
    assert f"eu is failing: {CAUSE}" in text
    assert "-> Correct what the error names." in text
    assert "Nothing was decided for it yet." in text
    assert json.loads(path.read_text())["findings"][0]["id"] == "starts_fail"


def test_a_pool_that_is_none_is_told_with_those_there_are(say: Any) -> None:
    say(answers())
    with pytest.raises(UsageError, match=r"Known: eu\."):
        explain("mars", URL, limit=5, json_path=None)


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("degraded", 1), ("unknown", 1), ("failing", 1)])
def test_status_ends_with_0_only_when_all_is_ok(say: Any, state: str, code: int) -> None:
    say(answers(state))
    assert status(StatusOptions(URL), json_path=None, console=terminal()) == code


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("failing", 1)])
def test_without_a_key_status_tells_how_the_fleet_is_and_what_a_key_would_add(say: Any, state: str, code: int) -> None:
    say(answers(state, refused=401))
    console = terminal()
    assert status(StatusOptions(URL), json_path=None, console=console) == code
    text = text_of(console)
    assert f"The fleet is {state}." in text
    assert "VOICEFLEET_CONTROLLER_KEY" in text
    assert "401" in text


def test_a_key_that_is_none_is_named_as_such(say: Any) -> None:
    say(answers(refused=401), key="wrong")
    with pytest.raises(UsageError, match=r"VOICEFLEET_CONTROLLER_KEY: the controller answered 401"):
        status(StatusOptions(URL), json_path=None)


def test_too_many_wrong_keys_are_named_as_such_and_not_as_a_controller_that_is_away(say: Any) -> None:
    say(answers(refused=429), key="wrong")
    with pytest.raises(UsageError, match="too many attempts without a valid API key"):
        status(StatusOptions(URL), json_path=None)


async def test_the_doctor_says_of_each_region_what_status_says(say: Any) -> None:
    around = Surroundings("", "", "", "", URL, "")
    say(answers("failing"))
    *_, region = [finding async for finding in check_servers(around, SystemClock())]
    assert (region.verdict, region.subject) == ("failure", "region eu")
    assert (region.found, region.hint) == (f"failing: {CAUSE}", "Correct what the error names.")
    say(answers(refused=401))
    *_, key = [finding async for finding in check_servers(around, SystemClock())]
    assert (key.verdict, "401" in key.found, "VOICEFLEET_CONTROLLER_KEY" in key.hint) == ("failure", True, True)


def test_costs_are_summed_by_currency() -> None:
    eu = region_view("eu").model_copy(update={"cost_per_hour": 1.2, "currency": "EUR"})
    us = region_view("us").model_copy(update={"cost_per_hour": 0.8, "currency": "EUR"})
    assert costs_of([region_view("ap")]) == ""
    assert costs_of([eu, region_view("ap")]) == "Cost of the running workers: 1.20 EUR an hour"
    assert costs_of([eu, us]) == "Cost of the running workers: 2.00 EUR an hour (eu 1.20 EUR, us 0.80 EUR)"
