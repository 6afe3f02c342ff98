"""What `helm install` says at its end: what is shut, and how to open it; and no advice that leaves a key for a year."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from chart.matrix import MATRIX, PRODUCTION, TRIAL
from chart.values_table import CHART

from cluster.control_plane import ControlPlane

pytestmark = pytest.mark.cluster

SHUT = "Its webhooks cannot come in yet: name its pods or nodes in networkPolicy.livekitFrom."


def notes(plane: ControlPlane, values: dict[str, Any]) -> str:
    """The notes of an installation that is only tried."""
    said = plane.helm(
        # Other tests of the session have made namespaces of these names.
        *("install", "voicefleet", str(CHART), "-n", "voice", "--dry-run=server", "--take-ownership", "--values", "-"),
        stdin=json.dumps(values),
    )
    return said.partition("\nNOTES:\n")[2]


def test_in_production_they_say_who_comes_in_and_what_is_reached(control_plane: ControlPlane) -> None:
    said = notes(control_plane, PRODUCTION)
    assert 'the namespace voice and the label voicefleet.dev/client: "true"' in said
    assert (
        "Pods may reach Redis at the ports 6379, 6380, 26379. If redis names another: networkPolicy.ports.redis."
        in said
    )
    assert SHUT in said
    open_to_nodes = {"livekitFrom": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": {"redis": [7000]}}
    said = notes(control_plane, {**PRODUCTION, "networkPolicy": open_to_nodes})
    assert "at the ports 7000." in said
    assert SHUT not in said


def test_behind_an_ingress_all_addresses_speak_tls(control_plane: ControlPlane) -> None:
    ingress = {"enabled": True, "host": "voice.example", "tlsElsewhere": True}
    policy = {"ingressNamespace": "ingress-nginx"}
    controller = {**PRODUCTION["controller"], "ingress": ingress}
    said = notes(control_plane, {**PRODUCTION, "controller": controller, "networkPolicy": policy})
    assert "https://voice.example/v1/calls" in said
    assert "https://voice.example/webhooks/livekit/eu" in said
    assert "http://voice.example" not in said
    assert SHUT not in said


@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_no_token_of_theirs_outlives_a_day(case: str, control_plane: ControlPlane) -> None:
    hours = re.findall(r"--duration=(\d+)h", notes(control_plane, MATRIX[case]))
    assert bool(hours) is (MATRIX[case].get("controller", {}).get("enabled") is False)
    assert all(int(number) <= 24 for number in hours)


def test_requests_that_are_too_small_for_the_slots_are_told(control_plane: ControlPlane) -> None:
    resources = {"requests": {"cpu": "500m", "memory": "16Gi"}}
    values = {**PRODUCTION, "worker": {**PRODUCTION["worker"], "resources": resources}}
    said = re.findall(r"On a full node calls stutter.*", notes(control_plane, values))
    assert len(said) == 2, "one for each region, and memory is enough"
    assert "regions[0]: worker.resources.requests.cpu (500m) is less than the " in said[0]
    assert "that 10 calls of pool.slots were measured to take" in said[0]
    assert "On a full node" not in notes(control_plane, PRODUCTION)


def test_where_nothing_is_shut_they_do_not_speak_of_it(control_plane: ControlPlane) -> None:
    said = notes(control_plane, {**TRIAL, "networkPolicy": {"enabled": False}})
    assert "networkPolicy" not in said
    assert "admissionPolicy" not in said
