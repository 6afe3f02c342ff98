"""Who reaches whom by the chart's network policies; and that what they cannot know is asked for, never left open."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import yaml
from chart.matrix import EVERYTHING, MATRIX, PRODUCTION, TRIAL
from chart.render import Manifest, Objects, refusal, render

from cluster.test_chart_readme import block

pytestmark = pytest.mark.cluster

METADATA = ("169.254.169.254", "169.254.169.252", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
ON = {name: values for name, values in MATRIX.items() if values.get("networkPolicy", {}).get("enabled", True)}
CASES = pytest.mark.parametrize("case", ON, ids=str)
SELECTOR = {"app.kubernetes.io/name": "voicefleet", "app.kubernetes.io/instance": "voicefleet"}
DNS, LIVEKIT, REDIS = ("UDP", 53), ("TCP", 443), ("TCP", 6379)


def named(name: str) -> Manifest:
    """The peer that is a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def component(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {**SELECTOR, "app.kubernetes.io/component": name}}}


def policies(objects: Objects) -> list[Manifest]:
    """The policies of controller and workers."""
    of = ("controller", "worker")
    return [p for p in objects.of("NetworkPolicy") if p["metadata"]["labels"]["app.kubernetes.io/component"] in of]


def controller(values: dict[str, Any]) -> Manifest:
    name = values.get("fullnameOverride", "voicefleet")
    spec: Manifest = render(values).one("NetworkPolicy", f"{name}-controller")["spec"]
    return spec


def worker(values: dict[str, Any], region: str = "eu") -> Manifest:
    spec: Manifest = render(values).one("NetworkPolicy", f"voicefleet-{region}", f"voice-{region}")["spec"]
    return spec


def ports(spec: Manifest) -> set[tuple[str, int]]:
    """Protocols and first ports that may be reached."""
    return {(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule.get("ports", ())}


def open_to(peer: Manifest, address: str) -> bool:
    """Whether an address is among a peer's."""
    block = peer.get("ipBlock")
    if block is None:
        return False
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(left_out) for left_out in block.get("except", ())
    )


@CASES
def test_everybody_who_comes_in_is_named(case: str) -> None:
    found = policies(render(ON[case]))
    assert found
    for policy in found:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in policy["spec"]["ingress"]:
            assert rule["from"], "an empty list of peers is everybody"
            assert all(peer not in ({}, {"namespaceSelector": {}}, {"podSelector": {}}) for peer in rule["from"])


@CASES
def test_no_way_leads_to_the_clouds_metadata_services(case: str) -> None:
    for policy in policies(render(ON[case])):
        for rule in policy["spec"]["egress"]:
            assert rule["to"], "a rule for everywhere"
            given = ON[case].get("networkPolicy", {}).get("workersEgress", [])
            for peer in rule["to"]:
                if rule in given:
                    continue
                assert not [address for address in METADATA if open_to(peer, address)], policy["metadata"]["name"]


@CASES
def test_what_both_need_they_reach(case: str) -> None:
    for policy in policies(render(ON[case])):
        name = policy["metadata"]["name"]
        everywhere = [rule for rule in policy["spec"]["egress"] if len(rule["to"]) == 3]
        for rule in everywhere:
            assert {"namespaceSelector": {}} in rule["to"], f"{name}: pods of this cluster"
            for address in ("10.1.2.3", "169.254.20.10", "203.0.113.9", "2001:db8::1"):
                assert any(open_to(peer, address) for peer in rule["to"]), name
        reached = {(port["protocol"], port["port"]) for rule in everywhere for port in rule["ports"]}
        assert {DNS, ("TCP", 53), REDIS, ("UDP", 50000), ("TCP", 4317)} <= reached, name
        # Open only to a receiver of call events that is at a plain http:// address, and only for the controller.
        assert (("TCP", 80) in reached) == (case == "everything" and name.endswith("controller")), name


def test_a_trial_lets_in_front_ends_the_test_load_tests_and_its_livekit() -> None:
    [rule] = controller(TRIAL)["ingress"]
    assert rule == {
        "ports": [{"port": "http", "protocol": "TCP"}],
        "from": [
            {"podSelector": {"matchLabels": {"voicefleet.dev/client": "true"}}},
            component("test"),
            component("loadtest"),
            component("livekit"),
        ],
    }
    [rule] = worker(TRIAL, "local")["ingress"]
    assert rule["from"] == [{**named("voice"), **component("controller")}]
    assert {("TCP", 7880), REDIS, DNS} <= ports(worker(TRIAL, "local")) & ports(controller(TRIAL))


def test_the_controller_reaches_api_servers_and_its_workers_and_workers_providers() -> None:
    spec = controller(PRODUCTION)
    assert {("TCP", 6443), ("TCP", 443), ("TCP", 8081)} <= ports(spec)
    assert spec["egress"][-1] == {
        "to": [{"namespaceSelector": {}, **component("worker")}],
        "ports": [{"port": 8081, "protocol": "TCP"}],
    }
    assert ("TCP", 443) in ports(worker(PRODUCTION))
    assert not {("TCP", 6443), ("TCP", 8081)} & ports(worker(PRODUCTION))


@pytest.mark.parametrize(
    ("url", "port"),
    [("wss://x", 443), ("ws://x", 80), ("ws://x:7880", 7880), ("wss://x.example:8443/rtc", 8443), ("ws://[::1]:7", 7)],
)
def test_livekits_port_is_the_one_in_its_address(url: str, port: int) -> None:
    region = {"name": "eu", "livekit": {"url": url, "apiUrl": "http://api.example:7999", "existingSecret": "x"}}
    values = {**PRODUCTION, "regions": [region]}
    for spec in (worker(values), controller(values)):
        assert {("TCP", port), ("TCP", 7999)} <= ports(spec)


def test_redis_ports_are_those_of_its_hosts_and_the_usual_ones() -> None:
    values = {**PRODUCTION, "redis": {"hosts": ["redis.example:16379"]}}
    wanted = {("TCP", port) for port in (16379, 6379, 6380, 26379)}
    assert wanted <= ports(worker(values)) & ports(controller(values))


def test_whom_the_values_name_comes_in_and_what_they_name_is_reached() -> None:
    more = {
        "ingressNamespace": "ingress-nginx",
        "monitoringNamespace": "monitoring",
        "livekitFrom": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "controllerFrom": [named("shop")],
        "workersFrom": [named("debug")],
        "controllerEgress": [{"ports": [{"port": 9443}]}],
        "workersEgress": [{}],
        "deniedAddresses": ["10.9.9.9/32"],
    }
    ingress = {"enabled": True, "host": "x.example", "tlsSecret": "tls"}
    values = {
        **PRODUCTION,
        "networkPolicy": more,
        "controller": {**PRODUCTION["controller"], "ingress": ingress},
    }
    spec = controller(values)
    assert spec["ingress"][0]["from"][-4:] == [
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        named("ingress-nginx"),
        named("monitoring"),
        named("shop"),
    ]
    assert spec["egress"][-1] == {"ports": [{"port": 9443}]}
    assert spec["egress"][0]["to"][1]["ipBlock"] == {"cidr": "0.0.0.0/0", "except": ["10.9.9.9/32"]}
    assert spec["egress"][0]["to"][2]["ipBlock"] == {"cidr": "::/0"}
    spec = worker(values)
    assert spec["ingress"][0]["from"][1:] == [named("monitoring"), named("debug")]
    assert spec["egress"][-1] == {}
    # Without an Ingress, its namespace has no business here.
    values = {**values, "controller": PRODUCTION["controller"]}
    assert named("ingress-nginx") not in controller(values)["ingress"][0]["from"]


def test_pools_do_not_reach_each_others_livekit_by_an_odd_port() -> None:
    assert ("TCP", 7880) in ports(render(EVERYTHING).one("NetworkPolicy", "fleet-us", "voice-us")["spec"])
    assert ("TCP", 7880) not in ports(render(EVERYTHING).one("NetworkPolicy", "fleet-eu", "pool-eu")["spec"])


INGRESS = {"enabled": True, "host": "x.example"}
SHUT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "an Ingress controller": (
        {"controller": {**PRODUCTION["controller"], "ingress": {**INGRESS, "tlsSecret": "tls"}}},
        "networkPolicy.ingressNamespace: is empty, and controller.ingress.enabled is true",
    ),
    "a load balancer": (
        {"controller": {**PRODUCTION["controller"], "service": {"type": "LoadBalancer"}}},
        "networkPolicy.controllerFrom: is empty, and controller.service.type is LoadBalancer",
    ),
    "Prometheus, from the controller": (
        {"serviceMonitor": {"enabled": True}},
        "networkPolicy.monitoringNamespace: is empty, and serviceMonitor.enabled is true",
    ),
    "Prometheus, from the workers": (
        {"podMonitor": {"enabled": True}},
        "networkPolicy.monitoringNamespace: is empty, and podMonitor.enabled is true",
    ),
}


@pytest.mark.parametrize("who", SHUT_OUT, ids=str)
def test_who_is_invited_and_would_be_shut_out_is_asked_for(who: str) -> None:
    values, message = SHUT_OUT[who]
    assert f"  - {message}" in refusal({**PRODUCTION, **values})
    assert render({**PRODUCTION, **values, "networkPolicy": {"enabled": False}})


def test_an_ingress_without_tls_is_refused_unless_tls_ends_elsewhere() -> None:
    def values(**more: Any) -> dict[str, Any]:
        ingress = {**INGRESS, **more}
        policy = {"ingressNamespace": "ingress-nginx"}
        return {**PRODUCTION, "networkPolicy": policy, "controller": {**PRODUCTION["controller"], "ingress": ingress}}

    said = refusal(values())
    assert "  - controller.ingress.tlsSecret: is empty, and controller.ingress.enabled is true" in said
    assert "set controller.ingress.tlsElsewhere to true" in said
    assert "tls" not in render(values(tlsElsewhere=True)).one("Ingress", "voicefleet-controller")["spec"]
    tls = render(values(tlsSecret="voice-tls")).one("Ingress", "voicefleet-controller")["spec"]["tls"]
    assert tls == [{"hosts": ["x.example"], "secretName": "voice-tls"}]


def test_the_readmes_values_are_taken() -> None:
    given = yaml.safe_load(block("Who reaches whom", "networkPolicy:"))
    spec = controller({**PRODUCTION, **given})
    assert ("TCP", 16379) in ports(spec)
    assert named("monitoring") in spec["ingress"][0]["from"]


def test_budgets_do_not_hold_a_node_for_a_pod_that_is_not_ready() -> None:
    budgets = render(PRODUCTION).of("PodDisruptionBudget")
    assert len(budgets) == 3
    assert {budget["spec"]["unhealthyPodEvictionPolicy"] for budget in budgets} == {"AlwaysAllow"}
