"""What the chart makes of its values: whole objects where they matter, and rules that hold for every one of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from chart.matrix import EVERYTHING, MATRIX, MONITORS, PRODUCTION, TRIAL
from chart.render import Manifest, Objects, environment_of, lint, name_of, pod_specs, render, secret_values
from chart.values_table import CHART

pytestmark = pytest.mark.cluster

CHECKS = (CHART / "templates" / "_checks.tpl").read_text()
CASES = pytest.mark.parametrize("case", MATRIX, ids=str)
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
SELECTOR = {"app.kubernetes.io/name": "voicefleet", "app.kubernetes.io/instance": "voicefleet"}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Objects]:
    return {case: render(values, apis=MONITORS) for case, values in MATRIX.items()}


def worker(objects: Objects, workload: str = "voicefleet-eu", namespace: str = "voice-eu") -> Manifest:
    return objects.one("Deployment", workload, namespace)


@CASES
def test_helm_lint_finds_nothing(case: str) -> None:
    assert "0 chart(s) failed" in lint(MATRIX[case])


@CASES
def test_every_pod_keeps_to_the_restricted_standard(case: str, rendered: dict[str, Objects]) -> None:
    specs = pod_specs(rendered[case])
    assert specs
    for name, spec in specs.items():
        assert spec["securityContext"] == POD_SECURITY, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["automountServiceAccountToken"] is name.endswith("-controller"), name
        assert {"name": "tmp", "emptyDir": {}} in spec["volumes"], name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == CONTAINER_SECURITY, name
            assert "limits" not in container["resources"] or "cpu" not in container["resources"]["limits"], name
        for container in spec["containers"]:
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name


@CASES
def test_no_two_objects_are_the_same_and_each_says_whose_it_is(case: str, rendered: dict[str, Objects]) -> None:
    objects = rendered[case]
    keys = [(found["kind"], *name_of(found)) for found in objects]
    assert len(keys) == len(set(keys))
    for found in objects:
        labels = found["metadata"]["labels"]
        assert SELECTOR.items() <= labels.items(), found["metadata"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@CASES
def test_each_pool_has_its_objects_in_its_namespace(case: str, rendered: dict[str, Objects]) -> None:
    objects, values = rendered[case], MATRIX[case]
    pools = [d for d in objects.of("Deployment") if d["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"]
    here = [region for region in values.get("regions", [{"name": "local"}]) if "cluster" not in region]
    assert len(pools) == len(here)
    for pool in pools:
        namespace, name = name_of(pool)
        region = pool["metadata"]["labels"]["voicefleet.dev/region"]
        selector = {**SELECTOR, "app.kubernetes.io/component": "worker", "voicefleet.dev/region": region}
        assert pool["metadata"]["annotations"] == {"voicefleet.dev/controller": "voice/voicefleet"}
        assert "replicas" not in pool["spec"]
        assert pool["spec"]["selector"] == {"matchLabels": selector}
        assert pool["spec"]["strategy"]["type"] == "RollingUpdate"
        assert pool["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert objects.one("PodDisruptionBudget", name, namespace)["spec"] == {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector},
        }
        assert objects.one("ServiceAccount", name, namespace)["automountServiceAccountToken"] is False
        namespaces = [found for found in objects.of("Namespace") if name_of(found) == ("", namespace)]
        assert len(namespaces) == int(values.get("createNamespace", True))
        assert bool(objects.of("NetworkPolicy")) is values.get("networkPolicy", {}).get("enabled", True)


@CASES
def test_no_variable_is_set_twice_and_the_charts_own_are_guarded(case: str, rendered: dict[str, Objects]) -> None:
    for name, spec in pod_specs(rendered[case]).items():
        for container in spec["containers"]:
            names = [entry["name"] for entry in container.get("env", [])]
            assert len(names) == len(set(names)), name
            if container["name"] in ("worker", "controller"):
                given = MATRIX[case].get(container["name"], {}).get("extraEnv", [])
                own = set(names) - {entry["name"] for entry in given}
                # Each region's key and secret, and each receiver's, have names of their own in the controller.
                of_one = r"LIVEKIT_.+_API_(KEY|SECRET)|CALL_EVENTS_.+_SECRET"
                named = {name for name in own if not re.fullmatch(of_one, name)}
                assert [n for n in named if f'"{n.removeprefix("VOICEFLEET_")}"' not in CHECKS] == []


@CASES
def test_nothing_of_a_version_is_in_what_rolls_pods(case: str, rendered: dict[str, Objects]) -> None:
    # Else a new chart would roll every pool although nothing in it changed.
    for deployment in rendered[case].of("Deployment"):
        template = yaml.safe_dump(deployment["spec"]["template"]["metadata"])
        assert "helm.sh/chart" not in template
        assert "app.kubernetes.io/version" not in template


@CASES
def test_no_secret_is_in_anything_but_a_secret(case: str, rendered: dict[str, Objects]) -> None:
    objects = rendered[case]
    secrets = {value for value in secret_values(objects) if value != "devstack"}
    assert bool(secrets) is ("devStack" in MATRIX[case])
    assert all(len(value) >= 40 for value in secrets)
    others = yaml.safe_dump_all(found for found in objects if found["kind"] != "Secret")
    assert [value for value in secrets if value in others] == []
    drawn = {value for value in secrets if value.isalnum()}
    # The name that a key is known by is no secret; all else of a key comes from a Secret by reference.
    for spec in pod_specs(objects).values():
        for container in spec["containers"]:
            for name, value in environment_of(container).items():
                if name.endswith(("_SECRET", "_PASSWORD", "_KEYS", "_KEY")):
                    # The check before an installation needs no secret, only that there will be one.
                    given = {"from-the-pool"} if container["name"] == "check" else {"secretKeyRef"}
                    assert ({value} if isinstance(value, str) else set(value)) == given, name
    assert len(drawn) == len({value[:20] for value in drawn})


def test_the_controllers_rights_are_these_and_no_others(rendered: dict[str, Objects]) -> None:
    objects = rendered["production"]
    assert {found["kind"] for found in objects if not found["metadata"].get("namespace")} == {
        *("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    }
    assert {name_of(role): role["rules"] for role in objects.of("Role")} == {
        ("voice", "voicefleet-controller"): [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": ["voicefleet-controller"],
                "verbs": ["get", "update", "patch"],
            },
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ],
        **{
            (f"voice-{region}", f"voicefleet-{region}-controller"): [
                {
                    "apiGroups": ["apps"],
                    "resources": ["deployments"],
                    "resourceNames": [f"voicefleet-{region}"],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": ["apps"],
                    "resources": ["deployments/scale"],
                    "resourceNames": [f"voicefleet-{region}"],
                    "verbs": ["get", "update", "patch"],
                },
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
                {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
            ]
            for region in ("eu", "us-east")
        },
    }
    for binding in objects.of("RoleBinding"):
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "voicefleet-controller", "namespace": "voice"}
        ]


def test_the_lease_has_no_spec(rendered: dict[str, Objects]) -> None:
    # What helm never set it leaves alone, so an upgrade takes the Lease from nobody.
    assert "spec" not in rendered["production"].one("Lease", "voicefleet-controller")


def test_a_worker_pod(rendered: dict[str, Objects]) -> None:
    spec = worker(rendered["production"])["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 4000
    assert spec["serviceAccountName"] == "voicefleet-eu"
    [container] = spec["containers"]
    assert container["name"] == "worker"
    assert container["args"] == ["worker"]
    assert container["image"] == "voicefleet/worker:0.1.0"
    assert container["ports"] == [{"name": "http", "containerPort": 8081, "protocol": "TCP"}]
    assert container["resources"].keys() == {"requests"}
    assert "livenessProbe" not in container
    assert container["startupProbe"]["httpGet"] == container["readinessProbe"]["httpGet"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert environment_of(container) == {
        "VOICEFLEET_WORKER_ID": {"fieldRef": {"fieldPath": "metadata.name"}},
        "VOICEFLEET_REGION": "eu",
        "VOICEFLEET_SLOTS": "10",
        "VOICEFLEET_AGENT_NAME": "voicefleet",
        "VOICEFLEET_TIERS": "local",
        "VOICEFLEET_LISTEN": "0.0.0.0:8081",
        "VOICEFLEET_DRAIN_TIMEOUT_S": "3600",
        "VOICEFLEET_LOG_LEVEL": "INFO",
        "VOICEFLEET_LOG_FORMAT": "json",
        "HOME": "/tmp",
        "LIVEKIT_URL": "wss://eu.livekit.example",
        "LIVEKIT_API_KEY": {"secretKeyRef": {"name": "livekit-eu", "key": "apiKey"}},
        "LIVEKIT_API_SECRET": {"secretKeyRef": {"name": "livekit-eu", "key": "apiSecret"}},
        "VOICEFLEET_REDIS_URL": {"secretKeyRef": {"name": "redis", "key": "url"}},
    }


def test_what_a_region_says_goes_before_what_is_said_for_all(rendered: dict[str, Objects]) -> None:
    eu = worker(rendered["everything"], "fleet-eu", "pool-eu")["spec"]["template"]
    us = worker(rendered["everything"], "fleet-us", "voice-us")["spec"]["template"]
    assert eu["spec"]["terminationGracePeriodSeconds"] == 1000
    assert us["spec"]["terminationGracePeriodSeconds"] == 2200
    kept = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
    assert kept.items() <= us["metadata"]["annotations"].items()
    assert not kept.keys() & eu["metadata"]["annotations"].keys()
    config = yaml.safe_load(rendered["everything"].one("ConfigMap", "fleet-controller")["data"]["controller.yaml"])
    assert config["regions"]["eu"]["handoff"] is False
    assert config["regions"]["us"]["handoff"] is True
    assert config["regions"]["eu"]["waiting_message"] is None, "left out, the built-in one would be spoken"
    assert config["regions"]["us"]["waiting_message"] == {
        **{"after_s": 2, "every_s": 8},
        **{"audio": "/etc/voicefleet-waiting/us/waiting.wav", "text": "One moment.", "language": "en-GB"},
        "languages": {"pl": {"audio": "/etc/voicefleet-waiting/us/pl.wav"}},
    }


def test_empty_lists_maps_and_numbers_of_a_region_count_too() -> None:
    region = {
        "name": "eu",
        "pool": {"minWorkers": 0, "buffer": 0},
        "worker": {"tolerations": [], "resources": {"requests": {"cpu": "1"}}, "jobMemoryLimitMiB": 0, "agent": ""},
    }
    values = {
        **TRIAL,
        "regions": [region],
        "worker": {"tolerations": [{"operator": "Exists"}], "jobMemoryLimitMiB": 5, "agent": "a.b:c"},
    }
    objects = render(values)
    spec = worker(objects)["spec"]["template"]["spec"]
    assert "tolerations" not in spec
    assert spec["containers"][0]["resources"]["requests"]["cpu"] == "1"
    assert not {"VOICEFLEET_JOB_MEMORY_LIMIT_MB", "VOICEFLEET_AGENT"} & environment_of(spec["containers"][0]).keys()
    config = yaml.safe_load(objects.one("ConfigMap", "voicefleet-controller")["data"]["controller.yaml"])
    assert config["regions"]["eu"]["pool"] == {
        **{"min_workers": 0, "max_workers": 4, "slots": 4, "buffer": 0},
        **{"policy": "predictive", "wait_ratio": 0.001, "mode": "auto"},
        **{"scale_down_delay_s": 300, "start_timeout_s": 120},
    }


def test_an_agent_that_brings_its_own_session_needs_no_tiers() -> None:
    objects = render({**TRIAL, "worker": {"agent": "desk:server"}})
    spec = worker(objects, "voicefleet-local", "voice-local")["spec"]["template"]["spec"]
    env = environment_of(spec["containers"][0])
    assert env["VOICEFLEET_AGENT"] == "desk:server"
    assert not env["VOICEFLEET_TIERS"], "devStack's synthetic tier would replace what the team has"


def test_a_worker_of_a_team_with_an_agent_of_its_own(rendered: dict[str, Objects]) -> None:
    template = worker(rendered["everything"], "fleet-us", "voice-us")["spec"]["template"]
    [container] = template["spec"]["containers"]
    env = environment_of(container)
    assert container["image"] == "example/my-agent@sha256:" + "a" * 64
    assert env["VOICEFLEET_AGENT"] == "my_pkg.my_agent:create"
    assert env["VOICEFLEET_TIERS"] == "/etc/voicefleet/tiers.yaml"
    assert env["DEEPGRAM_API_KEY"] == {"secretKeyRef": {"name": "providers", "key": "deepgram"}}
    assert env["VOICEFLEET_TRANSCRIPT_KEY"] == {"secretKeyRef": {"name": "transcript", "key": "fernet"}}
    assert env["VOICEFLEET_REDIS_CA_FILE"] == "/etc/voicefleet-redis/ca.crt"
    assert env["VOICEFLEET_REDIS_URL"] == (
        "rediss+sentinel://voice:$(REDIS_PASSWORD)@s1.example:26379,s2.example:26379/main/3"
    )
    # Kubernetes puts in only what was named before.
    names = list(env)
    assert names.index("REDIS_PASSWORD") < names.index("VOICEFLEET_REDIS_URL")
    tiers = rendered["everything"].one("ConfigMap", "fleet-us-tiers", "voice-us")["data"]["tiers.yaml"]
    assert yaml.safe_load(tiers) == EVERYTHING["worker"]["tiers"]["content"]
    assert template["spec"]["topologySpreadConstraints"] == [
        {
            "maxSkew": 2,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {
                "matchLabels": {
                    **SELECTOR,
                    "app.kubernetes.io/component": "worker",
                    "voicefleet.dev/region": "us",
                }
            },
        }
    ]


def test_pods_roll_when_their_settings_change_and_only_then() -> None:
    def templates(values: dict[str, Any]) -> dict[str, Any]:
        return {name_of(d)[1]: d["spec"]["template"] for d in render(values).of("Deployment")}

    before = templates(PRODUCTION)
    assert templates(PRODUCTION) == before
    pool = templates({**PRODUCTION, "pool": {"slots": 10, "maxWorkers": 77}})
    assert pool["voicefleet-controller"] != before["voicefleet-controller"]
    assert pool["voicefleet-eu"] == before["voicefleet-eu"]
    rotated = templates({**PRODUCTION, "secretsRevision": "2"})
    assert all(rotated[name] != before[name] for name in before)
    assert templates({**PRODUCTION, "secretsRevision": 2}) == rotated, "as --set secretsRevision=2 gives it"
    tiers = {"tiers": {"content": {"default": "a", "tiers": {"a": {}}}}}
    first = templates({**PRODUCTION, "worker": tiers})
    tiers["tiers"]["content"]["tiers"] = {"a": {}, "b": {}}
    second = templates({**PRODUCTION, "worker": tiers})
    assert first["voicefleet-eu"] != second["voicefleet-eu"]
    assert first["voicefleet-controller"] == second["voicefleet-controller"]


def test_a_pool_in_another_cluster_is_the_same_there(rendered: dict[str, Objects]) -> None:
    here, there = rendered["a pool in another cluster"], rendered["the pool there"]
    assert [name_of(found) for found in here if found["metadata"].get("namespace") == "voice-us-east"] == []
    config = yaml.safe_load(here.one("ConfigMap", "voicefleet-controller")["data"]["controller.yaml"])
    found = worker(there, "voicefleet-us-east", "voice-us-east")
    assert found["metadata"]["annotations"]["voicefleet.dev/controller"] == config["owner"]
    assert config["regions"]["us-east"]["kubernetes"] == {
        "namespace": "voice-us-east",
        "deployment": "voicefleet-us-east",
        "kubeconfig": "/etc/voicefleet-cluster/us-east/kubeconfig",
        "context": "us",
    }
    assert found == worker(rendered["production"], "voicefleet-us-east", "voice-us-east")
    assert there.one("ServiceAccount", "voicefleet-controller")
    assert [d["metadata"]["name"] for d in there.of("Deployment")] == ["voicefleet-us-east"]
    # Nobody calls there, but the workers' image is theirs.
    assert [pod["metadata"]["name"] for pod in there.of("Pod")] == ["voicefleet-us-east-check"]


def test_in_a_trial_livekit_tells_the_controller_and_gives_its_pods_address(rendered: dict[str, Objects]) -> None:
    objects = rendered["trial, two regions"]
    config = yaml.safe_load(objects.one("ConfigMap", "voicefleet-livekit")["data"]["livekit.yaml"])
    assert "keys" not in config
    assert config["webhook"] == {
        "api_key": "devstack",
        "urls": [f"http://voicefleet-controller.voice.svc:8080/webhooks/livekit/{region}" for region in ("eu", "us")],
    }
    [container] = objects.one("Deployment", "voicefleet-livekit")["spec"]["template"]["spec"]["containers"]
    assert environment_of(container) == {
        "NODE_IP": {"fieldRef": {"fieldPath": "status.podIP"}},
        "LIVEKIT_KEYS": {"secretKeyRef": {"name": "voicefleet-livekit", "key": "keys"}},
    }
    agents = {
        environment_of(
            worker(objects, f"voicefleet-{region}", f"voice-{region}")["spec"]["template"]["spec"]["containers"][0]
        )["VOICEFLEET_AGENT_NAME"]
        for region in ("eu", "us")
    }
    assert agents == {"voicefleet-eu", "voicefleet-us"}, "one LiveKit would send a region's calls to the other's agents"


def test_in_a_trial_every_namespace_has_the_same_keys(rendered: dict[str, Objects]) -> None:
    objects = rendered["trial, two regions"]
    seen = {
        objects.one("Secret", "voicefleet-livekit", namespace)["stringData"]["apiSecret"]
        for namespace in ("voice", "voice-eu", "voice-us")
    }
    assert len(seen) == 1
    livekit = objects.one("Secret", "voicefleet-livekit")["stringData"]
    assert yaml.safe_load(livekit["keys"]) == {livekit["apiKey"]: livekit["apiSecret"]}
    keys = objects.one("Secret", "voicefleet-api-keys")["stringData"]
    assert keys["keys"] == f"helm-test:{keys['caller']}:call,operator:{keys['operator']}:call+operate"


def test_monitors_are_left_out_where_the_cluster_does_not_know_them() -> None:
    assert {found["kind"] for found in render(EVERYTHING)} & {"PodMonitor", "ServiceMonitor"} == set()
    objects = render(EVERYTHING, apis=MONITORS)
    assert objects.one("PodMonitor", "fleet-us", "voice-us")["spec"]["podMetricsEndpoints"][0]["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_label_voicefleet_dev_region"], "targetLabel": "region"},
        {"targetLabel": "cluster", "replacement": "one"},
    ]
    assert objects.one("ServiceMonitor", "fleet-controller")["metadata"]["labels"]["release"] == "prometheus"


MONITORING = {
    "devStack": {"enabled": True},
    "prometheusRule": {
        "enabled": True,
        "additionalLabels": {"release": "prometheus"},
        "runbookUrl": "https://wiki.example/runbooks",
        "disabled": ["VoicefleetTracesLost"],
    },
    "dashboards": {"enabled": True, "folder": "Voice", "namespace": "monitoring"},
}


def test_rules_are_those_that_are_tested_but_for_the_disabled() -> None:
    assert render(MONITORING).of("PrometheusRule") == [], "the cluster does not know the kind"
    made = render(MONITORING, apis=MONITORS).one("PrometheusRule", "voicefleet")
    assert made["metadata"]["labels"]["release"] == "prometheus"
    ours = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    wanted = [
        rule for group in ours["groups"] for rule in group["rules"] if rule.get("alert") != "VoicefleetTracesLost"
    ]
    rules = [rule for group in made["spec"]["groups"] for rule in group["rules"]]
    assert [rule["expr"] for rule in rules] == [rule["expr"] for rule in wanted]
    links = {rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}
    assert all(link.startswith("https://wiki.example/runbooks#voicefleet") for link in links)
    every = {group["name"]: group.get("interval") for group in ours["groups"]}
    assert {group["name"]: group.get("interval") for group in made["spec"]["groups"]} == every


def test_alerts_lead_to_the_controllers_own_runbooks() -> None:
    ingress = {"enabled": True, "host": "voice.example", "tlsSecret": "tls"}
    inside = ingress | {"paths": ["/v1"]}
    for of_ingress, place in (
        ({}, "http://voicefleet-controller.voice:8080/runbooks"),
        (ingress, "https://voice.example/runbooks"),
        (inside, "http://voicefleet-controller.voice:8080/runbooks"),
    ):
        values = {
            "devStack": {"enabled": True},
            "prometheusRule": {"enabled": True},
            "controller": {"ingress": of_ingress},
            "networkPolicy": {"ingressNamespace": "ingress"},
        }
        made = render(values, apis=MONITORS).one("PrometheusRule", "voicefleet")
        rules = [rule for group in made["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
        assert {rule["annotations"]["runbook_url"].partition("#")[0] for rule in rules} == {place}


def test_another_promise_changes_its_budget_its_alerts_and_their_words() -> None:
    plain = render(MONITORING, apis=MONITORS).one("PrometheusRule", "voicefleet")
    rule = {**MONITORING["prometheusRule"], "slo": {"ttfa_800ms": 0.97, "wait": 0.9995}}  # type: ignore[dict-item]
    made = render({**MONITORING, "prometheusRule": rule}, apis=MONITORS).one("PrometheusRule", "voicefleet")

    def rules(found: Any) -> list[Any]:
        return [rule for group in found["spec"]["groups"] for rule in group["rules"]]

    changed = [(old, new) for old, new in zip(rules(plain), rules(made), strict=True) if old != new]
    budgets = {new["labels"]["slo"]: (old["expr"], new["expr"]) for old, new in changed if "record" in new}
    assert budgets == {
        "ttfa_800ms": ("vector(0.05)", "vector(0.03)"),
        "wait": ("vector(0.001)", "vector(0.0005)"),
    }
    said = {new["alert"]: new["annotations"]["description"] for _, new in changed if "alert" in new}
    assert said.keys() == {"VoicefleetTtfa800msBudgetBurn", "VoicefleetWaitBudgetBurn"}
    assert "Promised: 97 % of" in said["VoicefleetTtfa800msBudgetBurn"]
    assert "Promised: 99.95 % of" in said["VoicefleetWaitBudgetBurn"]


def test_dashboards_are_config_maps_for_grafanas_sidecar() -> None:
    assert not [
        m for m in render({"devStack": {"enabled": True}}).of("ConfigMap") if "dashboard" in m["metadata"]["name"]
    ]
    maps = [m for m in render(MONITORING).of("ConfigMap") if "grafana_dashboard" in m["metadata"]["labels"]]
    assert {m["metadata"]["namespace"] for m in maps} == {"monitoring"}
    assert {m["metadata"]["annotations"]["grafana_folder"] for m in maps} == {"Voice"}
    assert len({m["metadata"]["name"] for m in maps}) == len(maps)
    found = {name: json.loads(text) for m in maps for name, text in m["data"].items()}
    files = (CHART / "files" / "dashboards").glob("*.json")
    place = MONITORING["prometheusRule"]["runbookUrl"]  # type: ignore[index]
    assert found == {p.name: json.loads(p.read_text().replace("dashboards/runbooks.md", place)) for p in files}


def test_helm_test_places_one_call_to_each_region(rendered: dict[str, Objects]) -> None:
    objects = rendered["production"]
    for region in ("eu", "us-east"):
        pod = objects.one("Pod", f"voicefleet-{region}-test-call")
        assert pod["metadata"]["annotations"] == {
            "helm.sh/hook": "test",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded,hook-failed",
            "helm.sh/hook-output-log-policy": "hook-succeeded,hook-failed",
        }
        [container] = pod["spec"]["containers"]
        assert container["args"] == [
            "call",
            "--controller=http://voicefleet-controller.voice.svc:8080",
            f"--region={region}",
            "--turns=1",
        ]
        key = environment_of(container)["VOICEFLEET_CONTROLLER_KEY"]
        assert key == {"secretKeyRef": {"name": "api-keys", "key": "caller"}}


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("voicefleet", "voicefleet"),
        ("prod", "prod-voicefleet"),
        ("my-voicefleet-two", "my-voicefleet-two"),
        ("a-release-whose-name-is-really-very-long-indeed", "a-release-whose-nam-voicefleet"),
    ],
)
def test_names_follow_the_release_and_stay_short(release: str, name: str) -> None:
    longest = "r" * 32
    objects = render({**TRIAL, "regions": [{"name": longest}]}, release=release)
    assert objects.one("Deployment", f"{name}-{longest}", f"voice-{longest}")
    assert max(len(name_of(d)[1]) for d in objects.of("Deployment") + objects.of("Service")) <= 63


def test_receivers_of_call_events_have_their_secrets_in_variables_and_their_ports_open(
    rendered: dict[str, Objects],
) -> None:
    objects = rendered["everything"]
    config = yaml.safe_load(objects.one("ConfigMap", "fleet-controller")["data"]["controller.yaml"])
    assert config["call_events"]["my-crm"] == {
        "url": "https://crm.example.com:8443/hooks",
        "secret_env": "CALL_EVENTS_MY_CRM_SECRET",
        "events": ["call.ended"],
        "timeout_s": 5,
        "at_once": 4,
        "give_up_after_s": 3600,
    }
    assert config["call_events"]["bill"] == {
        "url": "http://bill.example.com/x",
        "secret_env": "CALL_EVENTS_BILL_SECRET",
    }
    (container,) = objects.one("Deployment", "fleet-controller")["spec"]["template"]["spec"]["containers"]
    named = {entry["name"]: entry.get("valueFrom") for entry in container["env"]}
    assert named["CALL_EVENTS_MY_CRM_SECRET"] == {"secretKeyRef": {"name": "crm-hooks", "key": "signing"}}
    assert named["CALL_EVENTS_BILL_SECRET"] == {"secretKeyRef": {"name": "bill-hooks", "key": "secret"}}
    policy = objects.one("NetworkPolicy", "fleet-controller")
    open_ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", [])}
    assert {8443, 80} <= open_ports
