"""The objects of a load test on Kubernetes: the chart's template, made a Job with its ConfigMap. Pure.

The template says what a platform decides: image, resources, nodes, accounts, Secrets. What makes the pods play one plan
together is put in here, since it belongs to the version of the command.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.pods.gate import ANNOTATION

Manifest = dict[str, Any]

LABEL = "voicefleet.dev/loadtest"
"""Of the Job, its pods and its ConfigMap: the Job's name."""
KEY = "job.yaml"
"""In the ConfigMap of the chart."""
OWN_KEY = "VOICEFLEET_CONTROLLER_KEY"
_PLAN, _GATE = "/etc/voicefleet/plan", "/etc/voicefleet/gate"
_TTL_S = 600
_NO_LIMIT = 2**31 - 1
_MOST_BYTES = 1_000_000
"""Of a ConfigMap: Kubernetes takes 1 MiB."""


def parse_template(text: str, *, name: str) -> Manifest:
    """The Job in the template `name`.

    Raises:
        ConfigError: it is none.
    """
    try:
        job = yaml.safe_load(text)
        assert job["kind"] == "Job"
        assert {"name", "image"} <= job["spec"]["template"]["spec"]["containers"][0].keys()
    except (yaml.YAMLError, AssertionError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            "holds no Job with a container",
            field="--job-template",
            value=name,
            hint="Use the one that the chart makes.",
        ) from error
    made: Manifest = job
    return made


def job(template: Manifest, *, name: str, pods: int, secret: str | None, lasts_s: float) -> Manifest:
    """The Job, which makes no pods before it is resumed.

    Args:
        secret: whose keys become the pods' environment; the release's own key is then left out, so that it goes to
            nobody else's address.
        lasts_s: after which Kubernetes ends it, whatever happens.
    """
    made = copy.deepcopy(template)
    metadata: Manifest = made.setdefault("metadata", {})
    metadata.pop("namespace", None)
    metadata["name"] = name
    metadata.setdefault("labels", {})[LABEL] = name
    made["spec"] = {
        "ttlSecondsAfterFinished": _TTL_S,
        **made["spec"],
        "completions": pods,
        "parallelism": pods,
        "completionMode": "Indexed",
        # A pod that fails is no reason to end the others, nor to play its calls at another time.
        "backoffLimitPerIndex": 0,
        "podReplacementPolicy": "Failed",
        "backoffLimit": _NO_LIMIT,
        "activeDeadlineSeconds": int(lasts_s),
        "suspend": True,
    }
    pod = made["spec"]["template"]
    described = pod.setdefault("metadata", {})
    described.setdefault("labels", {})[LABEL] = name
    described.setdefault("annotations", {})[ANNOTATION] = ""
    spec = pod["spec"]
    spec["restartPolicy"] = "Never"
    gate_file = {"path": "told", "fieldRef": {"fieldPath": f"metadata.annotations['{ANNOTATION}']"}}
    spec["volumes"] = [
        *spec.get("volumes", []),
        {"name": "plan", "configMap": {"name": name}},
        {"name": "gate", "downwardAPI": {"items": [gate_file]}},
    ]
    _complete(spec["containers"][0], secret)
    return made


def _complete(container: Manifest, secret: str | None) -> None:
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    container["args"] = [
        "loadtest",
        "pod",
        f"--plan={_PLAN}/plan.json",
        f"--gate={_GATE}/told",
        *([f"--metrics=0.0.0.0:{ports['metrics']}"] if "metrics" in ports else []),
    ]
    container["volumeMounts"] = [
        *container.get("volumeMounts", []),
        {"name": "plan", "mountPath": _PLAN, "readOnly": True},
        {"name": "gate", "mountPath": _GATE, "readOnly": True},
    ]
    if secret is not None:
        container["env"] = [entry for entry in container.get("env", []) if entry["name"] != OWN_KEY]
        container["envFrom"] = [*container.get("envFrom", []), {"secretRef": {"name": secret}}]


def container_of(template: Manifest) -> str:
    """The name of the container that plays: meshes put others beside it."""
    return str(template["spec"]["template"]["spec"]["containers"][0]["name"])


def plan_map(name: str, uid: str, plan: str) -> Manifest:
    """The ConfigMap with the plan, which is removed with the Job `name` of that uid.

    Raises:
        ConfigError: the plan does not fit.
    """
    if len(plan.encode()) > _MOST_BYTES:
        raise ConfigError(
            f"takes {len(plan.encode())} bytes, and a ConfigMap takes {_MOST_BYTES}",
            field="the plan of the load test",
            hint="Place fewer calls.",
        )
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL: name}, "ownerReferences": [owner]},
        "immutable": True,
        "data": {"plan.json": plan},
    }
