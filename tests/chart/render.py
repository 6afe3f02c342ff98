"""The chart as helm renders it, without a cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from chart.values_table import CHART

from cluster.kube import CommandError, run
from cluster.programs import find
from voicefleet.runtime.supervisor.settings import environment

RELEASE, NAMESPACE = "voicefleet", "voice"
KUBERNETES = "1.34.0"
_LIMIT_S = 60.0

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class Objects(list[Manifest]):
    """What a release is made of."""

    def of(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [found for found in self if found["kind"] == kind]

    def one(self, kind: str, name: str, namespace: str = NAMESPACE) -> Manifest:
        """The object of that kind, name and namespace; there must be exactly one."""
        found = [o for o in self.of(kind) if name_of(o) == (namespace, name)]
        assert len(found) == 1, f"{kind} {namespace}/{name}: {[name_of(o) for o in self.of(kind)]}"
        return found[0]


def render(
    values: Values,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    apis: Sequence[str] = (),
    tests: bool = True,
    kubernetes: str = KUBERNETES,
) -> Objects:
    """All objects, as `helm template` writes them for that version of Kubernetes; with `tests`, `helm test`'s too.

    Raises:
        CommandError: helm refuses the values.
    """
    argv = [
        *(str(find("helm")), "template", release, str(CHART), "--namespace", namespace, "--values", "-"),
        *("--kube-version", kubernetes),
        *(part for api in apis for part in ("--api-versions", api)),
        *(() if tests else ("--skip-tests",)),
    ]
    text = run(argv, environment(), json.dumps(values), _LIMIT_S)
    return Objects(found for found in yaml.safe_load_all(text) if found)


def lint(values: Values) -> str:
    """What `helm lint --strict` says.

    Raises:
        CommandError: it finds fault.
    """
    argv = [str(find("helm")), "lint", "--strict", str(CHART), "--values", "-", "--kube-version", KUBERNETES]
    return run(argv, environment(), json.dumps(values), _LIMIT_S)


def refusal(values: Values) -> str:
    """What helm says to values that it must refuse."""
    with pytest.raises(CommandError) as caught:
        render(values)
    return str(caught.value)


def name_of(manifest: Manifest) -> tuple[str, str]:
    """Namespace (empty without one) and name."""
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def pod_specs(objects: Sequence[Manifest]) -> dict[str, Manifest]:
    """The pod specs among the objects, by kind/name; the Job of load tests is in a ConfigMap."""
    specs = {}
    for found in objects:
        if found["kind"] == "Pod":
            specs[f"Pod/{found['metadata']['name']}"] = found["spec"]
        elif found["kind"] == "Deployment":
            specs[f"Deployment/{found['metadata']['name']}"] = found["spec"]["template"]["spec"]
        elif found["kind"] == "ConfigMap" and "job.yaml" in found.get("data", {}):
            job = yaml.safe_load(found["data"]["job.yaml"])
            specs[f"Job/{found['metadata']['name']}"] = job["spec"]["template"]["spec"]
    return specs


def environment_of(container: Manifest) -> dict[str, Any]:
    """A container's environment: name -> its value, or where the value is from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}


def secret_values(objects: Sequence[Manifest]) -> set[str]:
    """Every value that stands in a Secret."""
    found: set[str] = set()
    for secret in objects:
        if secret["kind"] == "Secret":
            found.update(secret.get("stringData", {}).values())
            found.update(base64.b64decode(value).decode() for value in secret.get("data", {}).values())
    return found
