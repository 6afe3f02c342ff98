"""Who is a caller, and which of several the agent listens to."""

from __future__ import annotations

import dataclasses

import pytest

from voicefleet.contract.callers import Presence, callers, choose_caller, is_caller, unknown_role

pytestmark = pytest.mark.unit

ANN = Presence("ann", "STANDARD", joined_ms=20)


@pytest.mark.parametrize("kind", ["STANDARD", "SIP", "CONNECTOR"])
def test_people_phones_and_connectors_are_callers(kind: str) -> None:
    assert is_caller(Presence("ann", kind))


@pytest.mark.parametrize("kind", ["AGENT", "EGRESS", "INGRESS", "BRIDGE", "", "standard"])
def test_agents_recorders_and_streams_are_none(kind: str) -> None:
    assert not is_caller(Presence("x", kind))


@pytest.mark.parametrize(
    ("change", "caller"),
    [
        ({"may_publish": False}, False),
        ({"sources": frozenset({"camera"})}, False),
        ({"sources": frozenset({"camera", "microphone"})}, True),
        ({"role": "observer"}, False),
        ({"role": "caller"}, True),
        ({"role": "caller", "may_publish": False}, False),
        ({"role": "obsever"}, True),
        ({"speaks_for": "agent-AJ_1"}, False),
    ],
)
def test_who_may_not_be_heard_or_observes_is_none(change: dict[str, object], caller: bool) -> None:
    assert is_caller(dataclasses.replace(ANN, **change)) is caller  # type: ignore[arg-type]


def test_a_role_that_does_not_exist_is_told() -> None:
    told = {role: unknown_role(dataclasses.replace(ANN, role=role)) for role in ("", "observer", "caller", "obsever")}
    assert told == {"": False, "observer": False, "caller": False, "obsever": True}


def test_the_agent_listens_to_whom_it_was_called_for_else_to_whom_it_heard_before_else_to_the_first() -> None:
    observer = Presence("boss", "STANDARD", joined_ms=5, role="observer")
    mute = Presence("wall", "STANDARD", joined_ms=6, may_publish=False)
    bob = Presence("bob", "SIP", joined_ms=10)
    there = [observer, ANN, mute, bob]
    assert [who.identity for who in callers(there)] == ["bob", "ann"]
    assert choose_caller(there) == "bob", "who joined first"
    assert choose_caller(there, ["ann"]) == "ann", "whom the ticket is for"
    assert choose_caller(there, ["cid", "ann"]) == "ann", "whom the agent heard before"
    assert choose_caller(there, ["boss"]) == "bob", "a ticket for an observer moves no agent"
    assert choose_caller([observer, mute], ["boss"]) == ""
    assert choose_caller([dataclasses.replace(bob, joined_ms=20), ANN]) == "ann", "a tie is decided alike everywhere"
