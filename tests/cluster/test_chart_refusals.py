"""Values that cannot be used are refused before anything is installed; the message names the path."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chart.matrix import PRODUCTION, TRIAL
from chart.render import NAMESPACE, refusal
from chart.values_schema import PER_REGION, renamed_values
from chart.values_table import CHART

from cluster.kube import CommandError, run
from cluster.programs import find
from voicefleet.runtime.supervisor.settings import environment

pytestmark = pytest.mark.cluster

EU = PRODUCTION["regions"][0]
ONE = {**PRODUCTION, "regions": [EU]}
"""Of one region, so that each fault is said once."""
INGRESS = {"enabled": True, "tlsSecret": "tls"}


def production(**changes: Any) -> dict[str, Any]:
    return {**ONE, **changes}


def controller(**changes: Any) -> dict[str, Any]:
    policy = {"ingressNamespace": "ingress-nginx"}
    return production(controller={**PRODUCTION["controller"], **changes}, networkPolicy=policy)


def trial(**changes: Any) -> dict[str, Any]:
    return {**TRIAL, **changes}


BY_SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown value": (trial(worker={"replicas": 3}), "/worker': additional properties 'replicas' not allowed"),
    "an unknown value of a region": (
        trial(regions=[{"name": "eu", "maxWorkers": 3}]),
        "/regions/0': additional properties 'maxWorkers' not allowed",
    ),
    "no region": (trial(regions=[]), "/regions': minItems"),
    "a region without a name": (trial(regions=[{"agentName": "x"}]), "/regions/0': missing property 'name'"),
    "a bad region name": (trial(regions=[{"name": "EU_west"}]), "/regions/0/name': 'EU_west' does not match"),
    "a long region name": (trial(regions=[{"name": "r" * 33}]), "/regions/0/name':"),
    "a bad namespace": (trial(regions=[{"name": "eu", "namespace": "Eu"}]), "/regions/0/namespace':"),
    "no slots": (trial(pool={"slots": 0}), "/pool/slots': minimum: got 0, want 1"),
    "a number in words": (trial(pool={"maxWorkers": "many"}), "/pool/maxWorkers': got string, want integer"),
    "fewer than no workers": (
        trial(regions=[{"name": "eu", "pool": {"minWorkers": -1}}]),
        "/regions/0/pool/minWorkers': minimum: got -1, want 0",
    ),
    "an address of another kind": (
        production(livekit={"url": "https://x"}),
        "/livekit/url': 'https://x' does not match",
    ),
    "an address with no port": (
        production(redis={"hosts": ["redis.example"]}),
        "/redis/hosts/0': 'redis.example' does not match",
    ),
    "a password in an address": (
        production(redis={"hosts": ["user:secret@redis.example:6379"]}),
        "/redis/hosts/0':",
    ),
    "an agent that is no path": (trial(worker={"agent": "my_agent"}), "/worker/agent': 'my_agent' does not match"),
    "a tier that is not built in": (trial(worker={"tiers": {"builtin": "best"}}), "/worker/tiers/builtin':"),
    "a rollout that adds nothing": (trial(worker={"maxSurge": 0}), "/worker/maxSurge':"),
    "no controller": (controller(replicas=0), "/controller/replicas': minimum: got 0, want 1"),
    "an unknown authorization": (controller(auth="basic"), "/controller/auth':"),
    "a secret where its name belongs": (
        production(livekit={"existingSecret": {"apiKey": "x"}}),
        "/livekit/existingSecret': got object, want string",
    ),
    "a policy that is none": (trial(pool={"policy": "magic"}), "/pool/policy':"),
    "a share of waits that is none": (trial(pool={"waitRatio": 1}), "/pool/waitRatio':"),
    "a campaign without a time zone": (
        trial(pool={"campaigns": [{"start": "2026-12-01T09:00:00", "durationSeconds": 60, "calls": 9}]}),
        "/pool/campaigns/0/start':",
    ),
    "a shift at no time": (
        trial(pool={"schedule": [{"days": ["mon"], "begin": "8:00", "end": "24:00", "minWorkers": 1}]}),
        "/pool/schedule/0/begin':",
    ),
    "a pull policy that is none": (trial(image={"pullPolicy": "Sometimes"}), "/image/pullPolicy':"),
    "a label that is no string": (
        trial(worker={"podLabels": {"a": 1}}),
        "/worker/podLabels/a': got number, want string",
    ),
    "an address that is no range": (
        trial(networkPolicy={"deniedAddresses": ["169.254.169.254"]}),
        "/networkPolicy/deniedAddresses/0': '169.254.169.254' does not match",
    ),
    "a port that is none": (trial(networkPolicy={"ports": {"redis": [70000]}}), "/networkPolicy/ports/redis/0':"),
    "no port for Redis": (trial(networkPolicy={"ports": {"redis": []}}), "/networkPolicy/ports/redis': minItems"),
    "a bad digest": (trial(worker={"image": {"digest": "latest"}}), "/worker/image/digest':"),
}

BY_RENDER: dict[str, tuple[dict[str, Any], str]] = {
    "less grace than the drain takes": (
        trial(worker={"terminationGracePeriodSeconds": 3999}),
        "regions[0]: worker.terminationGracePeriodSeconds (3999) is less than worker.drainTimeoutSeconds (3600) + 400",
    ),
    "less grace in one region": (
        production(
            regions=[
                EU,
                {
                    **EU,
                    "name": "us",
                    "agentName": "us",
                    "worker": {"drainTimeoutSeconds": 7200, "terminationGracePeriodSeconds": 4000},
                },
            ]
        ),
        "regions[1]: worker.terminationGracePeriodSeconds (4000) is less than worker.drainTimeoutSeconds (7200) + 400",
    ),
    "a region twice": (
        trial(regions=[{"name": "eu"}, {"name": "eu", "namespace": "x", "agentName": "y"}]),
        'regions[1].name: "eu" is the name of regions[0] too',
    ),
    "more least than most workers": (
        trial(pool={"minWorkers": 5}),
        "regions[0]: pool.minWorkers (5) is more than pool.maxWorkers (4)",
    ),
    "a price without a currency": (
        trial(pool={"pricePerWorkerHour": 0.4}),
        "regions[0]: pool.pricePerWorkerHour and pool.currency belong together: give both, such as 0.40 and EUR",
    ),
    "a fixed number without the mode": (
        trial(pool={"fixedWorkers": 2}),
        "regions[0]: pool.fixedWorkers belongs to pool.mode fixed, and pool.mode is auto: give both, or neither",
    ),
    "the mode without a number": (
        trial(pool={"mode": "fixed"}),
        "regions[0]: pool.fixedWorkers belongs to pool.mode fixed, and pool.mode is fixed: give both, or neither",
    ),
    "a fixed number out of bounds": (
        trial(pool={"mode": "fixed", "fixedWorkers": 5}),
        "regions[0]: pool.fixedWorkers (5) is not between pool.minWorkers (1) and pool.maxWorkers (4)",
    ),
    "a namespace twice": (
        trial(regions=[{"name": "eu", "namespace": "x"}, {"name": "us", "namespace": "x"}]),
        'regions[1].namespace: "x" is made by regions[0] too',
    ),
    "the release's own namespace": (
        trial(regions=[{"name": "eu", "namespace": NAMESPACE}]),
        'regions[0].namespace: "voice" is the release\'s own',
    ),
    "one agent name for two regions of one LiveKit": (
        trial(regions=[{"name": "eu"}, {"name": "us"}], agentName="both"),
        "regions[1].agentName: the same as that of regions[0], at the same LiveKit",
    ),
    "two regions of one LiveKit": (
        production(regions=[EU, {**EU, "name": "us"}]),
        "regions[1].agentName: the same as that of regions[0], at the same LiveKit",
    ),
    "no LiveKit": (
        production(regions=[{"name": "eu", "livekit": {"existingSecret": "x"}}]),
        "regions[0].livekit.url: is empty",
    ),
    "no Secret of LiveKit": (
        production(regions=[{"name": "eu", "livekit": {"url": "wss://x"}}]),
        "regions[0]: livekit.existingSecret is empty: name the Secret with LiveKit's key and secret (it must be in "
        "voice and in voice-eu)",
    ),
    "no Redis": (production(redis={}), "redis.existingSecret: is empty"),
    "Redis twice": (
        production(redis={"existingSecret": "x", "hosts": ["a:1"]}),
        "redis.hosts: the address stands in redis.existingSecret already",
    ),
    "several Redis servers": (
        production(redis={"hosts": ["a:1", "b:1"]}),
        "redis.sentinelMaster: is empty, and redis.hosts has several",
    ),
    "a user without a password": (
        production(redis={"hosts": ["a:1"], "username": "voice"}),
        "redis.passwordSecret: is empty, and redis.username is set",
    ),
    "an authority without TLS": (
        production(redis={"hosts": ["a:1"], "caSecret": "ca"}),
        "redis.tls: is false, and redis.caSecret is set",
    ),
    "no API keys": (
        controller(apiKeys={}),
        "controller.apiKeys.existingSecret: is empty, and controller.auth is bearer",
    ),
    "hashed keys that nobody made": (
        {"devStack": {"enabled": True}, "controller": {"apiKeys": {"hashed": True}}},
        "controller.apiKeys.hashed: is true, and controller.apiKeys.existingSecret is empty",
    ),
    "keys that nobody asks for": (
        controller(auth="none"),
        "controller.auth: is none, and controller.apiKeys.existingSecret is set",
    ),
    "an open controller for the whole world": (
        controller(auth="none", apiKeys={}, ingress={**INGRESS, "host": "x"}),
        "controller.auth: is none, and controller.ingress.enabled is true",
    ),
    "an Ingress without a host": (controller(ingress=INGRESS), "controller.ingress.host: is empty"),
    "a Lease renewed too late": (
        controller(lease={"renewDeadlineSeconds": 5}),
        "controller.lease.renewDeadlineSeconds: 5 is not less than controller.lease.durationSeconds (5)",
    ),
    "a Lease renewed too seldom": (
        controller(lease={"retrySeconds": 4}),
        "controller.lease.retrySeconds: 4 is not less than controller.lease.renewDeadlineSeconds (3.5)",
    ),
    "no speech and language": (
        production(worker={}),
        "regions[0]: worker.tiers says nothing of speech and language",
    ),
    "a variable of the chart's own": (
        trial(worker={"extraEnv": [{"name": "VOICEFLEET_SLOTS", "value": "9"}]}),
        "regions[0]: worker.extraEnv: VOICEFLEET_SLOTS is set by the chart already",
    ),
    "a variable of the controller's": (
        controller(extraEnv=[{"name": "VOICEFLEET_REDIS_URL", "value": "redis://x"}]),
        "controller.extraEnv: VOICEFLEET_REDIS_URL is set by the chart already",
    ),
    "two tiers files": (
        production(worker={"tiers": {"builtin": "local", "existingConfigMap": "x"}}),
        "regions[0]: worker.tiers.builtin and worker.tiers.existingConfigMap are set at once",
    ),
    "a default that is no tier": (
        production(worker={"tiers": {"content": {"default": "fast", "tiers": {"slow": {}}}}}),
        'regions[0]: worker.tiers.content.default ("fast") is none of worker.tiers.content.tiers',
    ),
    "waiting messages that overlap": (
        trial(waitingMessage={"everySeconds": 6}),
        "regions[0]: waitingMessage.everySeconds (6) is too short for the built-in recording",
    ),
    "a built-in message that overlaps": (
        trial(waitingMessage={"everySeconds": 8, "language": "de-AT"}),
        "regions[0]: waitingMessage.everySeconds (8) is too short for the built-in recording (7.1 s, and 2 "
        "s between two): give at least 9.1",
    ),
    "languages without recordings": (
        trial(waitingMessage={"audio": {"languages": {"pl": "pl.wav"}}}),
        "regions[0]: waitingMessage.audio.languages is set, but there are no recordings",
    ),
    "words without a recording": (
        trial(waitingMessage={"text": "Wait."}),
        "regions[0]: waitingMessage.text is set, but there is no recording of it",
    ),
    "a trial with a LiveKit of one's own": (
        trial(livekit={"url": "wss://x"}),
        "regions[0]: livekit.url is set, but devStack.enabled brings a LiveKit of its own",
    ),
    "a trial with a Redis of one's own": (
        trial(redis={"existingSecret": "x"}),
        "redis: redis.existingSecret or redis.hosts is set, but devStack.enabled brings a Redis of its own",
    ),
    "a trial with half of the keys": (
        {"devStack": {"enabled": True, "livekit": {"existingSecret": "x"}}},
        "regions[0]: with devStack, livekit.existingSecret and devStack.livekit.existingSecret belong together",
    ),
    "keys in a ConfigMap": (
        {"devStack": {"enabled": True, "livekit": {"config": {"keys": {"a": "b"}}}}},
        "devStack.livekit.config.keys: secrets do not belong into a ConfigMap",
    ),
    "a trial without its controller": (
        trial(controller={"enabled": False}),
        "devStack.enabled: is true, but controller.enabled is false",
    ),
    "a trial in two clusters": (
        trial(regions=[{"name": "eu", "cluster": {"kubeconfigSecret": "x"}}]),
        "regions[0].cluster.kubeconfigSecret: the servers of devStack cannot be reached from another cluster",
    ),
    "a kubeconfig that nobody reads": (
        production(regions=[{**EU, "cluster": {"kubeconfigSecret": "x"}}], controller={"enabled": False}),
        "regions[0].cluster.kubeconfigSecret: nobody reads it, since controller.enabled is false",
    ),
}


@pytest.mark.parametrize("case", BY_SCHEMA, ids=str)
def test_the_schema_refuses(case: str) -> None:
    values, message = BY_SCHEMA[case]
    said = refusal(values)
    assert "values don't meet the specifications of the schema" in said
    assert message in said


@pytest.mark.parametrize("case", BY_RENDER, ids=str)
def test_the_render_refuses(case: str) -> None:
    values, message = BY_RENDER[case]
    said = refusal(values)
    assert "These values cannot be used:" in said
    assert f"  - {message}" in said
    assert len(re.findall(r"^\s*- ", said, re.MULTILINE)) == 1, said


@pytest.mark.parametrize(("old", "new"), renamed_values().items())
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    given: Any = "whatever it was"
    for step in reversed(old.split(".")):
        given = {step: given}
    assert f"  - {old}: was renamed: write {new}\n" in refusal({**TRIAL, **given})
    if new.split(".")[0] in PER_REGION:
        said = refusal(trial(regions=[{"name": "eu", **given}]))
        assert f"  - regions[0].{old}: was renamed: write regions[0].{new}\n" in said


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = refusal({})
    for path in ("regions[0].livekit.url", "livekit.existingSecret", "redis.existingSecret", "controller.apiKeys"):
        assert path in said
    assert said.count("try the chart with --set devStack.enabled=true") == 2


def test_an_old_kubernetes_is_refused() -> None:
    argv = [
        str(find("helm")),
        "template",
        "x",
        str(CHART),
        "--kube-version",
        "1.26.0",
        "--set",
        "devStack.enabled=true",
    ]
    with pytest.raises(CommandError, match=r"requires kubeVersion: >=1\.27\.0-0"):
        run(argv, environment(), None, 60.0)
