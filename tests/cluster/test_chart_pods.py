"""What a user adds to the chart's pods and objects, what workers ask for, and where images come from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from chart.matrix import PRODUCTION, TIERS, TRIAL
from chart.render import Manifest, Objects, environment_of, pod_specs, refusal, render
from chart.values_table import CHART

pytestmark = pytest.mark.cluster

NEEDS: dict[str, Any] = yaml.safe_load((CHART / "files" / "worker-needs.yaml").read_text())
TIMES = NEEDS["allowance"]
EU = {**PRODUCTION, "regions": [PRODUCTION["regions"][0]]}


def worker(objects: Objects) -> Manifest:
    spec: Manifest = objects.one("Deployment", "voicefleet-eu", "voice-eu")["spec"]["template"]["spec"]
    return spec


def controller(objects: Objects) -> Manifest:
    spec: Manifest = objects.one("Deployment", "voicefleet-controller")["spec"]["template"]["spec"]
    return spec


def eu(**changes: Any) -> dict[str, Any]:
    """Production of one region, with a worker that has these values."""
    return {**EU, "worker": {**EU["worker"], **changes}}


# --- images ---


def test_a_registry_goes_before_every_image_that_names_none() -> None:
    own = {"repository": "other.example:5000/my-agent", "tag": "7"}
    objects = render({**eu(image=own), "global": {"imageRegistry": "registry.example/team/"}})
    images = {name: spec["containers"][0]["image"] for name, spec in pod_specs(objects).items()}
    assert images == {
        "Deployment/voicefleet-controller": "registry.example/team/voicefleet/controller:0.1.0",
        "Deployment/voicefleet-eu": "other.example:5000/my-agent:7",
        "Job/voicefleet-loadtest": "registry.example/team/voicefleet/loadtest:0.1.0",
        "Pod/voicefleet-eu-check": "other.example:5000/my-agent:7",
        "Pod/voicefleet-eu-test-call": "registry.example/team/voicefleet/loadtest:0.1.0",
    }
    trial = pod_specs(render({**TRIAL, "global": {"imageRegistry": "registry.example"}}))
    names = {c["image"] for spec in trial.values() for c in [*spec["containers"], *spec.get("initContainers", [])]}
    assert all(name.startswith("registry.example/") for name in names), names


def test_a_repository_on_this_machine_is_left_alone() -> None:
    values = eu(image={"repository": "localhost/voicefleet-worker"})
    assert worker(render({**values, "global": {"imageRegistry": "x.example"}}))["containers"][0]["image"].startswith(
        "localhost/voicefleet-worker:"
    )


# --- what a user adds ---

SECRET = {
    "apiVersion": "external-secrets.io/v1",
    "kind": "ExternalSecret",
    "metadata": {"name": "redis", "namespace": "voice-eu"},
    "spec": {"target": {"template": {"data": {"url": "rediss://voice:{{ .password }}@redis.example:6380/0"}}}},
}


def test_more_objects_are_made_as_they_are() -> None:
    found = render({**EU, "extraObjects": [SECRET, {**SECRET, "metadata": {"name": "other"}}]})
    assert found.one("ExternalSecret", "redis", "voice-eu") == SECRET
    assert len(found.of("ExternalSecret")) == 2


def test_an_object_without_a_kind_is_refused() -> None:
    said = refusal({**EU, "extraObjects": [{"apiVersion": "v1", "metadata": {"name": "x"}}]})
    assert "/extraObjects/0': missing property 'kind'" in said


PROXY = {"name": "proxy", "image": "example/proxy:1", "restartPolicy": "Always"}
FETCH = {"name": "fetch", "image": "example/fetch:1", "securityContext": {"readOnlyRootFilesystem": False}}
ADDED: dict[str, list[dict[str, Any]]] = {
    "extraInitContainers": [FETCH, PROXY],
    "extraContainers": [{"name": "beside", "image": "example/beside:1"}],
    "extraVolumes": [{"name": "models", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/models"}],
}


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_containers_and_volumes_of_ones_own_are_in_the_pod(part: str) -> None:
    plain, given = EU, {**EU, part: {**EU[part], **ADDED}}
    spec_of = {"worker": worker, "controller": controller}[part]
    before, after = spec_of(render(plain)), spec_of(render(given))
    assert "initContainers" not in before
    assert [c["name"] for c in after["initContainers"]] == ["fetch", "proxy"]
    assert [c["name"] for c in after["containers"]] == [part, "beside"]
    # The namespaces' restricted standard holds for them too; what they say themselves goes before.
    ours = before["containers"][0]["securityContext"]
    assert after["initContainers"][0]["securityContext"] == {**ours, "readOnlyRootFilesystem": False}
    assert after["initContainers"][1] == {**PROXY, "securityContext": ours}
    assert after["containers"][1]["securityContext"] == ours
    mounts, volumes = after["containers"][0]["volumeMounts"], after["volumes"]
    assert mounts == [*before["containers"][0]["volumeMounts"], *ADDED["extraVolumeMounts"]]
    assert volumes == [*before["volumes"], *ADDED["extraVolumes"]]


def test_in_a_trial_ones_own_containers_come_after_the_wait_for_servers() -> None:
    objects = render({**TRIAL, "regions": [{"name": "eu"}], "worker": {"extraInitContainers": [PROXY]}})
    assert [c["name"] for c in worker(objects)["initContainers"]] == ["wait-for-servers", "proxy"]


@pytest.mark.parametrize(("part", "name"), [("worker", "worker"), ("controller", "controller"), ("worker", "proxy")])
def test_a_container_by_a_name_that_is_taken_is_refused(part: str, name: str) -> None:
    more = {"extraInitContainers": [PROXY], "extraContainers": [{"name": name, "image": "x"}]}
    said = refusal({**EU, part: {**EU[part], **more}})
    assert f'{part}.extraContainers: "{name}" is the name of another container of the pod: give it its own' in said


# --- what workers ask for ---


@pytest.mark.parametrize(("slots", "kind"), [(1, "local"), (10, "local"), (10, "providers"), (200, "providers")])
def test_requests_follow_from_the_slots(slots: int, kind: str) -> None:
    tiers = {"builtin": "local"} if kind == "local" else {"content": TIERS}
    need = NEEDS[kind]
    container = worker(render({**eu(tiers=tiers), "pool": {"slots": slots}}))["containers"][0]
    assert container["resources"] == {
        "requests": {
            "cpu": f"{TIMES * (need['worker_millicores'] + slots * need['call_millicores'])}m",
            "memory": f"{TIMES * (need['worker_mib'] + slots * need['call_mib'])}Mi",
        }
    }


def test_processes_that_are_kept_warm_take_memory_like_calls() -> None:
    need = NEEDS["local"]
    container = worker(render({**eu(idleProcesses=8), "pool": {"slots": 2}}))["containers"][0]
    assert container["resources"]["requests"] == {
        "cpu": f"{TIMES * (need['worker_millicores'] + 2 * need['call_millicores'])}m",
        "memory": f"{TIMES * (need['worker_mib'] + 8 * need['call_mib'])}Mi",
    }


def test_what_is_given_goes_before_what_is_measured() -> None:
    given = {"requests": {"cpu": 1}, "limits": {"memory": "64Gi"}}
    resources = worker(render(eu(resources=given)))["containers"][0]["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert (resources["requests"]["cpu"], resources["limits"]) == (1, {"memory": "64Gi"})


@pytest.mark.parametrize(
    ("limits", "field"),
    [({"memory": "1Gi"}, "memory"), ({"memory": "1000M"}, "memory"), ({"cpu": 1}, "cpu"), ({"cpu": "900m"}, "cpu")],
)
def test_a_limit_below_what_the_slots_take_is_refused(limits: dict[str, Any], field: str) -> None:
    said = refusal(eu(resources={"limits": limits}))
    assert f"regions[0]: worker.resources.limits.{field} ({limits[field]}) is less than the " in said
    assert "that 10 calls of pool.slots were measured to take" in said
    assert "leave it out, or lower pool.slots" in said


def test_a_limit_that_fits_is_taken() -> None:
    render(eu(resources={"limits": {"memory": "100Gi", "cpu": "64"}}))


def test_a_limit_of_memory_below_one_job_is_refused() -> None:
    said = refusal(eu(jobMemoryLimitMiB=50))
    assert "regions[0]: worker.jobMemoryLimitMiB (50) is less than" in said


# --- tiers ---


def tiers(**fast: Any) -> dict[str, Any]:
    return eu(tiers={"content": {**TIERS, "tiers": {"fast": {**TIERS["tiers"]["fast"], **fast}}}})


@pytest.mark.parametrize(
    ("fast", "message"),
    [
        ({"sst": {"plugin": "a.b:C"}}, "/content/tiers/fast': additional properties 'sst' not allowed"),
        ({"stt": {"plugin": "a.b.C"}}, "/content/tiers/fast/stt/plugin': 'a.b.C' does not match"),
        ({"stt": {"plugin": "a.b:C", "timeout": 3}}, "/fast/stt': additional properties 'timeout' not allowed"),
        ({"llm": {"plugin": "a.b:C", "fallback": [{"plugin": "x"}]}}, "/fast/llm/fallback/0/plugin': 'x' does not"),
        ({"apology": {"after_s": 20}}, "/fast/apology/after_s': maximum: got 20, want 9"),
        (
            {"turn_detection": "best"},
            "/fast/turn_detection': value must be one of 'vad', 'stt', 'v1-mini', ",
        ),
        ({"language": "english!"}, "/fast/language': 'english!' does not match"),
    ],
)
def test_a_typo_in_a_tier_is_refused_at_render(fast: dict[str, Any], message: str) -> None:
    assert message in refusal(tiers(**fast))


def test_a_stage_without_its_plugin_is_refused_at_render() -> None:
    said = refusal(tiers(stt={"args": {"model": "x"}}))
    assert "regions[0]: worker.tiers.content.tiers.fast.stt.plugin: is missing: give dotted.module:Class" in said


def test_a_region_may_say_a_part_of_its_tiers_anew() -> None:
    values = tiers()
    values["regions"] = [
        {**EU["regions"][0], "worker": {"tiers": {"content": {"tiers": {"fast": {"language": "de"}}}}}}
    ]
    made = yaml.safe_load(render(values).one("ConfigMap", "voicefleet-eu-tiers", "voice-eu")["data"]["tiers.yaml"])
    assert made["tiers"]["fast"]["language"] == "de"
    assert made["tiers"]["fast"]["stt"] == TIERS["tiers"]["fast"]["stt"]


# --- the check before anything is installed ---

AGENT = {
    "agent": "my_pkg.my_agent:create",
    "tiers": {"content": TIERS},
    "extraEnv": [
        {"name": "LANG", "value": "C"},
        {"name": "DEEPGRAM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "providers", "key": "deepgram"}}},
    ],
}


def test_the_image_is_asked_for_agent_and_tiers_before_anything_is_installed() -> None:
    objects = render(eu(**AGENT, nodeSelector={"gpu": "yes"}))
    pod = objects.one("Pod", "voicefleet-eu-check")
    assert pod["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    spec = pod["spec"]
    assert spec["nodeSelector"] == {"gpu": "yes"}, "the image may run on those nodes alone"
    [container] = spec["containers"]
    assert container["image"] == worker(objects)["containers"][0]["image"]
    assert container["args"] == ["--agent=my_pkg.my_agent:create", "--tiers=/etc/voicefleet/tiers.yaml"]
    # Secrets of the pool are not in this namespace: it is enough that something gives the variable.
    assert environment_of(container) == {"HOME": "/tmp", "LANG": "C", "DEEPGRAM_API_KEY": "from-the-pool"}
    tiers_file = objects.one("ConfigMap", "voicefleet-eu-check")
    assert yaml.safe_load(tiers_file["data"]["tiers.yaml"]) == TIERS
    assert int(tiers_file["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0, "it must be there before the pod"


def test_whole_secrets_as_environment_may_hold_any_variable() -> None:
    found = render(eu(**AGENT, extraEnvFrom=[{"secretRef": {"name": "all"}}])).one("Pod", "voicefleet-eu-check")
    assert "--any-variable" in found["spec"]["containers"][0]["args"]


def test_with_tiers_in_a_config_map_of_the_pool_the_agent_is_checked_alone() -> None:
    values = eu(agent="my_pkg.my_agent:create", tiers={"existingConfigMap": "tiers"})
    pod = render(values).one("Pod", "voicefleet-eu-check")
    # Without it, a function that makes an agent would be checked with the local models, which the image need not have.
    assert pod["spec"]["containers"][0]["args"] == ["--agent=my_pkg.my_agent:create", "--tiers=own"]


def test_what_is_the_same_in_two_regions_is_checked_once() -> None:
    second = {**PRODUCTION["regions"][1]}
    values = {**PRODUCTION, "worker": {**PRODUCTION["worker"], **AGENT}}
    assert [p["metadata"]["name"] for p in render(values, tests=False).of("Pod")] == ["voicefleet-eu-check"]
    second["worker"] = {"agent": "my_pkg.other:create"}
    values["regions"] = [PRODUCTION["regions"][0], second]
    assert {p["metadata"]["name"] for p in render(values, tests=False).of("Pod")} == {
        *("voicefleet-eu-check", "voicefleet-us-east-check")
    }


@pytest.mark.parametrize(
    "values",
    [TRIAL, eu(**AGENT, check={"enabled": False}), eu(tiers={"existingConfigMap": "tiers"})],
    ids=["what is built in", "not wanted", "a ConfigMap that is elsewhere"],
)
def test_where_there_is_nothing_to_check_no_pod_is_made(values: dict[str, Any]) -> None:
    assert render(values, tests=False).of("Pod") == []


def test_values_of_a_release_before_these_are_taken() -> None:
    """What `helm upgrade --reuse-values` hands on: the defaults of the chart before, without what is new."""
    new = ("check", "extraInitContainers", "extraContainers", "extraVolumes", "extraVolumeMounts")
    without = {part: dict.fromkeys(new) for part in ("worker", "controller")}
    without["controller"].pop("check")
    objects = render({**eu(**without["worker"], agent="my_pkg.my_agent:create"), "extraObjects": None})
    assert objects.one("Pod", "voicefleet-eu-check")["spec"]["activeDeadlineSeconds"] == 240
