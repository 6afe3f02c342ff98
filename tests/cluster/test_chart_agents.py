"""Several agents and versions in a region: each has what a pool needs, and the controller's file names the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from chart.matrix import PRODUCTION, TRIAL
from chart.render import Objects, environment_of, name_of, refusal, render, secret_values

from voicefleet.controller.settings.load import load_settings
from voicefleet.controller.settings.pools import named_once

pytestmark = pytest.mark.cluster

OBJECTIVES = {
    **{"errorRatio": 0.02, "ttfaP95Seconds": 2.0, "silentRatio": 0.01, "crashRatio": 0.01},
    **{"minCalls": 200, "durationSeconds": 3600},
}
AGENTS: dict[str, Any] = {
    "support": {"numbers": ["+493012*"], "worker": {"agent": "support:create"}},
    "sales": {
        "tenants": ["acme"],
        "trunks": {"ST_a": {"perSecond": 2, "prefixes": ["+49"]}},
        "worker": {"agent": "sales:create", "drainTimeoutSeconds": 600, "image": {"repository": "example/sales"}},
        "versions": {
            "v1": {"weight": 90, "worker": {"image": {"tag": "1"}}},
            "v2": {
                "weight": 10,
                "objectives": OBJECTIVES,
                "pool": {"maxWorkers": 2},
                "worker": {"image": {"tag": "2"}, "agent": "sales:create_anew"},
            },
        },
    },
}
VALUES: dict[str, Any] = {
    **PRODUCTION,
    "regions": [{**PRODUCTION["regions"][0], "agents": AGENTS, "defaultAgent": "support"}, PRODUCTION["regions"][1]],
    "worker": {"tiers": {"builtin": "own"}},
}
POOLS = {"eu-support", "eu-sales-v1", "eu-sales-v2", "us-east"}


def changed(**sales: Any) -> dict[str, Any]:
    """The values with another agent of sales."""
    values = copy.deepcopy(VALUES)
    values["regions"][0]["agents"]["sales"] |= sales
    return values


def workers(objects: Objects) -> dict[str, Any]:
    """The Deployments of workers by the pools' names."""
    found = [d for d in objects.of("Deployment") if d["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"]
    return {d["metadata"]["labels"]["voicefleet.dev/region"]: d for d in found}


def test_each_pool_has_all_that_a_pool_needs_and_the_region_its_one_namespace() -> None:
    objects = render(VALUES)
    pools = workers(objects)
    assert set(pools) == POOLS
    for name, deployment in pools.items():
        namespace, workload = name_of(deployment)
        assert workload == f"voicefleet-{name}"
        for kind in ("ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
            assert objects.one(kind, workload, namespace)
        role = objects.one("Role", f"{workload}-controller", namespace)
        assert role["rules"][0]["resourceNames"] == [workload]
        [policy] = objects.of("ValidatingAdmissionPolicy")
        mine = policy["spec"]["validations"][0]["expression"]
        label = "variables.labels[?'voicefleet.dev/region'].orValue('')"
        assert f"(request.namespace == '{namespace}' && {label} == '{name}')" in mine
    assert sorted(name_of(space)[1] for space in objects.of("Namespace")) == ["voice-eu", "voice-us-east"]
    assert [name_of(pod)[1] for pod in objects.of("Pod") if "test-call" in name_of(pod)[1]] == [
        *("voicefleet-eu-test-call", "voicefleet-us-east-test-call")
    ]


def test_what_a_version_says_goes_before_what_its_agent_and_its_region_say() -> None:
    pools = workers(render(VALUES))
    specs = {name: pool["spec"]["template"]["spec"] for name, pool in pools.items()}
    images = {name: spec["containers"][0]["image"] for name, spec in specs.items()}
    assert images == {
        "eu-support": "voicefleet/worker:0.1.0",
        "eu-sales-v1": "example/sales:1",
        "eu-sales-v2": "example/sales:2",
        "us-east": "voicefleet/worker:0.1.0",
    }
    env = {name: environment_of(spec["containers"][0]) for name, spec in specs.items()}
    assert {name: found.get("VOICEFLEET_AGENT") for name, found in env.items()} == {
        **{"eu-support": "support:create", "eu-sales-v1": "sales:create", "eu-sales-v2": "sales:create_anew"},
        "us-east": None,
    }
    assert {name: spec["terminationGracePeriodSeconds"] for name, spec in specs.items()} == {
        **{"eu-support": 4000, "eu-sales-v1": 1000, "eu-sales-v2": 1000, "us-east": 4000}
    }


def test_the_controller_knows_the_same_pools_by_the_same_names(tmp_path: Path) -> None:
    objects = render(VALUES)
    file = tmp_path / "controller.yaml"
    file.write_text(objects.one("ConfigMap", "voicefleet-controller")["data"]["controller.yaml"])
    secret = "a-secret-of-32-characters-or-more"
    names = [f"LIVEKIT_{region}_API_{part}" for region in ("EU", "US_EAST") for part in ("KEY", "SECRET")]
    given = {**dict.fromkeys(names, secret), "VOICEFLEET_REDIS_URL": "redis://127.0.0.1:6379"}
    settings = load_settings(file, {**given, "VOICEFLEET_API_KEYS": "acme:a-secret-of-16-characters:call"})
    known = named_once(settings.regions)
    made = workers(objects)
    assert set(known) == set(made)
    for name, pool in known.items():
        assert pool.kubernetes is not None
        assert (pool.kubernetes.namespace, pool.kubernetes.deployment) == name_of(made[name])
        env = environment_of(made[name]["spec"]["template"]["spec"]["containers"][0])
        assert env["VOICEFLEET_REGION"] == name, "its reports and claims are under the pool's name"
        assert env["VOICEFLEET_AGENT_NAME"] == pool.agent_name
        assert env["VOICEFLEET_SLOTS"] == str(pool.pool.slots)
    sales = settings.regions["eu"].agents["sales"]
    assert (sales.stable, sales.canary, sales.trunks["ST_a"].per_s) == ("v1", "v2", 2)
    assert known["eu-sales-v2"].pool.max_workers == 2
    canary = sales.versions["v2"]
    assert canary.objectives is not None
    assert (canary.objectives.ttfa_p95_s, canary.objectives.min_calls) == (2.0, 200)
    assert canary.revision == "example/sales:2", "another image is another canary"


def test_in_a_trial_each_pool_has_a_redis_user_of_its_own() -> None:
    agents = {"a": {}, "b": {"versions": {"x": {"weight": 100}}}}
    objects = render({**TRIAL, "regions": [{"name": "eu", "agents": agents, "defaultAgent": "a"}]})
    redis = objects.one("Secret", "voicefleet-redis")["stringData"]["users.acl"]
    for name, deployment in workers(objects).items():
        env = environment_of(deployment["spec"]["template"]["spec"]["containers"][0])
        reference = env["VOICEFLEET_REDIS_URL"]["secretKeyRef"]
        url = objects.one("Secret", reference["name"], "voice-eu")["stringData"][reference["key"]]
        assert f"voicefleet-worker-{name}:" in url
        assert f"user voicefleet-worker-{name} on " in redis
    assert set(workers(objects)) == {"eu-a", "eu-b-x"}
    assert secret_values(objects)


def test_each_pool_may_have_a_redis_user_of_its_own_in_production() -> None:
    values = changed()
    values["regions"][0]["agents"]["sales"]["versions"]["v2"]["worker"]["redisUrlKey"] = "url-sales-v2"
    found = {
        name: environment_of(deployment["spec"]["template"]["spec"]["containers"][0])["VOICEFLEET_REDIS_URL"]
        for name, deployment in workers(render(values)).items()
    }
    assert found["eu-sales-v2"] == {"secretKeyRef": {"name": "redis", "key": "url-sales-v2"}}
    assert found["eu-sales-v1"] == {"secretKeyRef": {"name": "redis", "key": "url"}}


V1, V2 = AGENTS["sales"]["versions"]["v1"], AGENTS["sales"]["versions"]["v2"]


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"v1": V1, "v2": {**V2, "weight": 20}}, "agents.sales.versions: the weights add up to 110, not 100"),
        (
            {"v1": V1, "v2": {"weight": 10}},
            "agents.sales.versions: v1 and v2 have no objectives: a canary needs them",
        ),
        (
            {"v1": {**V1, "weight": 80}, "v2": V2, "v3": V2},
            "agents.sales.versions: v2 and v3 are canaries at once: give all but one weight 0",
        ),
        (
            {"v1": {**V2, "weight": 90}, "v2": V2},
            "agents.sales.versions: v1 and v2 are all canaries: take the objectives from the stable one",
        ),
    ],
)
def test_versions_that_do_not_fit_together_are_refused(versions: dict[str, Any], message: str) -> None:
    assert f"  - regions[0].{message}" in refusal(changed(versions=versions))


def test_agents_that_do_not_fit_together_are_refused() -> None:
    values = changed()
    values["regions"][0] |= {"defaultAgent": "nobody", "trunks": {"ST_b": {}}}
    values["regions"][0]["agents"]["sales-v1"] = {}
    said = refusal(values)
    assert '  - regions[0].defaultAgent: "nobody" is none of regions[0].agents: name one of them' in said
    assert "  - regions[0]: trunks are set, and regions[0].agents too, and a trunk is one agent's" in said
    assert '  - regions[0].agents.sales-v1: its pool has the name "eu-sales-v1", as that of regions[0].agents' in said


def test_a_version_by_a_name_that_is_too_long_is_refused() -> None:
    said = refusal(changed(versions={"a-version-with-a-very-long-name": {"weight": 100}}))
    assert "is longer than 32 signs: shorten the name of the agent, the version or the region" in said


def test_what_is_wrong_in_a_version_is_said_with_its_path() -> None:
    said = refusal(changed(versions={"v1": {"weight": 100, "pool": {"minWorkers": 999}}}))
    assert "regions[0].agents.sales.versions.v1: pool.minWorkers (999) is more than pool.maxWorkers (4)" in said
    assert "missing property 'weight'" in refusal(changed(versions={"v1": {}}))
    assert "additional properties 'wieght' not allowed" in refusal(changed(versions={"v1": {"weight": 1, "wieght": 2}}))
